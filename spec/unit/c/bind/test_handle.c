/* How handles end while calls on them are under way: a client is never closed under a call that
 * still uses it, and always closed in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <lualib.h>

#include "base/clock.h"
#include "bind/task/await.h"
#include "bind/task/module.h"
#include "bind/value/errs.h"

/* A client that works until it is let go. */
typedef struct client {
    atomic_bool working, may_end, closed, closed_at_work;
} client;

typedef struct bed {
    uv_loop_t loop;
    lua_State *L;
    void *sched;
    client client, other;
} bed;

/* ---- the handle ---- */

static void probe_close(void *impl)
{
    client *c = impl;
    atomic_store(&c->closed_at_work, atomic_load(&c->working));
    atomic_store(&c->closed, true);
}

/* It asks for an end that comes a little later. */
static void probe_cancel(void *impl)
{
    (void)impl;
}

static const rl_handle_type probe_type = {
    .name = "test.probe", .close = probe_close, .cancel = probe_cancel};

static void work_run(rl_await *a)
{
    client *c = *(client **)(a + 1);
    atomic_store(&c->working, true);
    while (!atomic_load(&c->may_end))
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    atomic_store(&c->working, false);
}

static int probe_l_work(lua_State *L)
{
    client *c = handle_check(L, 1, &probe_type)->impl;
    rl_await *a = await_new(sizeof *a + sizeof c, work_run, NULL, NULL);
    *(client **)(a + 1) = c;
    return await_job(L, 1, a);
}

/* Pushes a handle, which is global `name`, too. */
static rl_handle *probe_new(bed *b, const char *name, client *c)
{
    rl_handle *h = handle_new(b->L, &probe_type, 0);
    handle_set(h, c);
    lua_setglobal(b->L, name);
    return h;
}

/* ---- tasks ---- */

static rl_task *start(bed *b, const char *code)
{
    assert_int_equal(luaL_loadstring(b->L, code), LUA_OK);
    rl_task *task = task_start(b->L, 0);
    lua_setglobal(b->L, code); /* kept */
    return task;
}

static void cancel(bed *b, rl_task *task)
{
    lua_pushliteral(b->L, "no longer wanted");
    task_cancel(b->L, task);
}

#define turn_until(b, condition)                                \
    for (int64_t until_ = clock_ms() + 10000; !(condition);) {  \
        assert_true(clock_ms() < until_);                       \
        uv_run(&(b)->loop, UV_RUN_NOWAIT);                      \
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL); \
    }

static void open_bed(bed *b)
{
    static const luaL_Reg methods[] = {{"work", probe_l_work}, {NULL, NULL}};
    *b = (bed){.L = luaL_newstate()};
    uv_loop_init(&b->loop);
    luaL_openlibs(b->L);
    errs_open(b->L);
    b->sched = task_open(b->L, &b->loop);
    task_module_open(b->L);
    handle_type_open(b->L, &probe_type, methods);
}

static void close_any(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_bed(bed *b)
{
    lua_close(b->L);
    reaper_drain(5);
    uv_walk(&b->loop, close_any, NULL);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    free(b->sched);
}

/* ---- the tests ---- */

/* The close waits behind a call on its handle's lane. Whoever closes is cancelled: the close comes
 * all the same, but not before the call has ended. */
static void test_a_cancelled_close_waits_for_the_call_before_it(void **state)
{
    (void)state;
    bed b;
    open_bed(&b);
    rl_handle *h = probe_new(&b, "h", &b.client);
    rl_task *worker = start(&b, "h:work()");
    turn_until(&b, b.client.working);
    rl_task *closer = start(&b, "h:close()");
    turn_until(&b, h->lane.head);
    cancel(&b, closer);
    for (int i = 0; i < 10; i++)
        uv_run(&b.loop, UV_RUN_NOWAIT);
    reaper_drain(5);
    assert_false(b.client.closed);
    atomic_store(&b.client.may_end, true);
    turn_until(&b, task_done(worker) && task_done(closer));
    reaper_drain(5);
    assert_true(b.client.closed && !b.client.closed_at_work);
    close_bed(&b);
}

/* The pool, which has one thread here, is busy with another handle: nobody waits for it. */
static void test_a_cancelled_close_needs_no_thread_of_the_pool(void **state)
{
    (void)state;
    bed b;
    open_bed(&b);
    probe_new(&b, "h", &b.client);
    rl_handle *free_one = probe_new(&b, "other", &b.other);
    rl_task *worker = start(&b, "h:work()");
    turn_until(&b, b.client.working);
    rl_task *closer = start(&b, "other:close()");
    turn_until(&b, free_one->lane.running);
    cancel(&b, closer);
    turn_until(&b, task_done(closer));
    reaper_drain(5);
    assert_true(b.other.closed && b.client.working);
    atomic_store(&b.client.may_end, true);
    turn_until(&b, task_done(worker));
    close_bed(&b);
    assert_true(b.client.closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cancelled_close_waits_for_the_call_before_it),
        cmocka_unit_test(test_a_cancelled_close_needs_no_thread_of_the_pool),
    };
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    return cmocka_run_group_tests_name("handles", tests, NULL, NULL);
}
