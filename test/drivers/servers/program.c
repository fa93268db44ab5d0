/* A small HTTP server to deploy in tests: program PORT
 *
 *   VERSION          what it calls itself in the header X-Release
 *   CRASH_AT_START   ends at once with status 7
 *   CRASH_AFTER_MS   ends with status 7 after so long
 *
 * GET /health answers 200. GET /stream sends bytes until the client goes. Any other path holds the request open.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef CRASH_AT_START
#define CRASH_AT_START 0
#endif
#ifndef CRASH_AFTER_MS
#define CRASH_AFTER_MS 0
#endif

static void *serve(void *argument)
{
    int client = (int)(long)argument;
    char request[4096];
    ssize_t length;

    while ((length = read(client, request, sizeof request - 1)) > 0) {
        request[length] = '\0';
        if (strncmp(request, "GET /health ", 12) == 0) {
            dprintf(client, "HTTP/1.1 200 OK\r\nX-Release: " VERSION "\r\nContent-Length: 3\r\n\r\nok\n");
        } else if (strncmp(request, "GET /stream ", 12) == 0) {
            dprintf(client, "HTTP/1.1 200 OK\r\n\r\n");
            while (write(client, ".", 1) == 1)
                usleep(50 * 1000);
        }
    }
    close(client);
    return NULL;
}

static void *crash_later(void *argument)
{
    (void)argument;
    usleep(CRASH_AFTER_MS * 1000);
    fprintf(stderr, "ending: told to crash\n");
    _exit(7);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int yes = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;

    signal(SIGPIPE, SIG_IGN);
    if (CRASH_AT_START) {
        fprintf(stderr, "cannot start: told to crash\n");
        return 7;
    }
    address.sin_port = htons((unsigned short)atoi(argc > 1 ? argv[1] : "0"));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0) {
        perror("cannot listen");
        return 1;
    }
    if (CRASH_AFTER_MS > 0)
        pthread_create(&thread, NULL, crash_later, NULL);
    printf("serving " VERSION "\n");
    fflush(stdout);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client >= 0) {
            pthread_create(&thread, NULL, serve, (void *)(long)client);
            pthread_detach(thread);
        }
    }
}
