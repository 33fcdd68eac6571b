/* rlab.core.task: spawn, sleep, events and joins; lua/rlab/task.lua builds groups, timeouts and
 * channels of them. */
#include "bind/task/module.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/buf.h"
#include "bind/value/meta.h"
#include "bind/value/opts.h"
#include "bind/task/internal.h"

typedef struct sleep_wait {
    rl_wait wait;
    uv_timer_t timer;
    bool woken;
} sleep_wait;

static void free_timer(uv_handle_t *handle)
{
    free(handle->data);
}

static void sleep_wake(sleep_wait *w)
{
    if (w->woken)
        return;
    w->woken = true;
    uv_timer_stop(&w->timer);
    task_wake(&w->wait);
}

static void on_timer(uv_timer_t *timer)
{
    sleep_wake(timer->data);
}

static void sleep_cancel(rl_wait *wait)
{
    sleep_wake((sleep_wait *)wait);
}

static int push_nothing(lua_State *L, rl_wait *wait)
{
    (void)L;
    (void)wait;
    return 0;
}

static void sleep_drop(rl_wait *wait)
{
    uv_close((uv_handle_t *)&((sleep_wait *)wait)->timer, free_timer);
}

static int task_l_sleep(lua_State *L)
{
    double seconds = arg_duration(L, 1, 0);
    task_require(L);
    sleep_wait *w = mem_zero(sizeof *w);
    w->wait = (rl_wait){.cancel = sleep_cancel, .push = push_nothing, .drop = sleep_drop};
    uv_timer_init(task_loop(L), &w->timer);
    w->timer.data = w;
    w->wait.task = task_running(L);
    uv_update_time(task_loop(L));
    uv_timer_start(&w->timer, on_timer, (uint64_t)(seconds * 1000 + 0.999), 0);
    return task_wait(L, &w->wait);
}

/* An event: tasks wait for it, anybody sets it; channels and groups are made of it in Lua. */
typedef struct event_wait {
    rl_wait wait;
    struct event *event;
    struct event_wait *next;
} event_wait;

typedef struct event {
    event_wait *waiters;
} event;

#define EVENT_META "rlab.event"

static void event_unlink(event_wait *w)
{
    event_wait **p = &w->event->waiters;
    while (*p && *p != w)
        p = &(*p)->next;
    if (*p)
        *p = w->next;
}

static void event_cancel(rl_wait *wait)
{
    event_unlink((event_wait *)wait);
    task_wake(wait);
}

static void plain_drop(rl_wait *wait)
{
    free(wait);
}

static int task_l_event_new(lua_State *L)
{
    event *e = lua_newuserdatauv(L, sizeof *e, 0);
    e->waiters = NULL;
    luaL_setmetatable(L, EVENT_META);
    return 1;
}

static int task_l_event_wait(lua_State *L)
{
    event *e = luaL_checkudata(L, 1, EVENT_META);
    task_require(L);
    event_wait *w = mem_zero(sizeof *w);
    w->wait = (rl_wait){.cancel = event_cancel, .push = push_nothing, .drop = plain_drop};
    w->event = e;
    w->wait.task = task_running(L);
    event_wait **tail = &e->waiters;
    while (*tail)
        tail = &(*tail)->next;
    *tail = w;
    return task_wait(L, &w->wait);
}

/* event:set(all): wakes the first waiter, or all of them; true when there was one */
static int task_l_event_set(lua_State *L)
{
    event *e = luaL_checkudata(L, 1, EVENT_META);
    bool all = lua_toboolean(L, 2), any = e->waiters != NULL;
    while (e->waiters) {
        event_wait *w = e->waiters;
        e->waiters = w->next;
        task_wake(&w->wait);
        if (!all)
            break;
    }
    lua_pushboolean(L, any);
    return 1;
}

static int task_l_spawn(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    task_start(L, lua_gettop(L) - 1);
    return 1;
}

static rl_task *check_task(lua_State *L)
{
    return luaL_checkudata(L, 1, TASK_META);
}

