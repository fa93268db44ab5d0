#pragma once

#include "buffer.h"
#include "config.h"
#include "request.h"

#include <stdbool.h>

enum { ANSWER_TEXT_MAX = 512 };

enum answer_kind {
    ANSWER_NOW,
    ANSWER_LATER, /* after `after_ms` */
    ANSWER_STREAM /* one line each STREAM_STEP_MS, `lines` times */
};

enum { STREAM_STEP_MS = 100 };

/* What to answer. `body` points into the request, a constant or `text`: do not copy an answer. */
struct answer {
    enum answer_kind kind;
    int status;
    const char *type;
    const char *allow; /* the methods that a 405 offers, else NULL */
    struct slice body;
    char text[ANSWER_TEXT_MAX];
    long after_ms;
    long lines;
};

/* What an answer may depend on besides the request. */
struct situation {
    const struct config *config;
    bool draining;
    long connections;
    long requests_in_flight; /* without the one that asks */
    long requests_served;
};

/* Decides the answer to a request whose body has arrived. Knows no socket and no clock. */
void route(const struct request *request, struct slice body, const struct situation *situation,
           struct answer *answer);

/* The answer to a request that could not be read. */
void refuse(int status, struct answer *answer);

void answer_text(struct answer *answer, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
