#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

/* A descriptor to be told about. Stands inside what owns it. */
struct watch {
    int descriptor;
    uint32_t events;
    void (*ready)(struct watch *watch, uint32_t events);
};

/* A moment to be woken at. Stands inside what owns it; all zero is one that is not set. */
struct deadline {
    int64_t at_ms;
    size_t place; /* in the heap, from 1; 0: not set */
    void (*expired)(struct deadline *deadline);
};

/* One thread's events and moments. */
struct loop {
    int epoll;
    int64_t now_ms; /* monotonic, read once per turn */
    struct deadline **heap;
    size_t count;
    size_t capacity;
};

/* From a member back to the structure that it stands in. */
#define owner_of(member, type, name) ((type *)(void *)((char *)(member) - offsetof(type, name)))

void loop_open(struct loop *loop);
void loop_close(struct loop *loop);

/* Waits for events or the next deadline, and serves them. An event may end only its own watch. */
void loop_turn(struct loop *loop);

void watch_start(struct loop *loop, struct watch *watch, uint32_t events);
void watch_change(struct loop *loop, struct watch *watch, uint32_t events);

void deadline_set(struct loop *loop, struct deadline *deadline, int64_t at_ms);
void deadline_clear(struct loop *loop, struct deadline *deadline);
