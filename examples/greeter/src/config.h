#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { ADDRESS_MAX = 45, GREETING_MAX = 200, CONFIG_ERROR_MAX = 640 };

/* The configuration file: `key = value` lines, `#` starts a comment line. Every key has a default. */
struct config {
    char address[ADDRESS_MAX + 1];
    char greeting[GREETING_MAX + 1];
    long port;            /* 0: any free one, told in the log */
    long slow_ms;         /* what /slow waits when the request does not say */
    long drain_seconds;   /* what open requests get after SIGTERM */
    long linger_ms;       /* what idle connections get after SIGTERM, for a request already on its way */
    long idle_seconds;    /* what idle connections get otherwise */
    long request_seconds; /* what a request may take to arrive */
    long max_connections;
    long max_body_bytes;
};

void config_set_defaults(struct config *config);

/* Reads `file` over what `config` holds. False: `error` says which line and key of `name` is wrong. */
bool config_read(struct config *config, FILE *file, const char *name, char error[CONFIG_ERROR_MAX]);
bool config_load(struct config *config, const char *path, char error[CONFIG_ERROR_MAX]);

/* Decimal digits only, within the bounds. */
bool parse_number(const char *text, long min, long max, long *value);
