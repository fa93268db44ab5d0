#include "buffer.h"
#include "check.h"

static void takes_from_the_front_what_was_put_at_the_end(void)
{
    struct buffer buffer = {0};
    buffer_append(&buffer, "abc", 3);
    buffer_print(&buffer, "%d-%s", 42, "x");
    CHECK_NUMBER(buffer.length, 7);
    buffer_consume(&buffer, 2);
    CHECK(memcmp(buffer.bytes, "c42-x", 5) == 0);
    buffer_consume(&buffer, 5);
    CHECK_NUMBER(buffer.length, 0);
    buffer_free(&buffer);
    CHECK_NUMBER(buffer.capacity, 0);
}

static void grows_to_any_length(void)
{
    struct buffer buffer = {0};
    for (int i = 0; i < 10000; i++)
        buffer_print(&buffer, "%08d", i);
    CHECK_NUMBER(buffer.length, 80000);
    buffer_consume(&buffer, 79992);
    CHECK(memcmp(buffer.bytes, "00009999", 8) == 0);
    buffer_free(&buffer);
}

int main(void)
{
    takes_from_the_front_what_was_put_at_the_end();
    grows_to_any_length();
    return CHECKS_RESULT;
}
