/* The load client: many raw sockets on one epoll, counting tokens and noting the age of each.
 *
 *     load <port> <connections> <spread_us> <warm_us> <window_us> <first_us> <request_bytes>
 *
 * Stdin is the request and, for WebSockets, the frame to send once the handshake was answered; five `#` in either are
 * the number of the connection. Stdout is a line when the window begins, a line when it ends, and what was seen as
 * JSON. `load.py` does the same in Python, explains it, and is used where there is no compiler. MARK, DIGITS and
 * BUCKET_US come from `stamps.py` and `report.py` by `-D`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MARK_BYTES ((int)sizeof MARK - 1)
/* A stamp and half a mark may come in one read, and the rest in the next. */
#define CARRIED (DIGITS + MARK_BYTES - 1)
#define READ_BYTES (64 * 1024)
#define BUCKETS (60 * 1000 * 1000 / BUCKET_US)
#define POLL_US 20000
#define HANDSHAKE_S 5
#define ASKED_BYTES 8192

struct connection {
    int fd, carried;
    char carry[CARRIED];
    int64_t asked_us; /* 0 once the first token was here */
};

static struct connection *connections;
static int opened, ended, silent, epoll;
static uint32_t ages[BUCKETS], firsts[BUCKETS];
static uint64_t tokens, reads;
static char request[ASKED_BYTES], command[ASKED_BYTES];
static int request_bytes, command_bytes;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s; %d of %d connections ended\n", what, strerror(errno), ended, opened);
    exit(1);
}

static int64_t clock_us(clockid_t which) {
    struct timespec at;
    clock_gettime(which, &at);
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

static int64_t now_us(void) { return clock_us(CLOCK_MONOTONIC); }

static void count(uint32_t *buckets, int64_t age_us) {
    int64_t bucket = age_us < 0 ? 0 : age_us / BUCKET_US;
    buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

/* A proxy that cuts its chunks anywhere may cut a stamp; such a token counts, and has no age. */
static void note(const char *stamp, int64_t now) {
    int64_t due = 0;
    tokens++;
    for (int n = 0; n < DIGITS; n++) {
        if (stamp[n] < '0' || stamp[n] > '9') return;
        due = due * 10 + (stamp[n] - '0');
    }
    count(ages, now - due);
}

static void take(struct connection *from, char *data, int bytes) {
    char *at = data, *end = data + bytes, *mark;
    if ((mark = memmem(at, end - at, MARK, MARK_BYTES))) {
        int64_t now = now_us();
        reads++;
        if (from->asked_us) {
            count(firsts, now - from->asked_us);
            from->asked_us = 0;
            silent--;
        }
        do {
            if (mark - data >= DIGITS) note(mark - DIGITS, now);
            at = mark + MARK_BYTES;
        } while ((mark = memmem(at, end - at, MARK, MARK_BYTES)));
    }
    from->carried = end - at < CARRIED ? end - at : CARRIED;
    memcpy(from->carry, end - from->carried, from->carried);
}

static void receive(struct connection *from) {
    static char data[CARRIED + READ_BYTES];
    memcpy(data, from->carry, from->carried);
    ssize_t bytes = recv(from->fd, data + from->carried, READ_BYTES, 0);
    if (bytes > 0) {
        take(from, data, from->carried + bytes);
    } else if (bytes == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(from->fd);
        ended++;
    }
}

static void read_until(int64_t end) {
    struct epoll_event ready[256];
    for (int64_t left; (left = end - now_us()) > 0;) {
        int ready_now = epoll_wait(epoll, ready, 256, ((left < POLL_US ? left : POLL_US) + 999) / 1000);
        for (int n = 0; n < ready_now; n++) receive(ready[n].data.ptr);
    }
}

static void send_numbered(int fd, const char *text, int bytes, int number) {
    char numbered[ASKED_BYTES], digits[16], *at;
    memcpy(numbered, text, bytes);
    snprintf(digits, sizeof digits, "%05d", number);
    while ((at = memmem(numbered, bytes, "#####", 5))) memcpy(at, digits, 5);
    if (send(fd, numbered, bytes, MSG_NOSIGNAL) != bytes) fail("send");
}

/* Byte by byte: what follows the answer belongs to the stream. */
static void shake_hands(int fd) {
    char last[4] = "";
    do {
        memmove(last, last + 1, 3);
        if (recv(fd, last + 3, 1, 0) != 1) fail("handshake");
    } while (memcmp(last, "\r\n\r\n", 4));
}

static void open_one(int port) {
    struct connection *one = &connections[opened];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = HANDSHAKE_S};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    int yes = 1;
    if ((one->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) fail("socket");
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(one->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(one->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(one->fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    send_numbered(one->fd, request, request_bytes, opened);
    if (command_bytes) {
        shake_hands(one->fd);
        send_numbered(one->fd, command, command_bytes, opened);
    }
    one->asked_us = now_us();
    opened++, silent++;
    /* Only what is ready is read, and once, so a blocking socket does not block. */
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, one->fd, &event)) fail("epoll");
}

static void print_counts(const char *name, const uint32_t *buckets) {
    const char *before = "";
    printf("\"%s\":{", name);
    for (int bucket = 0; bucket < BUCKETS; bucket++) {
        if (!buckets[bucket]) continue;
        printf("%s\"%d\":%" PRIu32, before, bucket, buckets[bucket]);
        before = ",";
    }
    printf("},");
}

static void say(const char *line) {
    puts(line);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 8) return 2;
    int port = atoi(argv[1]), wanted = atoi(argv[2]);
    int64_t spread_us = atoll(argv[3]), warm_us = atoll(argv[4]), window_us = atoll(argv[5]), first_us = atoll(argv[6]);
    request_bytes = atoi(argv[7]);
    if (request_bytes > ASKED_BYTES || (int)fread(request, 1, request_bytes, stdin) != request_bytes) fail("stdin");
    command_bytes = fread(command, 1, ASKED_BYTES, stdin);
    connections = calloc(wanted, sizeof *connections);
    if (!connections || (epoll = epoll_create1(0)) < 0) fail("epoll");

    int64_t began = now_us();
    for (int n = 0; n < wanted; n++) {
        read_until(began + spread_us * n / wanted);
        open_one(port);
    }
    for (int64_t give_up = now_us() + first_us; !tokens; read_until(now_us() + POLL_US)) {
        if (now_us() > give_up || ended == opened) fail("no token came");
    }
    read_until(now_us() + warm_us);

    memset(ages, 0, sizeof ages);
    tokens = reads = 0;
    say("begin");
    began = now_us();
    int64_t busy_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    read_until(began + window_us);
    double lasted_us = now_us() - began;
    busy_us = clock_us(CLOCK_PROCESS_CPUTIME_ID) - busy_us;
    say("end");
    printf("{\"tokens\":%" PRIu64 ",\"reads\":%" PRIu64 ",\"silent\":%d,\"ended\":%d,", tokens, reads, silent, ended);
    print_counts("ages", ages);
    print_counts("firsts", firsts);
    printf("\"window_s\":%.6f,\"client_busy\":%.6f}\n", lasted_us / 1e6, busy_us / lasted_us);
    return 0;
}
