/* The proxy on real sockets with much to carry, so that bytes go by pipe: what comes out is what
 * went in, in both directions and past a half-close, whatever is added or breaks in mid-stream. */
#include <arpa/inet.h>
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fault/proxy/internal.h"
#include "fault/proxy/life.h"

enum { FRAMES = 120, LARGEST = 600 << 10, BUFFER = 32 << 10 };

typedef struct bed {
    uv_loop_t loop;
    uv_timer_t tick;
    rl_proxy *proxy;
    rl_rng rng;
    rl_buf up, down; /* what client and server say */
    rl_buf heard_up, heard_down;
    int listener, client;
    size_t leave_at;              /* the server leaves when it has read so much; 0: it stays */
    void (*act)(struct bed *bed); /* once, when a third has passed */
    bool acted, piped, when_held; /* when_held: only while the pipe holds something */
    bool stranger;                /* what is said is not Kafka's */
    uint64_t passed;              /* when `act` was called */
    int64_t matched;
    atomic_bool over;
} bed;

/* ---- what is said ---- */

static void put_be32(char *to, uint32_t n)
{
    n = htonl(n);
    memcpy(to, &n, 4);
}

/* A request (Fetch, with a client id) or its response, with anything inside. */
static void add_frame(bed *b, rl_buf *out, uint32_t correlation, bool request)
{
    static const size_t most[] = {100, 40 << 10, LARGEST};
    size_t len = 32 + rng_below(&b->rng, most[rng_below(&b->rng, 3)]);
    char *frame = mem_alloc(len);
    for (size_t i = 0; i < len; i++)
        frame[i] = (char)(i * 31 + correlation);
    put_be32(frame, (uint32_t)len - 4);
    put_be32(frame + (request ? 8 : 4), correlation);
    if (request)
        memcpy(frame + 4, "\0\1\0\4", 4);
    if (request)
        memcpy(frame + 12, "\0\2me", 4);
    buf_add(out, frame, len);
    free(frame);
}

/* ---- the ends, each on its thread ---- */

static void say(int fd, const rl_buf *what)
{
    for (size_t at = 0; at < what->len;) {
        ssize_t n = write(fd, what->data + at, what->len - at);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
}

/* Until the end, or until `most`. */
static void hear(int fd, rl_buf *heard, size_t most)
{
    char buf[8 << 10];
    ssize_t n;
    while ((!most || heard->len < most) && (n = read(fd, buf, sizeof buf)) > 0)
        buf_add(heard, buf, (size_t)n);
}

static void *server_main(void *arg)
{
    bed *b = arg;
    int fd = accept(b->listener, NULL, NULL);
    hear(fd, &b->heard_up, b->leave_at);
    if (!b->leave_at)
        say(fd, &b->down);
    close(fd);
    return NULL;
}

static void *client_main(void *arg)
{
    bed *b = arg;
    say(b->client, &b->up);
    hear(b->client, &b->heard_down, 0);
    close(b->client);
    b->over = true;
    return NULL;
}

/* ---- the proxy between them, on this thread ---- */

static bool is_time(const bed *b, const proxy_conn *conn)
{
    const proxy_stream *st = conn ? &conn->stream[PROTO_UP] : NULL;
    return st && st->bytes > b->up.len / 3 && (!b->when_held || pipe_held(st));
}

static void on_tick(uv_timer_t *tick)
{
    bed *b = tick->data;
    const proxy_conn *conn = b->proxy->gates->conns;
    b->piped |= b->proxy->pipes || (conn && conn->stream[PROTO_UP].pipe);
    if (b->act && !b->acted && is_time(b, conn)) {
        b->acted = true;
        b->passed = conn->stream[PROTO_UP].bytes;
        b->act(b);
    }
    if (!b->over)
        return;
    b->matched = b->proxy->rules ? b->proxy->rules->matched : 0;
    uv_close((uv_handle_t *)tick, NULL);
    proxy_free(b->proxy, NULL, NULL);
}

static int listen_slowly(int *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = BUFFER;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 4), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    *port = ntohs(at.sin_port);
    return fd;
}

