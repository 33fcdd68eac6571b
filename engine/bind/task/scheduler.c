#include "bind/task/scheduler.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/task/internal.h"

#define SCHED_KEY "rlab.scheduler"

static void on_idle(uv_idle_t *idle);

static sched *sched_of(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, SCHED_KEY);
    sched *s = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return s;
}

static void make_ready(rl_task *t)
{
    if (t->queued || t->done)
        return;
    sched *s = t->s;
    rl_assert(t->co);
    t->queued = true;
    t->ready_next = NULL;
    if (s->ready_tail)
        s->ready_tail->ready_next = t;
    else
        s->ready_head = t;
    s->ready_tail = t;
    uv_idle_start(&s->idle, on_idle);
}

void task_push(lua_State *L, rl_task *t)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->self_ref);
}

static void unlink_live(rl_task *t)
{
    if (t->prev)
        t->prev->next = t->next;
    else
        t->s->live = t->next;
    if (t->next)
        t->next->prev = t->prev;
    t->s->live_count--;
}

/* The coroutine has ended: its results move into a table (results.n) that outlives it. */
static void finish(rl_task *t, bool ok, int nresults)
{
    lua_State *M = t->s->main;
    rl_assert(!t->done && t->s->live_count > 0);
    t->done = true;
    t->ok = ok;
    luaL_checkstack(M, nresults + 8, NULL);
    task_push(M, t);
    lua_createtable(M, nresults, 1);
    field_set_int(M, "n", nresults);
    lua_xmove(t->co, M, nresults);
    for (int i = nresults; i >= 1; i--)
        lua_rawseti(M, -1 - i, i);
    lua_setiuservalue(M, -2, 2);
    lua_pushnil(M);
    lua_setiuservalue(M, -2, 1);
    lua_pop(M, 1);
    t->co = NULL;
    unlink_live(t);
    for (join_wait *j = t->joiners, *next; j; j = next) {
        next = j->next;
        task_wake(&j->wait);
    }
    t->joiners = NULL;
    luaL_unref(M, LUA_REGISTRYINDEX, t->self_ref);
    t->self_ref = LUA_NOREF;
}

static int with_traceback(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING)
        luaL_traceback(L, L, lua_tostring(L, 1), 1);
    return 1;
}

static int body_ended(lua_State *L, int status, lua_KContext ctx)
{
    (void)ctx;
    lua_pushboolean(L, status == LUA_OK || status == LUA_YIELD);
    lua_replace(L, 1);
    return lua_gettop(L);
}

/* A task's body runs in a pcall, so that an error unwinds through its <close> variables, which
 * may wait, before the coroutine is dead. */
static int body(lua_State *L)
{
    lua_pushcfunction(L, with_traceback);
    lua_insert(L, 1);
    return body_ended(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, body_ended), 0);
}

static void resume(rl_task *t)
{
    int nargs = t->started ? 0 : t->nargs + 1, nresults = 0;
    t->started = true;
    rl_assert(!t->s->running && !t->done);
    t->s->running = t;
    int rc = lua_resume(t->co, t->s->main, nargs, &nresults);
    t->s->running = NULL;
    if (rc == LUA_YIELD) {
        lua_pop(t->co, nresults);
        return;
    }
    bool ok = rc == LUA_OK && lua_toboolean(t->co, -nresults);
    finish(t, ok, rc == LUA_OK ? nresults - 1 : 1);
}

static void drain(sched *s)
{
    rl_task *t = s->ready_head;
    s->ready_head = s->ready_tail = NULL;
    uv_idle_stop(&s->idle);
    while (t) {
        rl_task *next = t->ready_next;
        t->queued = false;
        if (!t->done)
            resume(t);
        t = next;
    }
}

static void on_check(uv_check_t *check)
{
    sched *s = check->data;
    if (s->ready_head)
        drain(s);
}

static void on_idle(uv_idle_t *idle)
{
    on_check(&((sched *)idle->data)->check);
}

void task_raise_cancelled(lua_State *L, rl_task *t)
{
    t->cancel_pending = false;
    task_push(L, t);
    lua_getiuservalue(L, -1, 3);
    if (lua_isnil(L, -1))
        errs_raise(L, err_lab("CANCELLED", "the task was cancelled"));
    lua_error(L);
}

static void drop(rl_wait *w)
{
    rl_assert(!w->dropped);
    w->dropped = true;
    w->drop(w);
}

