#include "routes.h"

#include "response.h"
#include "version.h"

#include <stdarg.h>
#include <string.h>

static const char plain_text[] = "text/plain; charset=utf-8";
static const char json[] = "application/json";

static void set_text(struct answer *answer, int status, const char *type, const char *format, va_list arguments)
{
    int length = vsnprintf(answer->text, sizeof answer->text, format, arguments);
    answer->kind = ANSWER_NOW;
    answer->status = status;
    answer->type = type;
    answer->body = (struct slice){answer->text, length < 0 ? 0 : (size_t)length};
    if (answer->body.length >= sizeof answer->text)
        answer->body.length = sizeof answer->text - 1;
}

void answer_text(struct answer *answer, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_text(answer, status, plain_text, format, arguments);
    va_end(arguments);
}

static void answer_json(struct answer *answer, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void answer_json(struct answer *answer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_text(answer, 200, json, format, arguments);
    va_end(arguments);
}

void refuse(int status, struct answer *answer)
{
    *answer = (struct answer){0};
    answer_text(answer, status, "%d %s\n", status, reason_of(status));
}

enum query { QUERY_ABSENT, QUERY_GOOD, QUERY_BAD };

/* Looks for `name=number` in a query. */
static enum query query_number(struct slice query, const char *name, long min, long max, long *number)
{
    size_t name_length = strlen(name);
    const char *at = query.bytes, *end = query.bytes + query.length;
    while (at && at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        size_t length = (size_t)((next ? next : end) - at);
        if (length > name_length && memcmp(at, name, name_length) == 0 && at[name_length] == '=') {
            char value[16];
            size_t value_length = length - name_length - 1;
            if (value_length >= sizeof value)
                return QUERY_BAD;
            memcpy(value, at + name_length + 1, value_length);
            value[value_length] = '\0';
            return parse_number(value, min, max, number) ? QUERY_GOOD : QUERY_BAD;
        }
        at = next ? next + 1 : end;
    }
    return QUERY_ABSENT;
}

/* One signature for all routes; few need every part of it. */
struct asked {
    const struct request *request;
    struct slice body;
    const struct situation *situation;
};

static void greet(const struct asked *asked, struct answer *answer)
{
    answer_text(answer, 200, "%s\n", asked->situation->config->greeting);
}

static void tell_health(const struct asked *asked, struct answer *answer)
{
    if (asked->situation->draining)
        answer_text(answer, 503, "draining\n");
    else
        answer_text(answer, 200, "ok\n");
}

static void tell_version(const struct asked *asked, struct answer *answer)
{
    (void)asked;
    answer_json(answer, "{\"version\":\"%s\",\"build\":\"%s\"}\n", program_version(), program_build());
}

static void tell_stats(const struct asked *asked, struct answer *answer)
{
    const struct situation *now = asked->situation;
    answer_json(answer,
                "{\"connections\":%ld,\"requestsInFlight\":%ld,\"requestsServed\":%ld,\"draining\":%s}\n",
                now->connections, now->requests_in_flight, now->requests_served,
                now->draining ? "true" : "false");
}

static void answer_slowly(const struct asked *asked, struct answer *answer)
{
    enum { SLOW_MAX_MS = 60000 };
    long after_ms = asked->situation->config->slow_ms;
    if (query_number(asked->request->query, "ms", 0, SLOW_MAX_MS, &after_ms) == QUERY_BAD) {
        answer_text(answer, 400, "ms needs a whole number from 0 to %d\n", SLOW_MAX_MS);
        return;
    }
    answer_text(answer, 200, "answered after %ld ms\n", after_ms);
    answer->kind = ANSWER_LATER;
    answer->after_ms = after_ms;
}

static void stream(const struct asked *asked, struct answer *answer)
{
    enum { STREAM_MAX_SECONDS = 3600 };
    long seconds = 10;
    if (query_number(asked->request->query, "seconds", 0, STREAM_MAX_SECONDS, &seconds) == QUERY_BAD) {
        answer_text(answer, 400, "seconds needs a whole number from 0 to %d\n", STREAM_MAX_SECONDS);
        return;
    }
    *answer = (struct answer){
        .kind = ANSWER_STREAM, .status = 200, .type = plain_text, .lines = seconds * 1000 / STREAM_STEP_MS};
}

static void echo(const struct asked *asked, struct answer *answer)
{
    *answer = (struct answer){
        .kind = ANSWER_NOW, .status = 200, .type = "application/octet-stream", .body = asked->body};
}

static const struct route {
    const char *path;
    bool takes_post; /* else GET and HEAD */
    void (*answer)(const struct asked *asked, struct answer *answer);
} routes[] = {
    {"/", false, greet},          {"/health", false, tell_health},   {"/version", false, tell_version},
    {"/stats", false, tell_stats}, {"/slow", false, answer_slowly}, {"/stream", false, stream},
    {"/echo", true, echo},
};

static const struct route *find_route(struct slice path)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (slice_equals(path, routes[i].path))
            return &routes[i];
    return NULL;
}

void route(const struct request *request, struct slice body, const struct situation *situation,
           struct answer *answer)
{
    const struct route *found = find_route(request->path);
    if (!found) {
        refuse(404, answer);
        return;
    }
    bool allowed = found->takes_post ? request->method == METHOD_POST
                                     : request->method == METHOD_GET || request->method == METHOD_HEAD;
    if (!allowed) {
        refuse(405, answer);
        answer->allow = found->takes_post ? "POST" : "GET, HEAD";
        return;
    }
    *answer = (struct answer){0};
    const struct asked asked = {request, body, situation};
    found->answer(&asked, answer);
}
