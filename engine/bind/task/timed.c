#include "bind/task/timed.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "bind/value/opts.h"

void timed_wake(rl_timed *t)
{
    if (t->woken)
        return;
    t->woken = true;
    uv_timer_stop(&t->timer);
    if (t->forget)
        t->forget(t);
    task_wake(&t->wait);
}

static void on_limit(uv_timer_t *timer)
{
    rl_timed *t = timer->data;
    t->expired = true;
    timed_wake(t);
}

static void on_cancel(rl_wait *wait)
{
    timed_wake((rl_timed *)wait);
}

static void free_timed(uv_handle_t *timer)
{
    free(timer->data);
}

static void on_drop(rl_wait *wait)
{
    rl_timed *t = (rl_timed *)wait;
    if (t->drop)
        t->drop(t);
    uv_close((uv_handle_t *)&t->timer, free_timed);
}

void timed_discard(rl_timed *t)
{
    rl_assert(!t->wait.task && !t->woken);
    on_drop(&t->wait);
}

void *timed_new(lua_State *L, size_t size, int (*push)(lua_State *, rl_wait *))
{
    task_require(L);
    rl_timed *t = mem_zero(size);
    t->wait = (rl_wait){.cancel = on_cancel, .push = push, .drop = on_drop};
    uv_timer_init(task_loop(L), &t->timer);
    t->timer.data = t;
    return t;
}

int timed_wait(lua_State *L, rl_timed *t, double seconds)
{
    if (seconds >= 0) {
        uv_update_time(task_loop(L));
        uv_timer_start(&t->timer, on_limit, (uint64_t)(seconds * 1000 + 0.999), 0);
    }
    return task_wait(L, &t->wait);
}

double timed_limit(lua_State *L, int idx)
{
    return lua_isnoneornil(L, idx) ? -1 : arg_duration(L, idx, 0);
}
