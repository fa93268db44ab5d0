#pragma once

#include "buffer.h"
#include "routes.h"

#include <stdbool.h>

/* How an answer is put on the wire. */
struct framing {
    int minor_version; /* of the request */
    bool head_only;
    bool keep_alive;
};

const char *reason_of(int status);

/* Appends head and body; of a stream, the head alone. */
void write_response(struct buffer *out, const struct answer *answer, struct framing framing);

/* A piece of a stream, and its end. HTTP/1.0 knows no chunks: there the end is the end of the connection. */
void write_chunk(struct buffer *out, struct framing framing, const char *text);
void write_last_chunk(struct buffer *out, struct framing framing);
