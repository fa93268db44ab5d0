#pragma once

#include "config.h"
#include "loop.h"

#include <stdbool.h>

struct connection;

/* The service: one thread, one loop, one listener. */
struct server {
    const struct config *config;
    struct loop loop;
    struct watch listener; /* descriptor -1 once closed */
    struct watch signals;
    struct deadline accept_rest;   /* no descriptor was free: accepting goes on then */
    struct deadline backlog_grace; /* after SIGTERM: the listener closes then */
    struct deadline drain_end;     /* after SIGTERM: what is still open is cut then */
    struct connection *connections;
    long connection_count;
    long requests_in_flight;
    long requests_served;
    int64_t drains_since_ms; /* 0: it does not drain */
};

/* Serves until SIGTERM or SIGINT and until what was open then is answered. Returns the exit status. */
int server_run(const struct config *config);

/* Called by connections when one has ended. */
void server_connection_ended(struct server *server);
