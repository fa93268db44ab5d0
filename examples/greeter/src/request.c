#include "request.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

bool slice_equals(struct slice slice, const char *text)
{
    return slice.length == strlen(text) && memcmp(slice.bytes, text, slice.length) == 0;
}

static bool equals_ignoring_case(struct slice slice, const char *text)
{
    return slice.length == strlen(text) && strncasecmp(slice.bytes, text, slice.length) == 0;
}

static bool starts_with(struct slice slice, const char *text)
{
    size_t length = strlen(text);
    return slice.length >= length && strncasecmp(slice.bytes, text, length) == 0;
}

/* Cuts `slice` at the first `separator`: returns what stands before it and leaves what follows. */
static struct slice cut(struct slice *slice, char separator)
{
    const char *end = slice->length ? memchr(slice->bytes, separator, slice->length) : NULL;
    struct slice before = {slice->bytes, end ? (size_t)(end - slice->bytes) : slice->length};
    size_t taken = end ? before.length + 1 : before.length;
    slice->bytes += taken;
    slice->length -= taken;
    return before;
}

static struct slice trim(struct slice slice)
{
    while (slice.length && (*slice.bytes == ' ' || *slice.bytes == '\t'))
        slice.bytes++, slice.length--;
    while (slice.length && (slice.bytes[slice.length - 1] == ' ' || slice.bytes[slice.length - 1] == '\t'))
        slice.length--;
    return slice;
}

static bool is_token(struct slice slice)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < slice.length; i++) {
        unsigned char c = (unsigned char)slice.bytes[i];
        bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alphanumeric && (c == '\0' || !strchr(others, c)))
            return false;
    }
    return slice.length > 0;
}

static bool has_control_characters(struct slice slice)
{
    for (size_t i = 0; i < slice.length; i++) {
        unsigned char c = (unsigned char)slice.bytes[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

/* The length of the head with its empty line, 0 while that has not come. */
static size_t head_length(const char *bytes, size_t length)
{
    for (const char *at = bytes; (at = memchr(at, '\n', length - (size_t)(at - bytes))); at++) {
        size_t next = (size_t)(at - bytes) + 1;
        if (next < length && bytes[next] == '\n')
            return next + 1;
        if (next + 1 < length && bytes[next] == '\r' && bytes[next + 1] == '\n')
            return next + 2;
        if (next >= length)
            break;
    }
    return 0;
}

static bool parse_length(struct slice text, size_t *length)
{
    if (text.length == 0 || text.length > 15)
        return false;
    *length = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9')
            return false;
        *length = *length * 10 + (size_t)(text.bytes[i] - '0');
    }
    return true;
}

static enum method method_of(struct slice name)
{
    if (slice_equals(name, "GET"))
        return METHOD_GET;
    if (slice_equals(name, "HEAD"))
        return METHOD_HEAD;
    if (slice_equals(name, "POST"))
        return METHOD_POST;
    return METHOD_OTHER;
}

/* `/path?query`, `http://host/path?query` or `*`. */
static bool parse_target(struct slice target, struct request *request)
{
    if (has_control_characters(target) || target.length == 0)
        return false;
    if (starts_with(target, "http://") || starts_with(target, "https://")) {
        size_t scheme = starts_with(target, "http://") ? 7 : 8;
        struct slice rest = {target.bytes + scheme, target.length - scheme};
        const char *path = rest.length ? memchr(rest.bytes, '/', rest.length) : NULL;
        target = path ? (struct slice){path, rest.length - (size_t)(path - rest.bytes)} : (struct slice){"/", 1};
    }
    if (*target.bytes != '/' && !slice_equals(target, "*"))
        return false;
    request->path = cut(&target, '?');
    request->query = target;
    return true;
}

/* Returns 0, or the status to refuse the request with. */
static int parse_request_line(struct slice line, struct request *request)
{
    struct slice method = cut(&line, ' ');
    struct slice target = cut(&line, ' ');
    if (!is_token(method))
        return 400;
    if (slice_equals(line, "HTTP/1.1"))
        request->minor_version = 1;
    else if (slice_equals(line, "HTTP/1.0"))
        request->minor_version = 0;
    else
        return starts_with(line, "HTTP/") && line.length == 8 ? 505 : 400;
    request->method = method_of(method);
    request->keep_alive = request->minor_version == 1;
    return parse_target(target, request) ? 0 : 400;
}

struct seen {
    bool host, length, transfer_encoding, close;
};

static void parse_connection(struct slice value, struct request *request, struct seen *seen)
{
    while (value.length) {
        struct slice option = trim(cut(&value, ','));
        if (equals_ignoring_case(option, "close"))
            seen->close = true;
        if (equals_ignoring_case(option, "keep-alive"))
            request->keep_alive = true;
    }
}

static int parse_field(struct slice line, struct request *request, struct seen *seen)
{
    bool has_colon = line.length && memchr(line.bytes, ':', line.length);
    struct slice name = cut(&line, ':');
    struct slice value = trim(line);
    if (!has_colon || !is_token(name) || has_control_characters(value))
        return 400;

    if (equals_ignoring_case(name, "host")) {
        if (seen->host)
            return 400;
        seen->host = true;
    } else if (equals_ignoring_case(name, "connection")) {
        parse_connection(value, request, seen);
    } else if (equals_ignoring_case(name, "content-length")) {
        size_t length;
        if (!parse_length(value, &length) || (seen->length && length != request->body_length))
            return 400;
        seen->length = true;
        request->body_length = length;
    } else if (equals_ignoring_case(name, "transfer-encoding")) {
        seen->transfer_encoding = true;
    } else if (equals_ignoring_case(name, "expect")) {
        request->expects_continue = equals_ignoring_case(value, "100-continue");
    }
    return 0;
}

static int parse_head(struct slice head, struct request *request)
{
    struct seen seen = {false, false, false, false};
    for (bool first = true; head.length; first = false) {
        struct slice line = cut(&head, '\n');
        if (line.length == 0 || line.bytes[line.length - 1] != '\r')
            return 400;
        line.length--;
        if (line.length == 0 && !first)
            break;
        int refusal = first ? parse_request_line(line, request) : parse_field(line, request, &seen);
        if (refusal)
            return refusal;
    }
    if (seen.close)
        request->keep_alive = false;
    if (seen.transfer_encoding)
        return seen.length ? 400 : 411;
    return request->minor_version == 1 && !seen.host ? 400 : 0;
}

enum parsed request_parse(const char *bytes, size_t length, struct request *request, int *refusal)
{
    *request = (struct request){0};

    /* Some clients end a body with a line end that they did not count. */
    size_t skipped = 0;
    while (skipped < 4 && length - skipped >= 2 && bytes[skipped] == '\r' && bytes[skipped + 1] == '\n')
        skipped += 2;

    size_t end = length > skipped ? head_length(bytes + skipped, length - skipped) : 0;
    request->head_length = skipped + end;
    if (request->head_length > REQUEST_HEAD_MAX || (end == 0 && length >= REQUEST_HEAD_MAX)) {
        bool in_first_line = !memchr(bytes + skipped, '\n', REQUEST_HEAD_MAX - skipped);
        *refusal = in_first_line ? 414 : 431;
        return REQUEST_REFUSED;
    }
    if (end == 0)
        return REQUEST_INCOMPLETE;
    *refusal = parse_head((struct slice){bytes + skipped, end}, request);
    return *refusal ? REQUEST_REFUSED : REQUEST_COMPLETE;
}
