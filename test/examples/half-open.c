/*
 * A client 20 ms away, of which there is none on loopback: it has its own TCP, behind a tun device, and the end
 * of its handshake is on its way when the server is told to stop. Needs a network namespace and its root.
 *
 *     unshare --map-root-user --net half-open GREETER CONFIG
 *
 * Prints what came back, one line each: for the connection half open at SIGTERM, and for one begun after the end.
 * Exit status 75: the machine was too busy to be 20 ms away, try again.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, SERVER_PORT = 8080, DISTANCE_MS = 20, BUSY_MS = 70, TRY_AGAIN = 75 };

static const uint8_t client[4] = {10, 9, 0, 2}, server[4] = {10, 9, 0, 1};
static int tun;

static void must(int good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static uint16_t checksum(const uint8_t *bytes, size_t length, uint32_t sum)
{
    for (size_t i = 0; i < length; i++)
        sum += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)~sum;
}

static void put(uint8_t *at, uint32_t value, int size)
{
    while (size-- > 0) {
        at[size] = (uint8_t)value;
        value >>= 8;
    }
}

static uint32_t get(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void transmit(uint16_t port, int flags, uint32_t sequence, uint32_t acknowledged, const char *data)
{
    uint8_t packet[1024] = {0}, *tcp = packet + 20;
    size_t length = 20 + strlen(data);
    put(tcp, port, 2);
    put(tcp + 2, SERVER_PORT, 2);
    put(tcp + 4, sequence, 4);
    put(tcp + 8, acknowledged, 4);
    tcp[12] = 5 << 4;
    tcp[13] = (uint8_t)flags;
    put(tcp + 14, 65535, 2);
    memcpy(tcp + 20, data, strlen(data));

    packet[0] = 0x45;
    put(packet + 2, (uint32_t)(20 + length), 2);
    packet[8] = 64;
    packet[9] = IPPROTO_TCP;
    memcpy(packet + 12, client, 4);
    memcpy(packet + 16, server, 4);
    put(packet + 10, checksum(packet, 20, 0), 2);
    /* The pseudo header: both addresses, the protocol, the length. */
    uint32_t pseudo = IPPROTO_TCP + (uint32_t)length;
    for (int i = 12; i < 20; i += 2)
        pseudo += (uint32_t)packet[i] << 8 | packet[i + 1];
    put(tcp + 16, checksum(tcp, length, pseudo), 2);
    must(write(tun, packet, 20 + length) > 0, "write to tun");
}

/* The next segment for `port`: its flags, or 0 when none comes in time. */
static int receive(uint16_t port, int timeout_ms, uint32_t *sequence, char *data, size_t size)
{
    uint8_t packet[2048];
    struct pollfd ready = {.fd = tun, .events = POLLIN};
    while (poll(&ready, 1, timeout_ms) > 0) {
        ssize_t length = read(tun, packet, sizeof packet);
        if (length < 40 || packet[0] >> 4 != 4 || packet[9] != IPPROTO_TCP)
            continue;
        const uint8_t *tcp = packet + 20, *body = tcp + (tcp[12] >> 4) * 4;
        if ((tcp[2] << 8 | tcp[3]) != port)
            continue;
        *sequence = get(tcp + 4);
        snprintf(data, size, "%.*s", (int)(packet + length - body), (const char *)body);
        return tcp[13];
    }
    return 0;
}

static void open_tun(void)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strcpy(request.ifr_name, "tun0");
    tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    must(tun != -1 && ioctl(tun, TUNSETIFF, &request) == 0, "/dev/net/tun");
    must(system("ip addr add 10.9.0.1/24 dev tun0 && ip link set tun0 up") == 0, "ip");
}

/* Returns the stream of its log. */
static FILE *start(const char *greeter, const char *config, pid_t *child)
{
    int ends[2];
    must(pipe(ends) == 0, "pipe");
    *child = fork();
    if (*child == 0) {
        dup2(ends[1], STDERR_FILENO);
        execl(greeter, greeter, "--config", config, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    return fdopen(ends[0], "r");
}

static void await_line(FILE *log, const char *beginning)
{
    char line[512];
    while (fgets(line, sizeof line, log))
        if (strncmp(line, beginning, strlen(beginning)) == 0)
            return;
    must(0, beginning);
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int count, char **words)
{
    uint32_t sequence, ignored;
    char data[1024];
    pid_t child;
    must(count == 3, "usage: half-open GREETER CONFIG");
    open_tun();
    FILE *log = start(words[1], words[2], &child);
    await_line(log, "listening on ");

    transmit(4000, SYN, 100, 0, "");
    must(receive(4000, 5000, &sequence, data, sizeof data) == (SYN | ACK), "no SYN-ACK");

    long stopped_ms = now_ms();
    kill(child, SIGTERM);
    await_line(log, "draining ");
    usleep(DISTANCE_MS * 1000);
    transmit(4000, ACK, 101, sequence + 1, "");
    transmit(4000, ACK | PSH, 101, sequence + 1, "GET / HTTP/1.1\r\nHost: greeter\r\n\r\n");
    int too_late = now_ms() - stopped_ms > BUSY_MS;
    int flags;
    do
        flags = receive(4000, 5000, &ignored, data, sizeof data);
    while (flags == ACK && !*data);
    printf("half open: %s\n", flags & RST ? "reset" : *data ? strtok(data, "\r") : "silence");
    if (!(flags & RST))
        transmit(4000, RST, 135, 0, "");

    int status;
    waitpid(child, &status, 0);
    if (too_late)
        return TRY_AGAIN;
    printf("exit status: %d\n", WEXITSTATUS(status));
    transmit(4001, SYN, 100, 0, "");
    flags = receive(4001, 5000, &ignored, data, sizeof data);
    printf("begun after: %s\n", flags & RST ? "refused" : "not refused");
    return 0;
}
