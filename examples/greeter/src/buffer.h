#pragma once

#include <stddef.h>

/* Bytes that somebody else owns. */
struct slice {
    const char *bytes;
    size_t length;
};

/* Bytes that grow at the end and are taken from the front. All zero is an empty one. */
struct buffer {
    char *bytes;
    size_t length;
    size_t capacity;
};

/* Makes room for `room` more bytes and returns where they go. The caller adds to `length` what it wrote. */
char *buffer_reserve(struct buffer *buffer, size_t room);
void buffer_append(struct buffer *buffer, const char *bytes, size_t length);
void buffer_print(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_consume(struct buffer *buffer, size_t length);
void buffer_free(struct buffer *buffer);
