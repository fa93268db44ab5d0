#include "server.h"

#include "connection.h"
#include "log.h"
#include "notify.h"
#include "variant.h"
#include "version.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPT_REST_MS = 100,
    BACKLOG_GRACE_MS = 100, /* more than a round trip to any client */
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t make_address(const struct config *config, union address *address)
{
    *address = (union address){0};
    if (inet_pton(AF_INET, config->address, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons((uint16_t)config->port);
        return sizeof address->v4;
    }
    inet_pton(AF_INET6, config->address, &address->v6.sin6_addr);
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = htons((uint16_t)config->port);
    return sizeof address->v6;
}

/* Differs from the configured port where that is 0. */
static unsigned port_of(int descriptor)
{
    union address address = {0};
    socklen_t size = sizeof address;
    getsockname(descriptor, &address.any, &size);
    return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}

static int open_listener(const struct config *config)
{
    union address address;
    socklen_t size = make_address(config, &address);
    int on = 1;
    int descriptor = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor == -1 || setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 ||
        bind(descriptor, &address.any, size) == -1 || listen(descriptor, SOMAXCONN) == -1)
        die("Cannot listen on \"%s\" port %ld: %s", config->address, config->port, strerror(errno));
    return descriptor;
}

static int open_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int descriptor = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (descriptor == -1)
        die("Cannot receive signals: %s", strerror(errno));
    return descriptor;
}

static bool is_listening(const struct server *server)
{
    return server->listener.descriptor != -1;
}

/* While it drains, the limit is waived: what waits in the backlog was already promised an answer. */
static bool has_room(const struct server *server)
{
    return server->connection_count < server->config->max_connections || server->drains_since_ms != 0;
}

static void update_accepting(struct server *server)
{
    bool accepts = has_room(server) && server->accept_rest.place == 0;
    if (is_listening(server))
        watch_change(&server->loop, &server->listener, accepts ? EPOLLIN : 0);
}

void server_connection_ended(struct server *server)
{
    update_accepting(server);
}

/* The kernel holds the connections meanwhile: resting costs them time, not their request. */
static void rest_from_accepting(struct server *server, int error)
{
    log_line("Cannot accept connections: %s with %ld open", strerror(error), server->connection_count);
    deadline_set(&server->loop, &server->accept_rest, server->loop.now_ms + ACCEPT_REST_MS);
}

static void accept_waiting(struct server *server)
{
    while (has_room(server)) {
        int descriptor = accept4(server->listener.descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor == -1) {
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                rest_from_accepting(server, errno);
            break;
        }
        int on = 1;
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connection_open(server, descriptor);
    }
    update_accepting(server);
}

static void on_listener(struct watch *watch, uint32_t events)
{
    (void)events;
    accept_waiting(owner_of(watch, struct server, listener));
}

static void on_accept_rest(struct deadline *deadline)
{
    update_accepting(owner_of(deadline, struct server, accept_rest));
}

/*
 * Closing a listener resets every connection that is still being made, and their clients think that they
 * are connected: their requests would be lost. So the kernel is first told to drop packets that begin a
 * connection (their senders try again, find the port closed and go elsewhere), those already begun are
 * given the time of a round trip, and only then is the listener closed.
 */
static void refuse_new_connections(struct server *server)
{
    enum { TCP_FLAGS_OFFSET = 13, SYN = 0x02 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_OFFSET),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof code[0], .filter = code};
    if (setsockopt(server->listener.descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == -1)
        log_line("Cannot hold new connections back: %s", strerror(errno));
    deadline_set(&server->loop, &server->backlog_grace, server->loop.now_ms + BACKLOG_GRACE_MS);
}

static void close_listener(struct server *server)
{
    if (!is_listening(server))
        return;
    accept_waiting(server);
    close(server->listener.descriptor);
    server->listener.descriptor = -1;
}

static void on_backlog_grace(struct deadline *deadline)
{
    close_listener(owner_of(deadline, struct server, backlog_grace));
}

static void on_drain_end(struct deadline *deadline)
{
    struct server *server = owner_of(deadline, struct server, drain_end);
    close_listener(server);
    long cut = connections_cut(server);
    if (cut > 0)
        log_line("drained for %ld s: cut %ld open requests", server->config->drain_seconds, cut);
}

static void start_draining(struct server *server)
{
    const struct config *config = server->config;
    server->drains_since_ms = server->loop.now_ms;
    notify("STOPPING=1\nSTATUS=Draining");
    log_line("draining %ld connections for up to %ld s", server->connection_count, config->drain_seconds);

    deadline_clear(&server->loop, &server->accept_rest);
    update_accepting(server);
    refuse_new_connections(server);
    deadline_set(&server->loop, &server->drain_end, server->loop.now_ms + config->drain_seconds * 1000);
    connections_drain(server);
}

static void on_signal(struct watch *watch, uint32_t events)
{
    (void)events;
    struct server *server = owner_of(watch, struct server, signals);
    struct signalfd_siginfo signal;
    if (read(watch->descriptor, &signal, sizeof signal) != sizeof signal)
        return;
    if (variant_ignores_sigterm())
        log_line("ignoring signal %u", signal.ssi_signo);
    else if (server->drains_since_ms == 0)
        start_draining(server);
}

static bool is_finished(const struct server *server)
{
    return server->drains_since_ms != 0 && !is_listening(server) && server->connection_count == 0;
}

int server_run(const struct config *config)
{
    struct server server = {
        .config = config,
        .listener = {.descriptor = open_listener(config), .ready = on_listener},
        .signals = {.descriptor = open_signals(), .ready = on_signal},
        .accept_rest.expired = on_accept_rest,
        .backlog_grace.expired = on_backlog_grace,
        .drain_end.expired = on_drain_end,
    };
    loop_open(&server.loop);
    watch_start(&server.loop, &server.listener, EPOLLIN);
    watch_start(&server.loop, &server.signals, EPOLLIN);
    log_line("listening on %s port %u", config->address, port_of(server.listener.descriptor));
    notify("READY=1\nSTATUS=Serving");

    while (!is_finished(&server))
        loop_turn(&server.loop);

    log_line("stopped after %ld requests", server.requests_served);
    close(server.signals.descriptor);
    loop_close(&server.loop);
    return EXIT_SUCCESS;
}
