#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum kind { ADDRESS, TEXT, NUMBER };

struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    long min, max; /* of the number, or of the text's length */
};

static const struct key keys[] = {
    {"address", ADDRESS, offsetof(struct config, address), 2, ADDRESS_MAX},
    {"port", NUMBER, offsetof(struct config, port), 0, 65535},
    {"greeting", TEXT, offsetof(struct config, greeting), 1, GREETING_MAX},
    {"slow_ms", NUMBER, offsetof(struct config, slow_ms), 0, 60000},
    {"drain_seconds", NUMBER, offsetof(struct config, drain_seconds), 0, 3600},
    {"linger_ms", NUMBER, offsetof(struct config, linger_ms), 0, 60000},
    {"idle_seconds", NUMBER, offsetof(struct config, idle_seconds), 1, 3600},
    {"request_seconds", NUMBER, offsetof(struct config, request_seconds), 1, 3600},
    {"max_connections", NUMBER, offsetof(struct config, max_connections), 1, 100000},
    {"max_body_bytes", NUMBER, offsetof(struct config, max_body_bytes), 0, 16777216},
};

enum { KEY_COUNT = sizeof keys / sizeof keys[0] };

void config_set_defaults(struct config *config)
{
    *config = (struct config){
        .address = "127.0.0.1",
        .greeting = "Hello",
        .port = 8080,
        .slow_ms = 1000,
        .drain_seconds = 10,
        .linger_ms = 1000,
        .idle_seconds = 75,
        .request_seconds = 10,
        .max_connections = 900,
        .max_body_bytes = 65536,
    };
}

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static void list_keys(char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < KEY_COUNT && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", keys[i].name);
}

bool parse_number(const char *text, long min, long max, long *value)
{
    if (!isdigit((unsigned char)*text))
        return false;
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (*end != '\0' || errno != 0 || number < min || number > max)
        return false;
    *value = number;
    return true;
}

static bool is_address(const char *text)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

/* False: `needs` says what the key wants. */
static bool set_value(struct config *config, const struct key *key, const char *value, char *needs, size_t size)
{
    char *place = (char *)config + key->offset;
    switch (key->kind) {
    case NUMBER:
        snprintf(needs, size, "a whole number from %ld to %ld", key->min, key->max);
        return parse_number(value, key->min, key->max, (long *)(void *)place);
    case ADDRESS:
        snprintf(needs, size, "an IPv4 or IPv6 address of this machine");
        if (!is_address(value))
            return false;
        break;
    case TEXT:
        snprintf(needs, size, "%ld to %ld bytes of text", key->min, key->max);
        break;
    }
    size_t length = strlen(value);
    if (length < (size_t)key->min || length > (size_t)key->max)
        return false;
    memcpy(place, value, length + 1);
    return true;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    char *end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1]))
        *--end = '\0';
    return text;
}

/* False: `problem` says what is wrong, without the place. */
static bool read_line(struct config *config, char *line, bool seen[KEY_COUNT], char *problem, size_t size)
{
    char *name = trim(line);
    if (*name == '\0' || *name == '#')
        return true;

    char *equals = strchr(name, '=');
    if (!equals) {
        snprintf(problem, size, "Cannot read \"%.60s\": has no \"=\", needs key = value", name);
        return false;
    }
    *equals = '\0';
    name = trim(name);
    char *value = trim(equals + 1);

    const struct key *key = find_key(name);
    if (!key) {
        char known[256];
        list_keys(known, sizeof known);
        snprintf(problem, size, "Cannot set \"%.60s\": no such key, needs one of %s", name, known);
        return false;
    }
    if (seen[key - keys]) {
        snprintf(problem, size, "Cannot set \"%s\": it is already set above, needs to stand once", name);
        return false;
    }
    seen[key - keys] = true;

    char needs[80];
    if (!set_value(config, key, value, needs, sizeof needs)) {
        snprintf(problem, size, "Cannot set \"%s\": is \"%.60s\", needs %s", name, value, needs);
        return false;
    }
    return true;
}

bool config_read(struct config *config, FILE *file, const char *name, char error[CONFIG_ERROR_MAX])
{
    bool seen[KEY_COUNT] = {false};
    char problem[400];
    char *line = NULL;
    size_t size = 0;
    bool good = true;

    for (int number = 1; good && getline(&line, &size, file) != -1; number++) {
        good = read_line(config, line, seen, problem, sizeof problem);
        if (!good)
            snprintf(error, CONFIG_ERROR_MAX, "%.100s:%d: %s", name, number, problem);
    }
    if (good && ferror(file)) {
        snprintf(error, CONFIG_ERROR_MAX, "Cannot read \"%.200s\": %s", name, strerror(errno));
        good = false;
    }
    free(line);
    return good;
}

bool config_load(struct config *config, const char *path, char error[CONFIG_ERROR_MAX])
{
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(error, CONFIG_ERROR_MAX, "Cannot read \"%.200s\": %s", path, strerror(errno));
        return false;
    }
    bool good = config_read(config, file, path, error);
    fclose(file);
    return good;
}
