#include "check.h"
#include "request.h"

#include <stdlib.h>

#define LINE "GET / HTTP/1.1\r\nHost: a\r\n"

static enum parsed parse(const char *text, struct request *request, int *refusal)
{
    *refusal = 0;
    return request_parse(text, strlen(text), request, refusal);
}

static void reads_a_head(void)
{
    struct request request;
    int refusal;
    const char *text = "POST /echo?a=1&b HTTP/1.1\r\nhOsT: example\r\nContent-Length:  5 \r\n\r\nhello";
    CHECK_NUMBER(parse(text, &request, &refusal), REQUEST_COMPLETE);
    CHECK_NUMBER(request.method, METHOD_POST);
    CHECK(slice_equals(request.path, "/echo"));
    CHECK(slice_equals(request.query, "a=1&b"));
    CHECK_NUMBER(request.minor_version, 1);
    CHECK_NUMBER(request.body_length, 5);
    CHECK_TEXT(text + request.head_length, "hello");
    CHECK(request.keep_alive);
}

static void waits_for_every_byte_of_it(void)
{
    static const char text[] = "\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    struct request request;
    int refusal;
    for (size_t length = 0; length < sizeof text - 1; length++) {
        /* A copy of its own, so that the sanitizers see a read past its end. */
        char *part = malloc(length + 1);
        memcpy(part, text, length);
        CHECK_NUMBER(request_parse(part, length, &request, &refusal), REQUEST_INCOMPLETE);
        free(part);
    }
    CHECK_NUMBER(parse(text, &request, &refusal), REQUEST_COMPLETE);
    CHECK_NUMBER(request.head_length, sizeof text - 1);
}

static void decides_whether_the_connection_stays(void)
{
    static const struct {
        const char *text;
        bool keep_alive;
    } cases[] = {
        {LINE "\r\n", true},
        {LINE "Connection: close\r\n\r\n", false},
        {LINE "Connection: keep-alive, Close\r\n\r\n", false},
        {LINE "Connection: close\r\nConnection: keep-alive\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct request request;
        int refusal;
        CHECK_NUMBER(parse(cases[i].text, &request, &refusal), REQUEST_COMPLETE);
        CHECK_NUMBER(request.keep_alive, cases[i].keep_alive);
    }
}

static void accepts_the_absolute_form(void)
{
    struct request request;
    int refusal;
    CHECK_NUMBER(parse("GET http://a.example/x?y HTTP/1.1\r\nHost: a\r\n\r\n", &request, &refusal), REQUEST_COMPLETE);
    CHECK(slice_equals(request.path, "/x"));
    CHECK_NUMBER(parse("GET http://a.example HTTP/1.1\r\nHost: a\r\n\r\n", &request, &refusal), REQUEST_COMPLETE);
    CHECK(slice_equals(request.path, "/"));
}

static void refuses_what_two_readers_could_read_differently(void)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"nonsense\r\n\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {LINE "Host: b\r\n\r\n", 400},
        {LINE "A : b\r\n\r\n", 400},
        {LINE "A: b\r\n folded\r\n\r\n", 400},
        {LINE "A: b\x01\r\n\r\n", 400},
        {LINE "no colon\r\n\r\n", 400},
        {LINE "Content-Length: -1\r\n\r\n", 400},
        {LINE "Content-Length: 1, 1\r\n\r\n", 400},
        {LINE "Content-Length: 9999999999999999\r\n\r\n", 400},
        {LINE "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {LINE "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {LINE "Transfer-Encoding: chunked\r\n\r\n", 411},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct request request;
        int refusal;
        CHECK_NUMBER(parse(cases[i].text, &request, &refusal), REQUEST_REFUSED);
        CHECK_NUMBER(refusal, cases[i].status);
    }
}

static void refuses_a_head_without_end(void)
{
    static char text[REQUEST_HEAD_MAX];
    struct request request;
    int refusal;
    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    CHECK_NUMBER(request_parse(text, sizeof text - 1, &request, &refusal), REQUEST_INCOMPLETE);
    CHECK_NUMBER(request_parse(text, sizeof text, &request, &refusal), REQUEST_REFUSED);
    CHECK_NUMBER(refusal, 414);

    memcpy(text, LINE, sizeof LINE - 1);
    CHECK_NUMBER(request_parse(text, sizeof text, &request, &refusal), REQUEST_REFUSED);
    CHECK_NUMBER(refusal, 431);

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "\r\n"[i % 2];
    CHECK_NUMBER(request_parse(text, sizeof text, &request, &refusal), REQUEST_REFUSED);
    CHECK_NUMBER(refusal, 400);
}

/* Any bytes: no crash, no read outside (the sanitizers look), never more taken than there is. */
static void survives_any_bytes(void)
{
    static const char alphabet[] = "GET /\r\n\r\n:HTTP/1.1 Content-Length: 12,chunked\t\x01\xff";
    srand(1);
    for (int round = 0; round < 20000; round++) {
        size_t length = (size_t)(rand() % 80);
        char *text = malloc(length + 1);
        for (size_t i = 0; i < length; i++)
            text[i] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        struct request request;
        int refusal = 0;
        enum parsed parsed = request_parse(text, length, &request, &refusal);
        CHECK(parsed != REQUEST_COMPLETE || request.head_length <= length);
        CHECK(parsed != REQUEST_REFUSED || refusal >= 400);
        free(text);
    }
}

int main(void)
{
    reads_a_head();
    waits_for_every_byte_of_it();
    decides_whether_the_connection_stays();
    accepts_the_absolute_form();
    refuses_what_two_readers_could_read_differently();
    refuses_a_head_without_end();
    survives_any_bytes();
    return CHECKS_RESULT;
}
