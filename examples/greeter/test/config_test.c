#include "check.h"
#include "config.h"

static bool read_text(const char *text, struct config *config, char error[CONFIG_ERROR_MAX])
{
    config_set_defaults(config);
    *error = '\0';
    FILE *file = fmemopen((void *)(size_t)text, strlen(text), "r");
    bool good = config_read(config, file, "greeter.conf", error);
    fclose(file);
    return good;
}

static void reads_keys_comments_and_blank_lines(void)
{
    struct config config;
    char error[CONFIG_ERROR_MAX];
    CHECK(read_text("# a comment\n\n  port = 9000 \ngreeting=Hi = there\naddress = ::1\nslow_ms = 0", &config, error));
    CHECK_TEXT(error, "");
    CHECK_NUMBER(config.port, 9000);
    CHECK_NUMBER(config.slow_ms, 0);
    CHECK_NUMBER(config.drain_seconds, 10);
    CHECK_TEXT(config.greeting, "Hi = there");
    CHECK_TEXT(config.address, "::1");
}

static void says_which_line_and_key_is_wrong(void)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"port = 80x\n", "greeter.conf:1: Cannot set \"port\": is \"80x\", needs a whole number from 0 to 65535"},
        {"port = 65536\n",
         "greeter.conf:1: Cannot set \"port\": is \"65536\", needs a whole number from 0 to 65535"},
        {"\nport = -1\n", "greeter.conf:2: Cannot set \"port\": is \"-1\", needs a whole number from 0 to 65535"},
        {"slow_ms = 99999999999999999999\n", "greeter.conf:1: Cannot set \"slow_ms\": is \"99999999999999999999\", "
                                             "needs a whole number from 0 to 60000"},
        {"address = localhost\n", "greeter.conf:1: Cannot set \"address\": is \"localhost\", "
                                  "needs an IPv4 or IPv6 address of this machine"},
        {"greeting =\n", "greeter.conf:1: Cannot set \"greeting\": is \"\", needs 1 to 200 bytes of text"},
        {"port = 1\n\nport = 2\n",
         "greeter.conf:3: Cannot set \"port\": it is already set above, needs to stand once"},
        {"port 80\n", "greeter.conf:1: Cannot read \"port 80\": has no \"=\", needs key = value"},
        {"prot = 80\n", "greeter.conf:1: Cannot set \"prot\": no such key, needs one of address, port, greeting, "
                        "slow_ms, drain_seconds, linger_ms, idle_seconds, request_seconds, max_connections, "
                        "max_body_bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config config;
        char error[CONFIG_ERROR_MAX];
        CHECK(!read_text(cases[i].text, &config, error));
        CHECK_TEXT(error, cases[i].error);
    }
}

static void says_when_the_file_cannot_be_read(void)
{
    struct config config;
    char error[CONFIG_ERROR_MAX];
    CHECK(!config_load(&config, "/nowhere/greeter.conf", error));
    CHECK_TEXT(error, "Cannot read \"/nowhere/greeter.conf\": No such file or directory");
}

int main(void)
{
    reads_keys_comments_and_blank_lines();
    says_which_line_and_key_is_wrong();
    says_when_the_file_cannot_be_read();
    return CHECKS_RESULT;
}