static int dial(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void open_bed(bed *b, proto_kind proto)
{
    int port;
    char upstream[40];
    rng_init(&b->rng, 7);
    for (uint32_t i = 0; i < FRAMES; i++) {
        add_frame(b, &b->up, i, true);
        add_frame(b, &b->down, i, false);
    }
    if (b->stranger)
        memcpy(b->up.data, "GET ", 4);
    b->listener = listen_slowly(&port);
    snprintf(upstream, sizeof upstream, "127.0.0.1:%d", port);
    uv_loop_init(&b->loop);
    b->proxy = proxy_new(&b->loop, 7);
    proxy_gate_spec spec = {"g", "127.0.0.1:0", upstream, "", proto, true};
    assert_null(proxy_gate_add(b->proxy, &spec));
    b->client = dial(b->proxy->gates->bound);
    uv_timer_init(&b->loop, &b->tick);
    b->tick.data = b;
    uv_timer_start(&b->tick, on_tick, 1, 1);
}

static void carry(bed *b, proto_kind proto)
{
    pthread_t server, client;
    open_bed(b, proto);
    pthread_create(&server, NULL, server_main, b);
    pthread_create(&client, NULL, client_main, b);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    pthread_join(server, NULL);
    pthread_join(client, NULL);
    close(b->listener);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    assert_true(b->piped);
    assert_true(b->acted == (b->act != NULL));
}

static void close_bed(bed *b)
{
    buf_free(&b->up);
    buf_free(&b->down);
    buf_free(&b->heard_up);
    buf_free(&b->heard_down);
}

static void assert_whole(const bed *b)
{
    assert_int_equal(b->heard_up.len, b->up.len);
    assert_memory_equal(b->heard_up.data, b->up.data, b->up.len);
    assert_int_equal(b->heard_down.len, b->down.len);
    assert_memory_equal(b->heard_down.data, b->down.data, b->down.len);
}

static void passes_whole(proto_kind proto, void (*act)(bed *b))
{
    bed b = {.act = act};
    carry(&b, proto);
    assert_whole(&b);
    close_bed(&b);
}

/* ---- what happens in mid-stream ---- */

static void add_toxics(bed *b)
{
    static const char *const latency[] = {"latency", NULL}, *const slicer[] = {"average_size",
                                                                               NULL};
    static const int64_t ms[] = {5}, bytes[] = {20000};
    proxy_toxic_spec late = {"late", "latency", PROTO_UP, 1, latency, ms};
    proxy_toxic_spec sliced = {"sliced", "slicer", PROTO_DOWN, 1, slicer, bytes};
    assert_null(proxy_toxic_add(b->proxy, "g", &late));
    assert_null(proxy_toxic_add(b->proxy, "g", &sliced));
}

static void add_rule(bed *b)
{
    proxy_rule_spec spec = {.owner = "",
                            .gate = "",
                            .proto = PROTO_KAFKA,
                            .api = "Fetch",
                            .client_id = "me",
                            .topic = "",
                            .statement = "",
                            .contains = "",
                            .param = "",
                            .nth = 1,
                            .chance = 1,
                            .action = PROXY_COUNT};
    int64_t id;
    assert_null(proxy_rule_add(b->proxy, &spec, &id));
}

static void add_hold(bed *b)
{
    proxy_rule_spec spec = {.owner = "",
                            .gate = "",
                            .proto = PROTO_KAFKA,
                            .api = "Fetch",
                            .client_id = "",
                            .topic = "",
                            .statement = "",
                            .contains = "",
                            .param = "",
                            .nth = 2,
                            .times = 1,
                            .chance = 1,
                            .action = PROXY_DELAY,
                            .delay = 0.02};
    int64_t id;
    assert_null(proxy_rule_add(b->proxy, &spec, &id));
}

static void test_bytes_pass_unchanged(void **state)
{
    (void)state;
    passes_whole(PROTO_TCP, NULL);
    passes_whole(PROTO_KAFKA, NULL);
}

static void test_toxics_of_mid_stream(void **state)
{
    (void)state;
    passes_whole(PROTO_TCP, add_toxics);
    passes_whole(PROTO_KAFKA, add_toxics);
}

static void test_a_delay_of_mid_stream(void **state)
{
    (void)state;
    passes_whole(PROTO_KAFKA, add_hold);
}

static void test_strangers_pass_by_pipe(void **state)
{
    (void)state;
    bed b = {.stranger = true};
    carry(&b, PROTO_KAFKA);
    assert_whole(&b);
    close_bed(&b);
}

static const char WORD[] = "said by the proxy";

static void say_something(bed *b)
{
    stream_deliver(&b->proxy->gates->conns->stream[PROTO_UP], WORD, sizeof WORD);
}

static void test_what_the_proxy_says_waits_for_the_pipe(void **state)
{
    (void)state;
    bed b = {.act = say_something, .when_held = true};
    carry(&b, PROTO_TCP);
    rl_buf want = {0};
    buf_add(&want, b.up.data, b.passed);
    buf_add(&want, WORD, sizeof WORD);
    buf_add(&want, b.up.data + b.passed, b.up.len - b.passed);
    buf_free(&b.up);
    b.up = want;
    assert_whole(&b);
    close_bed(&b);
}

/* The frames that begin behind so many bytes. */
static int frames_behind(const rl_buf *bytes, uint64_t passed)
{
    int n = 0;
    uint32_t size;
    for (size_t at = 0; at < bytes->len; at += 4 + ntohl(size)) {
        memcpy(&size, bytes->data + at, 4);
        n += at >= passed;
    }
    return n;
}

static void test_a_rule_of_mid_stream_sees_all_that_follows(void **state)
{
    (void)state;
    bed b = {.act = add_rule};
    carry(&b, PROTO_KAFKA);
    assert_whole(&b);
    assert_int_equal(b.matched, frames_behind(&b.up, b.passed));
    assert_true(b.matched > 0 && b.matched < FRAMES);
    close_bed(&b);
}

static void add_drop(bed *b, const char *client)
{
    proxy_rule_spec spec = {.owner = "",
                            .gate = "",
                            .proto = PROTO_KAFKA,
                            .api = "Fetch",
                            .client_id = client,
                            .topic = "",
                            .statement = "",
                            .contains = "",
                            .param = "",
                            .nth = 2,
                            .times = 1,
                            .chance = 1,
                            .action = PROXY_DROP};
    int64_t id;
    assert_null(proxy_rule_add(b->proxy, &spec, &id));
}

static void drop_mine(bed *b)
{
    add_drop(b, "me");
}

static void drop_yours(bed *b)
{
    add_drop(b, "you");
}

/* Where the nth frame that begins behind so many bytes begins; *len is its length. */
static size_t nth_behind(const rl_buf *bytes, uint64_t passed, int nth, size_t *len)
{
    uint32_t size;
    size_t at = 0;
    for (int n = 0;; at += *len) {
        memcpy(&size, bytes->data + at, 4);
        *len = 4 + ntohl(size);
        n += at >= passed;
        if (n == nth)
            return at;
    }
}

static void test_a_rule_drops_the_nth_and_no_other(void **state)
{
    (void)state;
    size_t len;
    bed b = {.act = drop_mine};
    carry(&b, PROTO_KAFKA);
    size_t at = nth_behind(&b.up, b.passed, 2, &len);
    memmove(b.up.data + at, b.up.data + at + len, b.up.len - at - len);
    b.up.len -= len;
    assert_whole(&b);
    close_bed(&b);
}

static void test_a_rule_is_for_its_client(void **state)
{
    (void)state;
    passes_whole(PROTO_KAFKA, drop_yours);
}

static int open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void test_a_server_that_leaves_cuts_the_client(void **state)
{
    (void)state;
    int before = open_files();
    for (int kind = PROTO_TCP; kind <= PROTO_KAFKA; kind++) {
        bed b = {.leave_at = 6 << 20};
        carry(&b, (proto_kind)kind);
        assert_true(b.heard_up.len >= b.leave_at);
        assert_memory_equal(b.heard_up.data, b.up.data, b.heard_up.len);
        assert_int_equal(b.heard_down.len, 0);
        close_bed(&b);
    }
    assert_int_equal(open_files(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_pass_unchanged),
        cmocka_unit_test(test_strangers_pass_by_pipe),
        cmocka_unit_test(test_what_the_proxy_says_waits_for_the_pipe),
        cmocka_unit_test(test_toxics_of_mid_stream),
        cmocka_unit_test(test_a_delay_of_mid_stream),
        cmocka_unit_test(test_a_rule_of_mid_stream_sees_all_that_follows),
        cmocka_unit_test(test_a_rule_drops_the_nth_and_no_other),
        cmocka_unit_test(test_a_rule_is_for_its_client),
        cmocka_unit_test(test_a_server_that_leaves_cuts_the_client),
    };
    signal(SIGPIPE, SIG_IGN); /* as the host does */
    return cmocka_run_group_tests_name("proxy, bytes by pipe", tests, NULL, NULL);
}