static void join_cancel(rl_wait *wait)
{
    join_wait *j = (join_wait *)wait;
    join_wait **p = &j->target->joiners;
    while (*p && *p != j)
        p = &(*p)->next;
    if (*p)
        *p = j->next;
    task_wake(wait);
}

static int joined(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    lua_settop(L, 1);
    return task_result(L, lua_touserdata(L, 1));
}

static int join_resumed(lua_State *L, int status, lua_KContext ctx)
{
    join_wait *j = (join_wait *)ctx;
    rl_task *me = j->wait.task;
    free(j);
    if (me->cancel_pending)
        task_raise_cancelled(L, me);
    return joined(L, status, 0);
}

/* task:join() -> ok, results... | false, error */
static int task_l_join(lua_State *L)
{
    rl_task *task = check_task(L);
    if (task->done)
        return joined(L, 0, 0);
    task_require(L);
    rl_task *me = task_running(L);
    if (me == task)
        return luaL_error(L, "a task cannot join itself");
    join_wait *j = mem_zero(sizeof *j);
    j->wait = (rl_wait){.task = me, .cancel = join_cancel};
    j->target = task;
    join_wait **tail = &task->joiners;
    while (*tail)
        tail = &(*tail)->next;
    *tail = j;
    me->wait = &j->wait;
    if (me->cancel_pending)
        join_cancel(&j->wait);
    return lua_yieldk(L, 0, (lua_KContext)j, join_resumed);
}

static int task_l_cancel(lua_State *L)
{
    rl_task *task = check_task(L);
    lua_settop(L, 2);
    task_cancel(L, task);
    return 0;
}

static int task_l_done(lua_State *L)
{
    lua_pushboolean(L, check_task(L)->done);
    return 1;
}

static int task_l_current(lua_State *L)
{
    rl_task *task = task_running(L);
    if (task)
        task_push(L, task);
    else
        lua_pushnil(L);
    return 1;
}

static int task_l_live(lua_State *L)
{
    lua_pushinteger(L, task_live(L));
    return 1;
}

static int task_gc(lua_State *L)
{
    rl_task *task = luaL_checkudata(L, 1, TASK_META);
    if (task->done && !task->ok && !task->observed && !task->was_cancelled) {
        lua_getiuservalue(L, 1, 2);
        lua_rawgeti(L, -1, 1);
        lua_warning(L, "a task that nobody joined failed: ", 1);
        lua_warning(L, luaL_tolstring(L, -1, NULL), 0);
    }
    return 0;
}

static int open_task(lua_State *L)
{
    static const luaL_Reg functions[] = {{"spawn", task_l_spawn},     {"sleep", task_l_sleep},
                                         {"event", task_l_event_new}, {"current", task_l_current},
                                         {"live", task_l_live},       {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

/* Outside a coroutine of one's own it would leave the task behind, which nothing wakes. */
static int own_yield(lua_State *L)
{
    if (task_running(L))
        return luaL_error(L, "coroutine.yield is for coroutines of one's own; a task waits by "
                             "task.sleep, an event or a channel");
    return lua_yield(L, lua_gettop(L));
}

static void guard_yield(lua_State *L)
{
    lua_getglobal(L, "coroutine");
    lua_pushcfunction(L, own_yield);
    lua_setfield(L, -2, "yield");
    lua_pop(L, 1);
}

void task_module_open(lua_State *L)
{
    static const luaL_Reg task_methods[] = {
        {"join", task_l_join}, {"cancel", task_l_cancel}, {"done", task_l_done}, {NULL, NULL}};
    static const luaL_Reg event_methods[] = {
        {"wait", task_l_event_wait}, {"set", task_l_event_set}, {NULL, NULL}};
    static const luaL_Reg task_meta[] = {{"__gc", task_gc}, {NULL, NULL}};
    guard_yield(L);
    meta_open(L, TASK_META, task_meta, task_methods);
    meta_open(L, EVENT_META, NULL, event_methods);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, open_task);
    lua_setfield(L, -2, "rlab.core.task");
    lua_pop(L, 1);
}
