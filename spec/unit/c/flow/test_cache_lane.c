/* engine/flow/cache/lane: what a server's thread asks Redis by itself, and when it hands that over. */
#include "redis_nodes.h"

#include <stdatomic.h>
#include <time.h>

#include "flow/cache/flow.h"

#define FIELDS \
    "*10\r\n$7\r\nbalance\r\n$2\r\n70\r\n$7\r\nversion\r\n$20\r\n00000000000000000007\r\n"
#define TIMES                                                                             \
    "$6\r\nstored\r\n$1\r\n1\r\n$7\r\nexpires\r\n$13\r\n9999999999999\r\n$4\r\ncost\r\n$" \
    "1\r\n1\r\n"
#define ME 1

typedef struct fixture {
    nodes both;
    flow_cache *cache;
} fixture;

typedef struct caller {
    atomic_int let_go, done;
    flow_cache_source source;
    pthread_t by;
} caller;

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void on_let_go(void *arg)
{
    caller *c = arg;
    assert_int_equal(atomic_load(&c->done), 0);
    atomic_fetch_add(&c->let_go, 1);
}

static void on_done(const flow_cache_result *result, void *arg)
{
    caller *c = arg;
    c->source = result->source;
    c->by = pthread_self();
    atomic_fetch_add(&c->done, 1);
}

static bool ask(fixture *f, int64_t account, caller *c)
{
    *c = (caller){0};
    return flow_cache_get_kept(f->cache, account, ME, on_done, on_let_go, c);
}

static void await(caller *c)
{
    while (!atomic_load(&c->done))
        rest();
    assert_int_equal(atomic_load(&c->done), 1);
    assert_int_equal(c->source, CACHE_FROM_CACHE);
}

/* Its connection is made by a reader, who also answers meanwhile. */
static void await_lane(fixture *f)
{
    caller c;
    while (!ask(f, 1, &c))
        await(&c);
    flow_cache_turn(f->cache, ME);
    await(&c);
}

static void start(fixture *f)
{
    static const line some[] = {{"HGETALL account:{9}", "", 1}, {"HGETALL", FIELDS TIMES, 0}, {0}};
    nodes_start(&f->both, some, (const line[]){{0}});
    flow_cache_opts opts = {.redis.conn = {.resp = 3, .port = f->both.a.port},
                            .mysql = {.host = "127.0.0.1", .port = 1},
                            .prefix = "",
                            .ttl_ms = 60000,
                            .lease_ms = 2000,
                            .redis_timeout = 60,
                            .db_timeout = 1,
                            .redis_readers = 1,
                            .workers = 1,
                            .db_reads_max = 1};
    assert_null(flow_cache_open(&opts, &f->cache));
    await_lane(f);
}

static void stop(fixture *f)
{
    assert_true(flow_cache_close(f->cache, 10));
    nodes_stop(&f->both);
}

static void a_turn_is_one_batch(void **state)
{
    (void)state;
    fixture f;
    caller a, b;
    start(&f);
    int64_t batches = flow_cache_counted(f.cache, CACHE_N_REDIS_BATCHES);
    assert_true(ask(&f, 2, &a) && ask(&f, 3, &b));
    assert_int_equal(atomic_load(&a.let_go) + atomic_load(&a.done), 0);
    flow_cache_turn(f.cache, ME);
    while (!atomic_load(&a.done) || !atomic_load(&b.done)) /* Redis took more than a moment */
        rest();
    assert_int_equal(atomic_load(&a.let_go) + atomic_load(&b.let_go), 2);
    assert_int_equal(flow_cache_counted(f.cache, CACHE_N_REDIS_BATCHES) - batches, 1);
    stop(&f);
}

/* Nothing else happens to whoever asks and is not answered at once. */
static void a_slow_server_is_waited_for_by_a_reader(void **state)
{
    (void)state;
    fixture f;
    caller a, b;
    start(&f);
    pthread_mutex_lock(&f.both.a.lock);
    assert_true(ask(&f, 2, &a));
    flow_cache_turn(f.cache, ME);
    assert_int_equal(atomic_load(&a.let_go), 1);
    assert_int_equal(atomic_load(&a.done), 0);
    assert_false(ask(&f, 3, &b));
    pthread_mutex_unlock(&f.both.a.lock);
    await(&a);
    await(&b);
    assert_false(pthread_equal(a.by, pthread_self()));
    await_lane(&f);
    assert_int_equal(flow_cache_counted(f.cache, CACHE_N_REDIS_ERRORS), 0);
    stop(&f);
}

static void a_lost_connection_is_no_failure_yet(void **state)
{
    (void)state;
    fixture f;
    caller a;
    start(&f);
    assert_true(ask(&f, 9, &a)); /* the node hangs up */
    flow_cache_turn(f.cache, ME);
    await(&a);
    assert_int_equal(atomic_load(&a.let_go), 1);
    assert_int_equal(flow_cache_counted(f.cache, CACHE_N_REDIS_ERRORS), 0);
    await_lane(&f);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_is_one_batch),
        cmocka_unit_test(a_slow_server_is_waited_for_by_a_reader),
        cmocka_unit_test(a_lost_connection_is_no_failure_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
