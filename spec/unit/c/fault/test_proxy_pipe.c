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

enum { FRAMES = 120, LARGEST = 600 << 10, BUFFER = 32 << 10, STEP = 64 << 10 };

typedef struct bed {
    uv_loop_t loop;
    uv_timer_t tick;
    rl_proxy *proxy;
    rl_rng rng;
    rl_buf up, down; /* what client and server say */
    rl_buf heard_up, heard_down;
    int listener, client;
    pthread_mutex_t lock;
    pthread_cond_t change;
    size_t may_hear;              /* under the lock: so much the server reads, then it waits */
    bool waits;                   /* under the lock, too: it does so now */
    size_t leave_at;              /* the server leaves when it has read so much */
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

/* False at the end; true when it has `most`. */
static bool hear(int fd, rl_buf *heard, size_t most)
{
    char buf[8 << 10];
    ssize_t n = 1;
    while (heard->len < most && (n = read(fd, buf, sizeof buf)) > 0)
        buf_add(heard, buf, (size_t)n);
    return n > 0;
}

/* All, or a step more if the server waits for it. */
static void let_hear(bed *b, bool all)
{
    pthread_mutex_lock(&b->lock);
    if (all)
        b->may_hear = SIZE_MAX;
    else if (b->waits && b->may_hear <= b->heard_up.len)
        b->may_hear += STEP;
    pthread_cond_broadcast(&b->change);
    pthread_mutex_unlock(&b->lock);
}

/* Waits until the server may hear more than it has heard; how much in all. */
static size_t await_leave(bed *b)
{
    pthread_mutex_lock(&b->lock);
    b->waits = b->may_hear <= b->heard_up.len;
    while (b->may_hear <= b->heard_up.len)
        pthread_cond_wait(&b->change, &b->lock);
    b->waits = false;
    size_t most = b->may_hear;
    pthread_mutex_unlock(&b->lock);
    return most < b->leave_at ? most : b->leave_at;
}

static void *server_main(void *arg)
{
    bed *b = arg;
    bool more = true;
    int fd = accept(b->listener, NULL, NULL);
    while (more && b->heard_up.len < b->leave_at)
        more = hear(fd, &b->heard_up, await_leave(b));
    if (b->leave_at == SIZE_MAX)
        say(fd, &b->down);
    close(fd);
    return NULL;
}

static void *client_main(void *arg)
{
    bed *b = arg;
    say(b->client, &b->up);
    hear(b->client, &b->heard_down, SIZE_MAX);
    close(b->client);
    let_hear(b, true);
    b->over = true;
    return NULL;
}

/* ---- the proxy between them, on this thread ---- */

static bool is_time(const bed *b, const proxy_stream *st)
{
    return b->piped && st->bytes > b->up.len / 3 && (!b->when_held || pipe_held(st));
}

/* The server hears a step more only while the proxy waits for it, so that no tick misses what it
 * looks for: the pipe that holds something, and the time to act. Then it hears all. */
static void pace_server(bed *b, const proxy_stream *st)
{
    bool all = b->piped && b->acted == (b->act != NULL);
    if (all || st->unsent || pipe_held(st))
        let_hear(b, all);
}

static void look_at(bed *b, const proxy_stream *st)
{
    b->piped |= pipe_held(st) > 0;
    if (b->act && !b->acted && is_time(b, st)) {
        b->acted = true;
        b->passed = st->bytes;
        b->act(b);
    }
    pace_server(b, st);
}

static void on_tick(uv_timer_t *tick)
{
    bed *b = tick->data;
    const proxy_conn *conn = b->proxy->gates->conns;
    if (conn)
        look_at(b, &conn->stream[PROTO_UP]);
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

/* The connection through the proxy, which has little room for what the server does not hear yet. */
static void connect_client(bed *b)
{
    int small = BUFFER;
    b->client = dial(b->proxy->gates->bound);
    while (!b->proxy->gates->conns || !b->proxy->gates->conns->connected)
        uv_run(&b->loop, UV_RUN_ONCE);
    setsockopt(pipe_tcp_fd(&b->proxy->gates->conns->server), SOL_SOCKET, SO_SNDBUF, &small,
               sizeof small);
}

static void open_bed(bed *b, proto_kind proto)
{
    int port;
    char upstream[40];
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->change, NULL);
    b->leave_at = b->leave_at ? b->leave_at : SIZE_MAX;
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
    connect_client(b);
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

static proxy_rule_spec on_fetch(proxy_action action)
{
    return (proxy_rule_spec){.owner = "",
                             .gate = "",
                             .proto = PROTO_KAFKA,
                             .api = "Fetch",
                             .client_id = "",
                             .topic = "",
                             .statement = "",
                             .contains = "",
                             .param = "",
                             .nth = 1,
                             .chance = 1,
                             .action = action};
}

static void add(bed *b, const proxy_rule_spec *spec)
{
    int64_t id;
    assert_null(proxy_rule_add(b->proxy, spec, &id));
}

static void add_rule(bed *b)
{
    proxy_rule_spec spec = on_fetch(PROXY_COUNT);
    spec.client_id = "me";
    add(b, &spec);
}

static void add_hold(bed *b)
{
    proxy_rule_spec spec = on_fetch(PROXY_DELAY);
    spec.nth = 2;
    spec.times = 1;
    spec.delay = 0.02;
    add(b, &spec);
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
    proxy_rule_spec spec = on_fetch(PROXY_DROP);
    spec.client_id = client;
    spec.nth = 2;
    spec.times = 1;
    add(b, &spec);
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
