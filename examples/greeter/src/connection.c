#include "connection.h"

#include "log.h"
#include "request.h"
#include "response.h"
#include "routes.h"
#include "variant.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_SIZE = 16384,
    OUTPUT_MAX = 65536,     /* more than this unsent: no further request is taken */
    SEND_STALL_MS = 30000,  /* a client that reads nothing for so long is given up */
    LINGER_CLOSE_MS = 1000, /* what a client gets to close its side after we closed ours */
};

enum state {
    RECEIVING, /* a request arrives, or none: then the connection is idle */
    WAITING,   /* the answer is due later */
    STREAMING, /* the answer comes line by line */
    CLOSING,   /* no further request is taken; what is unsent goes out */
    LINGERING, /* our side is closed; what still comes is thrown away */
};

struct connection {
    struct watch watch;
    struct deadline deadline;
    struct server *server;
    struct connection *previous, *next;
    enum state state;
    struct buffer in, out;
    bool input_ended;
    bool said_continue;
    bool send_blocked;
    int64_t since_ms;      /* RECEIVING: since the first byte of the request, or since it is idle */
    int64_t sent_ms;       /* the last time that the client took bytes */
    size_t request_length; /* of the request being answered, which still stands in `in` */
    bool wants_keep_alive;
    struct framing framing;
    struct answer answer;
    int64_t answer_due_ms; /* the answer, or the next line of a stream */
    long lines_written;
};

static const int64_t *now_of(const struct connection *connection)
{
    return &connection->server->loop.now_ms;
}

static bool is_idle(const struct connection *connection)
{
    return connection->state == RECEIVING && connection->in.length == 0 && connection->out.length == 0;
}

static bool has_open_request(const struct connection *connection)
{
    return connection->state != LINGERING && !is_idle(connection);
}

static bool is_being_answered(const struct connection *connection)
{
    return connection->state == WAITING || connection->state == STREAMING;
}

static void end(struct connection *connection)
{
    struct server *server = connection->server;
    if (is_being_answered(connection))
        server->requests_in_flight--;
    deadline_clear(&server->loop, &connection->deadline);
    close(connection->watch.descriptor);

    if (connection->previous)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    server->connection_count--;

    buffer_free(&connection->in);
    buffer_free(&connection->out);
    free(connection);
    server_connection_ended(server);
}

/* --- from request to answer --- */

static bool may_keep_alive(const struct connection *connection)
{
    bool ends_with_connection =
        connection->answer.kind == ANSWER_STREAM && connection->framing.minor_version == 0;
    return connection->wants_keep_alive && !ends_with_connection && connection->server->drains_since_ms == 0;
}

/* The answer stands in the output: on to the next request, or to the end of the connection. */
static void finish_request(struct connection *connection)
{
    connection->server->requests_in_flight--;
    connection->server->requests_served++;
    buffer_consume(&connection->in, connection->request_length);
    connection->state = connection->framing.keep_alive ? RECEIVING : CLOSING;
    connection->since_ms = *now_of(connection);
    connection->said_continue = false;
}

/* Whether the connection stays is decided here, as late as possible: it may drain since the request came. */
static void write_answer(struct connection *connection)
{
    connection->framing.keep_alive = may_keep_alive(connection);
    write_response(&connection->out, &connection->answer, connection->framing);
}

static void start_stream(struct connection *connection)
{
    write_answer(connection);
    if (connection->framing.head_only) {
        finish_request(connection);
        return;
    }
    connection->state = STREAMING;
    connection->lines_written = 0;
    connection->answer_due_ms = *now_of(connection);
}

static void continue_stream(struct connection *connection)
{
    if (connection->lines_written == connection->answer.lines) {
        write_last_chunk(&connection->out, connection->framing);
        finish_request(connection);
        return;
    }
    char line[64];
    connection->lines_written++;
    snprintf(line, sizeof line, "line %ld of %ld\n", connection->lines_written, connection->answer.lines);
    write_chunk(&connection->out, connection->framing, line);
    connection->answer_due_ms += STREAM_STEP_MS;
}

