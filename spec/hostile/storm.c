/* Connections that no client of ours would make: captures with bytes turned, dropped and doubled, cut
 * short, in pieces, and left without a word. All is drawn by the seed; nothing waits beyond a bound.
 *   storm KIND SEED COUNT PORT...   makes COUNT connections to the ports in turn; prints figures as JSON
 *   storm serve KIND SEED           prints its port; answers whoever connects, as hostile, until killed
 * KIND is http, kafka, mysql or redis. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy_samples.h"
#include "turned.h"

enum {
    WIDTH = 32,
    PORTS_MAX = 16,
    WAIT_MS = 50,
    WAIT_MORE_MS = 250,
    QUIET_MS = 40,
    TURNS_MAX = 5,
    HEAD = 400
};

typedef enum kind { HTTP, KAFKA, MYSQL, REDIS, KINDS } kind;
static const char *const kinds[KINDS] = {"http", "kafka", "mysql", "redis"};

typedef struct slot {
    int fd; /* -1: free */
    rl_buf out;
    size_t sent;
    int64_t until;       /* ms */
    char head[HEAD + 1]; /* of what was answered */
    size_t got;
} slot;

static struct {
    int connections, refused, answered, status[6], internal;
    long long sent, received;
} sum;

static rl_rng dice;

static size_t draw(size_t below)
{
    return below ? (size_t)rng_below(&dice, below) : 0;
}

/* ---- what is sent ---- */

#define HOST "Host: localhost\r\n"
#define JSON HOST "Content-Type: application/json\r\n"
static const char *const requests[] = {
    "GET /actuator/health HTTP/1.1\r\n" HOST "\r\n",
    "GET /actuator/prometheus HTTP/1.1\r\n" HOST "Accept: */*\r\n\r\n",
    "GET /accounts/17 HTTP/1.1\r\n" HOST "\r\nGET /accounts/a%2Fb?x=1&y=%26 HTTP/1.1\r\n" HOST
    "\r\n",
    "POST /accounts HTTP/1.1\r\n" JSON "Content-Length: 10\r\n\r\n{\"id\": 17}",
    "POST /accounts/17/entries HTTP/1.1\r\n" JSON "Idempotency-Key: a\r\nContent-Length: 31\r\n\r\n"
    "{\"amount\":-5,\"request_id\":\"abc\"}",
    "POST /accounts/17/entries HTTP/1.1\r\n" JSON "Transfer-Encoding: chunked\r\n\r\n"
    "b;x=y\r\n{\"amount\":1\r\n1\r\n}\r\n0\r\nX: y\r\n\r\n",
    "GET /dlq HTTP/1.1\r\n" HOST "\r\n",
    "GET /dlq/order%2F17 HTTP/1.1\r\n" HOST "X: \xc3\xa4\xff\r\n\r\n",
    "GET /proxies HTTP/1.1\r\n" HOST "User-Agent: toxiproxy-cli/v2\r\n\r\n",
    "POST /proxies HTTP/1.1\r\n" JSON "Content-Length: 64\r\n\r\n"
    "{\"name\":\"guest\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\"}  ",
    "POST /proxies/guest/toxics HTTP/1.1\r\n" JSON "Content-Length: 52\r\n\r\n"
    "{\"type\":\"latency\",\"attributes\":{\"latency\":1},\"x\":1.5}",
    "PUT /failpoints/cmd.before_commit HTTP/1.1\r\n" HOST
    "Content-Length: 15\r\n\r\n#3error(x)->off",
    "OPTIONS * HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nUpgrade: h2c\r\n\r\n",
};

static void capture(kind what, bool down, rl_buf *out)
{
    rl_buf other = {0};
    if (what == HTTP)
        buf_str(out, requests[draw(sizeof requests / sizeof *requests)]);
    else
        sample((proto_kind)(PROTO_KAFKA + what - KAFKA), down ? &other : out, down ? out : &other);
    buf_free(&other);
}

/* One in three is as it was. */
static void mutated(kind what, bool down, rl_buf *out)
{
    buf_reset(out);
    capture(what, down, out);
    for (size_t n = draw(3) ? 1 + draw(TURNS_MAX) : 0; n > 0 && out->len; n--)
        turn_bytes(&dice, out);
}

/* ---- a connection ---- */

static void begin(slot *s, int fd, kind what, bool down)
{
    fcntl(fd, F_SETFL, O_NONBLOCK);
    *s = (slot){.fd = fd, .out = s->out};
    mutated(what, down, &s->out);
    s->until = clock_ms() + WAIT_MS + (int64_t)draw(WAIT_MORE_MS);
}

static void show(const char *what, const char *text, size_t len)
{
    fprintf(stderr, "%s: ", what);
    for (size_t i = 0; i < len && i < HEAD; i++)
        fprintf(stderr, text[i] >= ' ' && text[i] <= '~' ? "%c" : "\\x%02x", text[i] & 0xff);
    fprintf(stderr, "\n");
}