static int on_resumed(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    rl_wait *w = (rl_wait *)ctx;
    rl_task *t = w->task;
    rl_assert(w->woken && t->co == L);
    if (t->wait == w) /* woken before it waited */
        t->wait = NULL;
    if (t->cancel_pending) {
        drop(w);
        task_raise_cancelled(L, t);
    }
    int n = w->push(L, w);
    rl_assert(n >= 0 && n <= lua_gettop(L));
    drop(w);
    return n;
}

rl_task *task_running(lua_State *L)
{
    rl_task *t = sched_of(L)->running;
    return t && t->co == L ? t : NULL;
}

int task_wait(lua_State *L, rl_wait *w)
{
    rl_task *t = task_running(L);
    rl_assert(t && !t->wait); /* await_* and the Lua entries check first */
    rl_assert(w->push && w->drop && (!w->task || w->task == t));
    w->task = t;
    t->wait = w;
    if (t->cancel_pending && w->cancel)
        w->cancel(w);
    return lua_yieldk(L, 0, (lua_KContext)w, on_resumed);
}

void task_require(lua_State *L)
{
    if (!task_running(L))
        luaL_error(L, "cannot wait here: this coroutine is no task (use task.spawn instead of "
                      "coroutine.wrap)");
}

void task_wake(rl_wait *w)
{
    rl_task *t = w->task;
    rl_assert(!w->woken);
    w->woken = true;
    if (!t) /* woken before task_wait: possible when cancel runs at once */
        return;
    if (t->wait == w)
        t->wait = NULL;
    make_ready(t);
}

void task_cancel(lua_State *L, rl_task *t)
{
    if (t->done || t->cancel_pending) {
        lua_pop(L, 1);
        return;
    }
    t->cancel_pending = t->was_cancelled = true;
    task_push(L, t);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 3);
    lua_pop(L, 1);
    if (t->wait && t->wait->cancel)
        t->wait->cancel(t->wait);
}

void task_cancel_others(lua_State *L, rl_task *except)
{
    for (rl_task *t = sched_of(L)->live, *next; t; t = next) {
        next = t->next;
        if (t == except)
            continue;
        lua_pushvalue(L, -1);
        task_cancel(L, t);
    }
    lua_pop(L, 1);
}

rl_task *task_start(lua_State *L, int nargs)
{
    sched *s = sched_of(L);
    rl_task *t = lua_newuserdatauv(L, sizeof *t, 3);
    *t = (rl_task){.s = s, .nargs = nargs, .self_ref = LUA_NOREF};
    luaL_setmetatable(L, TASK_META);
    t->co = lua_newthread(L);
    lua_setiuservalue(L, -2, 1);
    lua_insert(L, -2 - nargs);
    lua_pushcfunction(t->co, body);
    lua_xmove(L, t->co, nargs + 1);
    lua_pushvalue(L, -1);
    t->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    t->next = s->live;
    if (s->live)
        s->live->prev = t;
    s->live = t;
    s->live_count++;
    make_ready(t);
    return t; /* the userdata is left on the stack */
}

bool task_done(const rl_task *t)
{
    return t->done;
}

/* The task userdata must be on top of L; it is replaced by ok and the results. */
int task_result(lua_State *L, rl_task *t)
{
    t->observed = true;
    lua_getiuservalue(L, -1, 2);
    lua_remove(L, -2);
    int table = lua_gettop(L);
    lua_getfield(L, table, "n");
    int n = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    luaL_checkstack(L, n + 2, NULL);
    lua_pushboolean(L, t->ok);
    for (int i = 1; i <= n; i++)
        lua_rawgeti(L, table, i);
    lua_remove(L, table);
    return n + 1;
}

int task_live(lua_State *L)
{
    return sched_of(L)->live_count;
}

uv_loop_t *task_loop(lua_State *L)
{
    return sched_of(L)->loop;
}

lua_State *task_main_state(lua_State *L)
{
    return sched_of(L)->main;
}

void *task_open(lua_State *L, uv_loop_t *loop)
{
    sched *s = mem_zero(sizeof *s);
    lua_pushlightuserdata(L, s);
    lua_setfield(L, LUA_REGISTRYINDEX, SCHED_KEY);
    s->loop = loop;
    s->main = L;
    uv_check_init(loop, &s->check);
    s->check.data = s;
    uv_check_start(&s->check, on_check);
    uv_unref((uv_handle_t *)&s->check);
    uv_idle_init(loop, &s->idle);
    s->idle.data = s;
    return s;
}