static void start_answer(struct connection *connection, const struct request *request)
{
    struct server *server = connection->server;
    const struct situation situation = {
        .config = server->config,
        .draining = server->drains_since_ms != 0,
        .connections = server->connection_count,
        .requests_in_flight = server->requests_in_flight,
        .requests_served = server->requests_served,
    };
    struct slice body = {connection->in.bytes + request->head_length, request->body_length};

    server->requests_in_flight++;
    connection->request_length = request->head_length + request->body_length;
    connection->wants_keep_alive = request->keep_alive;
    connection->framing = (struct framing){.minor_version = request->minor_version,
                                           .head_only = request->method == METHOD_HEAD};
    route(request, body, &situation, &connection->answer);
    variant_change_answer(request, &connection->answer);

    switch (connection->answer.kind) {
    case ANSWER_NOW:
        write_answer(connection);
        finish_request(connection);
        break;
    case ANSWER_LATER:
        connection->state = WAITING;
        connection->answer_due_ms = *now_of(connection) + connection->answer.after_ms;
        break;
    case ANSWER_STREAM:
        start_stream(connection);
        break;
    }
}

static void refuse_request(struct connection *connection, int status)
{
    refuse(status, &connection->answer);
    connection->framing = (struct framing){.minor_version = 1};
    write_response(&connection->out, &connection->answer, connection->framing);
    connection->state = CLOSING;
}

