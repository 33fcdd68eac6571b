/* The two ends of a connection to measure what stands between them: `wire_pipe serve` prints its
 * port and serves until its input ends; `wire_pipe pump PORT MIB FRAME` sends so much in frames
 * as Kafka has them (4 bytes of size first) and prints the seconds until the other side has read
 * all; `wire_pipe ping PORT N` prints the median of N round trips of a small frame, in us. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 18, SMALL = 100 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int read_all(int fd, char *to, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = read(fd, to + got, n - got);
        if (r <= 0)
            return -1;
        got += (size_t)r;
    }
    return 0;
}

static int write_all(int fd, const char *from, size_t n)
{
    for (size_t sent = 0; sent < n;) {
        ssize_t r = write(fd, from + sent, n - sent);
        if (r <= 0)
            return -1;
        sent += (size_t)r;
    }
    return 0;
}

/* A frame as Kafka's: size, API 1 (Fetch) version 4, a correlation id, a client id. The first
 * byte of the client id says what is asked: 'e' echo, 's' sink. */
static void frame(char *to, size_t len, char what)
{
    memset(to, 0, len);
    uint32_t size = htonl((uint32_t)len - 4);
    memcpy(to, &size, 4);
    to[5] = 1;
    to[7] = 4;
    to[13] = 1;
    to[14] = what;
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg, one = 1;
    char *buf = malloc(CHUNK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (read_all(fd, buf, SMALL) == 0 && buf[14] == 'e') {
        do
            memcpy(buf + 4, buf + 8,
                   4); /* a response has the correlation id where a request has its API */
        while (write_all(fd, buf, SMALL) == 0 && read_all(fd, buf, SMALL) == 0);
    } else {
        ssize_t n;
        while ((n = read(fd, buf, CHUNK)) > 0)
            ;
        if (write(fd, "done", 4) != 4)
            perror("write");
    }
    close(fd);
    free(buf);
    return NULL;
}

static int serve(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 64))
        return 1;
    getsockname(listener, (struct sockaddr *)&at, &len);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
}

static int dial(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return connect(fd, (struct sockaddr *)&at, sizeof at) ? -1 : fd;
}

static int pump(int port, size_t mib, size_t size)
{
    char small[SMALL], answer[4], *buf = malloc(CHUNK + size);
    size_t per = CHUNK / size ? CHUNK / size : 1, total = mib << 20;
    for (size_t i = 0; i < per; i++)
        frame(buf + i * size, size, 's');
    frame(small, SMALL, 's');
    int fd = dial(port);
    double from = now();
    if (fd < 0 || write_all(fd, small, SMALL))
        return 1;
    for (size_t sent = 0; sent < total; sent += per * size)
        if (write_all(fd, buf, per * size))
            return 1;
    shutdown(fd, SHUT_WR);
    if (read_all(fd, answer, 4))
        return 1;
    printf("%.6f\n", now() - from);
    free(buf);
    return 0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int ping(int port, int n)
{
    char buf[SMALL];
    double *took = calloc((size_t)n, sizeof *took);
    int fd = dial(port);
    for (int i = 0; i < n; i++) {
        double from = now();
        frame(buf, SMALL, 'e');
        if (write_all(fd, buf, SMALL) || read_all(fd, buf, SMALL))
            return 1;
        took[i] = now() - from;
    }
    qsort(took, (size_t)n, sizeof *took, by_size);
    printf("%.2f\n", took[n / 2] * 1e6);
    free(took);
    return 0;
}

static void *watch_input(void *unused)
{
    char c;
    while (read(0, &c, 1) > 0)
        ;
    _exit(0);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc == 2 && strcmp(argv[1], "serve") == 0) {
        pthread_create(&thread, NULL, watch_input, NULL);
        return serve();
    }
    if (argc == 5 && strcmp(argv[1], "pump") == 0)
        return pump(atoi(argv[2]), strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "ping") == 0)
        return ping(atoi(argv[2]), atoi(argv[3]));
    fprintf(stderr, "wire_pipe serve | pump PORT MIB FRAME | ping PORT N\n");
    return 64;
}
