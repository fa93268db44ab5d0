#pragma once

/* Enough of a test framework: a check that fails tells where and what, and the rest still runs. */

#include <stdio.h>
#include <string.h>

static int failed_checks;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            failed_checks++;                                                                                 \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                        \
        }                                                                                                    \
    } while (0)

#define CHECK_NUMBER(actual, expected)                                                                       \
    do {                                                                                                     \
        long long is = (long long)(actual), wanted = (long long)(expected);                                  \
        if (is != wanted) {                                                                                  \
            failed_checks++;                                                                                 \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #actual, is, wanted);       \
        }                                                                                                    \
    } while (0)

#define CHECK_TEXT(actual, expected)                                                                         \
    do {                                                                                                     \
        const char *is = (actual), *wanted = (expected);                                                     \
        if (strcmp(is, wanted) != 0) {                                                                       \
            failed_checks++;                                                                                 \
            fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #actual, is, wanted);   \
        }                                                                                                    \
    } while (0)

#define CHECKS_RESULT (failed_checks ? 1 : 0)
