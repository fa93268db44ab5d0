#include "check.h"
#include "loop.h"

#include <stdlib.h>

enum { DEADLINES = 200 };

static struct deadline deadlines[DEADLINES];
static int64_t last_ms;
static int expired;

static void note(struct deadline *deadline)
{
    CHECK(deadline->at_ms >= last_ms);
    last_ms = deadline->at_ms;
    expired++;
}

static void wakes_in_the_order_of_the_deadlines(void)
{
    struct loop loop;
    loop_open(&loop);
    srand(1);
    for (int i = 0; i < DEADLINES; i++) {
        deadlines[i].expired = note;
        deadline_set(&loop, &deadlines[i], loop.now_ms - rand() % 1000);
    }
    for (int i = 0; i < DEADLINES; i += 2)
        deadline_set(&loop, &deadlines[i], loop.now_ms - rand() % 1000);
    for (int i = 0; i < DEADLINES; i += 5)
        deadline_clear(&loop, &deadlines[i]);
    deadline_clear(&loop, &deadlines[0]);

    last_ms = loop.now_ms - 1000;
    loop_turn(&loop);
    CHECK_NUMBER(expired, DEADLINES - DEADLINES / 5);
    CHECK_NUMBER(loop.count, 0);
    loop_close(&loop);
}

int main(void)
{
    wakes_in_the_order_of_the_deadlines();
    return CHECKS_RESULT;
}
