#include "check.h"
#include "routes.h"
#include "version.h"

static struct config config;
static struct situation situation = {.config = &config};
static struct answer answer;

static void ask(enum method method, const char *path, const char *query, const char *body)
{
    const struct request request = {.method = method,
                                    .path = {path, strlen(path)},
                                    .query = {query, strlen(query)}};
    route(&request, (struct slice){body, strlen(body)}, &situation, &answer);
}

static bool body_is(const char *text)
{
    return slice_equals(answer.body, text);
}

static void answers_each_path(void)
{
    ask(METHOD_GET, "/", "", "");
    CHECK_NUMBER(answer.status, 200);
    CHECK(body_is("Hello\n"));

    ask(METHOD_POST, "/echo", "", "what I said");
    CHECK_NUMBER(answer.status, 200);
    CHECK(body_is("what I said"));

    ask(METHOD_GET, "/version", "", "");
    char version[200];
    snprintf(version, sizeof version, "{\"version\":\"%s\",\"build\":\"%s\"}\n", program_version(), program_build());
    CHECK(body_is(version));

    situation.connections = 3;
    situation.requests_in_flight = 2;
    situation.requests_served = 7;
    ask(METHOD_HEAD, "/stats", "", "");
    CHECK(body_is("{\"connections\":3,\"requestsInFlight\":2,\"requestsServed\":7,\"draining\":false}\n"));
}

static void is_healthy_until_it_drains(void)
{
    ask(METHOD_GET, "/health", "", "");
    CHECK_NUMBER(answer.status, 200);
    CHECK(body_is("ok\n"));
    situation.draining = true;
    ask(METHOD_GET, "/health", "", "");
    CHECK_NUMBER(answer.status, 503);
    situation.draining = false;
}

static void bounds_what_a_query_may_ask_for(void)
{
    static const struct {
        const char *path, *query;
        int status;
        long after_ms, lines;
    } cases[] = {
        {"/slow", "", 200, 1000, 0},          {"/slow", "ms=", 400, 0, 0},
        {"/slow", "ms=250", 200, 250, 0},     {"/slow", "other=1&ms=250", 200, 250, 0},
        {"/slow", "xms=250", 200, 1000, 0},   {"/slow", "ms=60001", 400, 0, 0},
        {"/slow", "ms=-1", 400, 0, 0},        {"/slow", "ms=1e3", 400, 0, 0},
        {"/slow", "ms=00000000000000000001", 400, 0, 0},
        {"/stream", "seconds=2", 200, 0, 20}, {"/stream", "seconds=0", 200, 0, 0},
        {"/stream", "seconds=x", 400, 0, 0},  {"/stream", "seconds=3601", 400, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask(METHOD_GET, cases[i].path, cases[i].query, "");
        CHECK_NUMBER(answer.status, cases[i].status);
        CHECK_NUMBER(answer.after_ms, cases[i].after_ms);
        CHECK_NUMBER(answer.lines, cases[i].lines);
    }
}

static void refuses_unknown_paths_and_methods(void)
{
    ask(METHOD_GET, "/nothing", "", "");
    CHECK_NUMBER(answer.status, 404);
    ask(METHOD_POST, "/", "", "");
    CHECK_NUMBER(answer.status, 405);
    CHECK_TEXT(answer.allow, "GET, HEAD");
    ask(METHOD_GET, "/echo", "", "");
    CHECK_NUMBER(answer.status, 405);
    CHECK_TEXT(answer.allow, "POST");
}

int main(void)
{
    config_set_defaults(&config);
    answers_each_path();
    is_healthy_until_it_drains();
    bounds_what_a_query_may_ask_for();
    refuses_unknown_paths_and_methods();
    return CHECKS_RESULT;
}