/* Some leave with a reset. */
static void end(slot *s)
{
    struct linger hard = {.l_onoff = 1};
    if (draw(8) == 0)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(s->fd);
    s->fd = -1;
    int status = s->got >= 12 && memcmp(s->head, "HTTP/1.1 ", 9) == 0 ? atoi(s->head + 9) : 0;
    sum.answered += s->got > 0;
    sum.internal += status == 500;
    if (status == 500) {
        show("500 to", s->out.data, s->out.len);
        show("it said", s->head, strlen(s->head));
    }
    if (status >= 100 && status < 600)
        sum.status[status / 100]++;
}

/* A drawn piece at a time; at the end some say that nothing follows. */
static bool send_some(slot *s)
{
    size_t left = s->out.len - s->sent, n = draw(4) ? left : 1 + draw(left);
    ssize_t done = send(s->fd, s->out.data + s->sent, n, MSG_NOSIGNAL);
    if (done < 0)
        return errno == EAGAIN || errno == EINTR;
    s->sent += (size_t)done;
    sum.sent += done;
    if (s->sent == s->out.len && draw(8) == 0)
        shutdown(s->fd, SHUT_WR);
    return true;
}

static bool read_some(slot *s)
{
    char bytes[16384];
    ssize_t n = recv(s->fd, bytes, sizeof bytes, 0);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    for (ssize_t i = 0; i < n && s->got + (size_t)i < sizeof s->head - 1; i++)
        s->head[s->got + (size_t)i] = bytes[i];
    s->got += (size_t)n;
    sum.received += n;
    s->until = clock_ms() + QUIET_MS;
    return true;
}

static void look_after(slot *s, short ready)
{
    bool alive = clock_ms() < s->until;
    if (alive && (ready & (POLLIN | POLLHUP | POLLERR)))
        alive = read_some(s);
    if (alive && (ready & POLLOUT) && s->sent < s->out.len)
        alive = send_some(s);
    if (!alive)
        end(s);
}

static int look_at_all(slot *slots, int listener)
{
    struct pollfd fds[WIDTH + 1];
    int busy = 0;
    for (int i = 0; i < WIDTH; i++) {
        fds[i] = (struct pollfd){.fd = slots[i].fd, .events = POLLIN};
        if (slots[i].fd >= 0 && slots[i].sent < slots[i].out.len)
            fds[i].events |= POLLOUT;
        busy += slots[i].fd >= 0;
    }
    fds[WIDTH] = (struct pollfd){.fd = busy < WIDTH ? listener : -1, .events = POLLIN};
    poll(fds, WIDTH + 1, busy || listener < 0 ? 10 : -1);
    for (int i = 0; i < WIDTH; i++)
        if (slots[i].fd >= 0)
            look_after(&slots[i], fds[i].revents);
    return fds[WIDTH].revents ? WIDTH + 1 : busy;
}

static slot *free_slot(slot *slots)
{
    for (int i = 0; i < WIDTH; i++)
        if (slots[i].fd < 0)
            return &slots[i];
    return NULL;
}

/* ---- the two sides ---- */

static int dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    sum.refused++;
    return -1;
}

static void print_sum(void)
{
    printf("{\"connections\":%d,\"refused\":%d,\"answered\":%d,\"sent\":%lld,\"received\":%lld,"
           "\"ok\":%d,\"client\":%d,\"server\":%d,\"internal\":%d}\n",
           sum.connections, sum.refused, sum.answered, sum.sent, sum.received, sum.status[2],
           sum.status[4], sum.status[5], sum.internal);
}

static int ask(kind what, int count, const int *ports, int nports, slot *slots)
{
    do {
        for (slot *s; sum.connections < count && (s = free_slot(slots));) {
            int fd = dial(ports[sum.connections++ % nports]);
            if (fd >= 0)
                begin(s, fd, what, false);
        }
    } while (look_at_all(slots, -1) || sum.connections < count);
    print_sum();
    return 0;
}

static int serve(kind what, slot *slots)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, SOMAXCONN) ||
        getsockname(listener, (struct sockaddr *)&at, &len))
        return 1;
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        slot *s = look_at_all(slots, listener) > WIDTH ? free_slot(slots) : NULL;
        int fd = s ? accept(listener, NULL, NULL) : -1;
        if (fd >= 0)
            begin(s, fd, what, true);
    }
}

static kind kind_of(const char *text)
{
    int i = 0;
    while (i < KINDS && strcmp(kinds[i], text) != 0)
        i++;
    return (kind)i;
}

int main(int argc, char **argv)
{
    slot slots[WIDTH];
    int ports[PORTS_MAX], nports = 0;
    bool serves = argc == 4 && strcmp(argv[1], "serve") == 0;
    kind what = argc < 4 ? KINDS : kind_of(argv[serves ? 2 : 1]);
    for (int i = 0; i < WIDTH; i++)
        slots[i] = (slot){.fd = -1};
    for (int i = 4; i < argc && nports < PORTS_MAX; i++)
        ports[nports++] = atoi(argv[i]);
    if (what == KINDS || (!serves && nports == 0)) {
        fprintf(stderr, "storm KIND SEED COUNT PORT... | storm serve KIND SEED\n");
        return 64;
    }
    rng_init(&dice, strtoull(argv[serves ? 3 : 2], NULL, 10));
    return serves ? serve(what, slots) : ask(what, atoi(argv[3]), ports, nports, slots);
}
