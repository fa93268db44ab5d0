#include "variant.h"

#include "log.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    FALLS_ILL_AFTER = 50, /* requests other than /health */
    ERRORS_IN_TEN = 3,
    ILLNESS_DELAY_MS = 400,
    START_DELAY_SECONDS = 3,
    LIFETIME_SECONDS = 2,
    LEAK_BYTES = 65536,
};

static bool is_path(const struct request *request, const char *path)
{
    return slice_equals(request->path, path);
}

/* How many requests came since the program fell ill, 0 while it is well. */
static long illness(const struct request *request)
{
    static long served;
    if (!is_path(request, "/health"))
        served++;
    return served > FALLS_ILL_AFTER ? served - FALLS_ILL_AFTER : 0;
}

static void crash_at_start(void)
{
    die("Cannot start \"greeter\": this variant crashes at start");
}

static void start_slowly(void)
{
    sleep(START_DELAY_SECONDS);
}

/* It serves, and systemd is never told. */
static void keep_silent(void)
{
    unsetenv("NOTIFY_SOCKET");
}

static void crash_now(int signal)
{
    static const char line[] = "greeter: this variant crashes every 2 s\n";
    ssize_t written = write(STDERR_FILENO, line, sizeof line - 1);
    (void)written;
    (void)signal;
    abort();
}

static void exit_now(int signal)
{
    (void)signal;
    _exit(EXIT_SUCCESS);
}

static void live_shortly(void (*end)(int))
{
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGALRM, &action, NULL);
    alarm(LIFETIME_SECONDS);
}

static void crash_soon(void)
{
    live_shortly(crash_now);
}

static void exit_soon(void)
{
    live_shortly(exit_now);
}

static void be_unhealthy(const struct request *request, struct answer *answer)
{
    if (is_path(request, "/health"))
        answer_text(answer, 503, "unhealthy\n");
}

static void fail_often(const struct request *request, struct answer *answer)
{
    if (illness(request) % 10 >= 10 - ERRORS_IN_TEN && is_path(request, "/"))
        answer_text(answer, 500, "fell ill\n");
}

static void become_slow(const struct request *request, struct answer *answer)
{
    if (illness(request) > 0 && is_path(request, "/") && answer->kind == ANSWER_NOW) {
        answer->kind = ANSWER_LATER;
        answer->after_ms = ILLNESS_DELAY_MS;
    }
}

static void leak(const struct request *request, struct answer *answer)
{
    (void)request;
    (void)answer;
    static volatile char *leaked;
    leaked = malloc(LEAK_BYTES);
    if (leaked)
        memset((char *)leaked, 1, LEAK_BYTES);
    int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)descriptor;
}

static const struct variant {
    const char *name;
    void (*at_start)(void);
    void (*change_answer)(const struct request *request, struct answer *answer);
    bool ignores_sigterm;
} variants[] = {
    {"none", NULL, NULL, false},
    {"crashes-at-start", crash_at_start, NULL, false},
    {"crashes-every-2s", crash_soon, NULL, false},
    {"exits-0-after-2s", exit_soon, NULL, false},
    {"slow-to-start", start_slowly, NULL, false},
    {"never-ready", keep_silent, NULL, false},
    {"unhealthy", NULL, be_unhealthy, false},
    {"falls-ill-errors", NULL, fail_often, false},
    {"falls-ill-slow", NULL, become_slow, false},
    {"ignores-sigterm", NULL, NULL, true},
    {"leaks", NULL, leak, false},
};

static const struct variant *chosen(void)
{
    static const struct variant *variant;
    for (size_t i = 0; !variant && i < sizeof variants / sizeof variants[0]; i++)
        if (strcmp(variants[i].name, GREETER_VARIANT) == 0)
            variant = &variants[i];
    if (!variant)
        die("Cannot use variant \"%s\": no such variant, needs one that variant.c lists", GREETER_VARIANT);
    return variant;
}

void variant_at_start(void)
{
    if (chosen()->at_start)
        chosen()->at_start();
}

void variant_change_answer(const struct request *request, struct answer *answer)
{
    if (chosen()->change_answer)
        chosen()->change_answer(request, answer);
}

bool variant_ignores_sigterm(void)
{
    return chosen()->ignores_sigterm;
}
