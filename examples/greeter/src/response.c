#include "response.h"

#include "version.h"

#include <string.h>
#include <time.h>

const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
    }
}

/* The date is made once per second, not once per response. */
static const char *date_now(void)
{
    static char text[40];
    static time_t made;
    time_t now = time(NULL);
    if (now != made) {
        struct tm utc;
        gmtime_r(&now, &utc);
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        made = now;
    }
    return text;
}

void write_response(struct buffer *out, const struct answer *answer, struct framing framing)
{
    buffer_print(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Greeter-Version: %s\r\nContent-Type: %s\r\n",
                 answer->status, reason_of(answer->status), date_now(), program_version(), answer->type);
    if (answer->allow)
        buffer_print(out, "Allow: %s\r\n", answer->allow);
    if (answer->kind != ANSWER_STREAM)
        buffer_print(out, "Content-Length: %zu\r\n", answer->body.length);
    else if (framing.minor_version == 1)
        buffer_print(out, "Transfer-Encoding: chunked\r\n");
    if (!framing.keep_alive)
        buffer_print(out, "Connection: close\r\n");
    else if (framing.minor_version == 0)
        buffer_print(out, "Connection: keep-alive\r\n");
    buffer_print(out, "\r\n");
    if (!framing.head_only)
        buffer_append(out, answer->body.bytes, answer->body.length);
}

void write_chunk(struct buffer *out, struct framing framing, const char *text)
{
    if (framing.minor_version == 1)
        buffer_print(out, "%zx\r\n%s\r\n", strlen(text), text);
    else
        buffer_print(out, "%s", text);
}

void write_last_chunk(struct buffer *out, struct framing framing)
{
    if (framing.minor_version == 1)
        buffer_print(out, "0\r\n\r\n");
}
