#pragma once

#include "buffer.h"

#include <stdbool.h>

enum { REQUEST_HEAD_MAX = 8192 };

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_OTHER };

/* The head of a request. The slices point into the bytes that were parsed. */
struct request {
    enum method method;
    struct slice path;
    struct slice query; /* what follows the question mark */
    int minor_version;  /* of HTTP/1 */
    bool keep_alive;    /* what the client wishes */
    bool expects_continue;
    size_t head_length;
    size_t body_length;
};

enum parsed { REQUEST_COMPLETE, REQUEST_INCOMPLETE, REQUEST_REFUSED };

/*
 * Reads the head at the start of `bytes`. It is strict where two readers of one connection could differ
 * (lengths, line ends, folded lines): behind a load balancer that is how requests get smuggled.
 * Refused: `refusal` is the status to answer with before closing the connection.
 */
enum parsed request_parse(const char *bytes, size_t length, struct request *request, int *refusal);

bool slice_equals(struct slice slice, const char *text);