/* True: a request was taken from the input. */
static bool take_request(struct connection *connection)
{
    struct buffer *in = &connection->in;
    struct request request;
    int refusal;
    if (in->length == 0)
        return false;

    switch (request_parse(in->bytes, in->length, &request, &refusal)) {
    case REQUEST_INCOMPLETE:
        return false;
    case REQUEST_REFUSED:
        refuse_request(connection, refusal);
        return true;
    case REQUEST_COMPLETE:
        break;
    }
    if (request.body_length > (size_t)connection->server->config->max_body_bytes) {
        refuse_request(connection, 413);
        return true;
    }
    if (in->length - request.head_length < request.body_length) {
        if (request.expects_continue && request.minor_version == 1 && !connection->said_continue) {
            connection->said_continue = true;
            buffer_print(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
        }
        return false;
    }
    start_answer(connection, &request);
    return true;
}

/* --- bytes in and out --- */

/* False: the connection is lost. */
static bool send_output(struct connection *connection)
{
    struct buffer *out = &connection->out;
    while (out->length > 0) {
        ssize_t sent = send(connection->watch.descriptor, out->bytes, out->length, MSG_NOSIGNAL);
        if (sent == -1 && errno == EINTR)
            continue;
        if (sent == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (!connection->send_blocked)
                connection->sent_ms = *now_of(connection);
            connection->send_blocked = true;
            return true;
        }
        if (sent == -1)
            return false;
        buffer_consume(out, (size_t)sent);
        connection->sent_ms = *now_of(connection);
    }
    connection->send_blocked = false;
    return true;
}

/* False: the connection is lost. */
static bool receive_input(struct connection *connection)
{
    struct buffer *in = &connection->in;
    if (connection->state == LINGERING)
        in->length = 0;
    bool was_empty = in->length == 0;
    ssize_t received = recv(connection->watch.descriptor, buffer_reserve(in, READ_SIZE), READ_SIZE, 0);
    if (received == -1)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    in->length += (size_t)received;
    connection->input_ended = received == 0;
    if (was_empty && received > 0 && connection->state == RECEIVING)
        connection->since_ms = *now_of(connection);
    return true;
}

/*
 * Closing with unread bytes makes the kernel reset the connection, which may destroy the last answer on its
 * way. So only our side is closed, and the client's is read until it closes too.
 */
static void start_lingering(struct connection *connection)
{
    shutdown(connection->watch.descriptor, SHUT_WR);
    connection->state = LINGERING;
    connection->since_ms = *now_of(connection);
}

static uint32_t wanted_events(const struct connection *connection)
{
    bool reads = connection->state == LINGERING ||
                 (connection->state == RECEIVING && connection->out.length < OUTPUT_MAX);
    return (reads && !connection->input_ended ? EPOLLIN : 0) | (connection->send_blocked ? EPOLLOUT : 0);
}

static int64_t idle_until_ms(const struct connection *connection)
{
    const struct server *server = connection->server;
    if (server->drains_since_ms == 0)
        return connection->since_ms + server->config->idle_seconds * 1000;
    int64_t since_ms =
        connection->since_ms > server->drains_since_ms ? connection->since_ms : server->drains_since_ms;
    return since_ms + server->config->linger_ms;
}

static int64_t next_deadline_ms(const struct connection *connection)
{
    if (connection->send_blocked && connection->state != WAITING)
        return connection->sent_ms + SEND_STALL_MS;
    if (is_being_answered(connection))
        return connection->answer_due_ms;
    if (connection->state == LINGERING)
        return connection->since_ms + LINGER_CLOSE_MS;
    if (connection->in.length > 0)
        return connection->since_ms + connection->server->config->request_seconds * 1000;
    return idle_until_ms(connection);
}

/* Takes what can be taken, sends what can be sent, and waits for what comes next. May end the connection. */
static void advance(struct connection *connection)
{
    bool took = true;
    while (took && connection->out.length < OUTPUT_MAX) {
        took = connection->state == RECEIVING && take_request(connection);
        if ((!took || connection->out.length >= OUTPUT_MAX) && !send_output(connection)) {
            end(connection);
            return;
        }
    }
    if (connection->state == RECEIVING && connection->input_ended)
        connection->state = CLOSING;
    if (connection->state == CLOSING && connection->out.length == 0) {
        if (connection->input_ended) {
            end(connection);
            return;
        }
        start_lingering(connection);
    }
    watch_change(&connection->server->loop, &connection->watch, wanted_events(connection));
    deadline_set(&connection->server->loop, &connection->deadline, next_deadline_ms(connection));
}

static void on_ready(struct watch *watch, uint32_t events)
{
    struct connection *connection = owner_of(watch, struct connection, watch);
    bool lost = (events & (EPOLLERR | EPOLLHUP)) != 0 ||
                ((events & EPOLLIN) != 0 && !receive_input(connection)) ||
                ((events & EPOLLOUT) != 0 && !send_output(connection));
    if (lost || (connection->state == LINGERING && connection->input_ended))
        end(connection);
    else
        advance(connection);
}

static void on_expired(struct deadline *deadline)
{
    struct connection *connection = owner_of(deadline, struct connection, deadline);
    bool gave_up = connection->state == LINGERING || (connection->send_blocked && connection->state != WAITING);
    if (gave_up) {
        end(connection);
        return;
    }
    if (connection->state == WAITING) {
        write_answer(connection);
        finish_request(connection);
    } else if (connection->state == STREAMING) {
        continue_stream(connection);
    } else if (connection->in.length > 0) {
        refuse_request(connection, 408);
    } else {
        connection->state = CLOSING;
    }
    advance(connection);
}

void connection_open(struct server *server, int descriptor)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        die("Cannot get memory for connection %ld", server->connection_count + 1);
    connection->watch = (struct watch){.descriptor = descriptor, .ready = on_ready};
    connection->deadline.expired = on_expired;
    connection->server = server;
    connection->since_ms = server->loop.now_ms;

    connection->next = server->connections;
    if (connection->next)
        connection->next->previous = connection;
    server->connections = connection;
    server->connection_count++;

    watch_start(&server->loop, &connection->watch, EPOLLIN);
    deadline_set(&server->loop, &connection->deadline, next_deadline_ms(connection));
}

void connections_drain(struct server *server)
{
    for (struct connection *each = server->connections; each; each = each->next)
        deadline_set(&server->loop, &each->deadline, next_deadline_ms(each));
}

long connections_cut(struct server *server)
{
    long cut = 0;
    for (struct connection *next, *each = server->connections; each; each = next) {
        next = each->next;
        cut += has_open_request(each);
        end(each);
    }
    return cut;
}
