#include "loop.h"

#include "log.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 64 };

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void loop_open(struct loop *loop)
{
    *loop = (struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC), .now_ms = monotonic_ms()};
    if (loop->epoll == -1)
        die("Cannot wait for events: %s", strerror(errno));
}

void loop_close(struct loop *loop)
{
    close(loop->epoll);
    free(loop->heap);
}

static int wait_ms(const struct loop *loop)
{
    if (loop->count == 0)
        return -1;
    int64_t left = loop->heap[0]->at_ms - loop->now_ms;
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

void loop_turn(struct loop *loop)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(loop->epoll, events, EVENTS_PER_TURN, wait_ms(loop));
    if (count == -1 && errno != EINTR)
        die("Cannot wait for events: %s", strerror(errno));

    loop->now_ms = monotonic_ms();
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        watch->ready(watch, events[i].events);
    }
    /* After the events: a request that came in time is served before its connection counts as idle. */
    while (loop->count > 0 && loop->heap[0]->at_ms <= loop->now_ms) {
        struct deadline *due = loop->heap[0];
        deadline_clear(loop, due);
        due->expired(due);
    }
}

static void control(struct loop *loop, int operation, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    watch->events = events;
    if (epoll_ctl(loop->epoll, operation, watch->descriptor, &event) == -1)
        die("Cannot watch descriptor %d: %s", watch->descriptor, strerror(errno));
}

void watch_start(struct loop *loop, struct watch *watch, uint32_t events)
{
    control(loop, EPOLL_CTL_ADD, watch, events);
}

void watch_change(struct loop *loop, struct watch *watch, uint32_t events)
{
    if (events != watch->events)
        control(loop, EPOLL_CTL_MOD, watch, events);
}

/* The heap: the parent of place n is n / 2, and is due no later. Places count from 1. */

static void put(struct loop *loop, size_t place, struct deadline *deadline)
{
    loop->heap[place - 1] = deadline;
    deadline->place = place;
}

static void rise(struct loop *loop, struct deadline *deadline)
{
    size_t place = deadline->place;
    for (; place > 1 && loop->heap[place / 2 - 1]->at_ms > deadline->at_ms; place /= 2)
        put(loop, place, loop->heap[place / 2 - 1]);
    put(loop, place, deadline);
}

static void sink(struct loop *loop, struct deadline *deadline)
{
    size_t place = deadline->place;
    for (size_t child; (child = 2 * place) <= loop->count; place = child) {
        if (child < loop->count && loop->heap[child]->at_ms < loop->heap[child - 1]->at_ms)
            child++;
        if (loop->heap[child - 1]->at_ms >= deadline->at_ms)
            break;
        put(loop, place, loop->heap[child - 1]);
    }
    put(loop, place, deadline);
}

static void grow(struct loop *loop)
{
    size_t capacity = loop->capacity ? 2 * loop->capacity : 64;
    struct deadline **heap = realloc(loop->heap, capacity * sizeof *heap);
    if (!heap)
        die("Cannot get memory for %zu deadlines", capacity);
    loop->heap = heap;
    loop->capacity = capacity;
}

void deadline_set(struct loop *loop, struct deadline *deadline, int64_t at_ms)
{
    if (deadline->place == 0) {
        if (loop->count == loop->capacity)
            grow(loop);
        put(loop, ++loop->count, deadline);
    }
    deadline->at_ms = at_ms;
    rise(loop, deadline);
    sink(loop, deadline);
}

void deadline_clear(struct loop *loop, struct deadline *deadline)
{
    if (deadline->place == 0)
        return;
    struct deadline *last = loop->heap[--loop->count];
    if (last != deadline) {
        put(loop, deadline->place, last);
        rise(loop, last);
        sink(loop, last);
    }
    deadline->place = 0;
}
