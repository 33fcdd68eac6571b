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

static void make_ready(rl_task *task)
{
    if (task->queued || task->done)
        return;
    sched *s = task->s;
    rl_assert(task->co);
    task->queued = true;
    task->ready_next = NULL;
    if (s->ready_tail)
        s->ready_tail->ready_next = task;
    else
        s->ready_head = task;
    s->ready_tail = task;
    uv_idle_start(&s->idle, on_idle);
}

void task_push(lua_State *L, rl_task *task)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->self_ref);
}

static void unlink_live(rl_task *task)
{
    if (task->prev)
        task->prev->next = task->next;
    else
        task->s->live = task->next;
    if (task->next)
        task->next->prev = task->prev;
    task->s->live_count--;
}

/* The coroutine has ended: its results move into a table (results.n) that outlives it. */
static void finish(rl_task *task, bool ok, int nresults)
{
    lua_State *M = task->s->main;
    rl_assert(!task->done && task->s->live_count > 0);
    task->done = true;
    task->ok = ok;
    luaL_checkstack(M, nresults + 8, NULL);
    task_push(M, task);
    lua_createtable(M, nresults, 1);
    field_set_int(M, "n", nresults);
    lua_xmove(task->co, M, nresults);
    for (int i = nresults; i >= 1; i--)
        lua_rawseti(M, -1 - i, i);
    lua_setiuservalue(M, -2, 2);
    lua_pushnil(M);
    lua_setiuservalue(M, -2, 1);
    lua_pop(M, 1);
    task->co = NULL;
    unlink_live(task);
    for (join_wait *j = task->joiners, *next; j; j = next) {
        next = j->next;
        task_wake(&j->wait);
    }
    task->joiners = NULL;
    luaL_unref(M, LUA_REGISTRYINDEX, task->self_ref);
    task->self_ref = LUA_NOREF;
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

/* For signal handlers of this thread. */
static struct {
    lua_State *volatile co;
    volatile unsigned long resumes;
} now;

lua_State *task_running_now(unsigned long *resumes)
{
    *resumes = now.resumes;
    return now.co;
}

static void resume(rl_task *task)
{
    int nargs = task->started ? 0 : task->nargs + 1, nresults = 0;
    task->started = true;
    rl_assert(!task->s->running && !task->done);
    task->s->running = task;
    now.resumes++;
    now.co = task->co;
    int rc = lua_resume(task->co, task->s->main, nargs, &nresults);
    now.co = NULL;
    task->s->running = NULL;
    if (rc == LUA_YIELD) {
        lua_pop(task->co, nresults);
        return;
    }
    bool ok = rc == LUA_OK && lua_toboolean(task->co, -nresults);
    finish(task, ok, rc == LUA_OK ? nresults - 1 : 1);
}

static void drain(sched *s)
{
    rl_task *task = s->ready_head;
    s->ready_head = s->ready_tail = NULL;
    uv_idle_stop(&s->idle);
    while (task) {
        rl_task *next = task->ready_next;
        task->queued = false;
        if (!task->done)
            resume(task);
        task = next;
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

void task_raise_cancelled(lua_State *L, rl_task *task)
{
    task->cancel_pending = false;
    task_push(L, task);
    lua_getiuservalue(L, -1, 3);
    if (lua_isnil(L, -1))
        errs_raise(L, err_lab("CANCELLED", "the task was cancelled"));
    lua_error(L);
}

static void drop(rl_wait *wait)
{
    rl_assert(!wait->dropped);
    wait->dropped = true;
    wait->drop(wait);
}

static int on_resumed(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    rl_wait *wait = (rl_wait *)ctx;
    rl_task *task = wait->task;
    rl_assert(wait->woken && task->co == L);
    if (task->wait == wait) /* woken before it waited */
        task->wait = NULL;
    if (task->cancel_pending) {
        drop(wait);
        task_raise_cancelled(L, task);
    }
    int n = wait->push(L, wait);
    rl_assert(n >= 0 && n <= lua_gettop(L));
    drop(wait);
    return n;
}

rl_task *task_running(lua_State *L)
{
    rl_task *task = sched_of(L)->running;
    return task && task->co == L ? task : NULL;
}

int task_wait(lua_State *L, rl_wait *wait)
{
    rl_task *task = task_running(L);
    rl_assert(task && !task->wait); /* await_* and the Lua entries check first */
    rl_assert(wait->push && wait->drop && (!wait->task || wait->task == task));
    wait->task = task;
    task->wait = wait;
    if (task->cancel_pending && wait->cancel)
        wait->cancel(wait);
    return lua_yieldk(L, 0, (lua_KContext)wait, on_resumed);
}

void task_require(lua_State *L)
{
    if (!task_running(L))
        luaL_error(L, "cannot wait here: this coroutine is no task (use task.spawn instead of "
                      "coroutine.wrap)");
}

void task_wake(rl_wait *wait)
{
    rl_task *task = wait->task;
    rl_assert(!wait->woken);
    wait->woken = true;
    if (!task) /* woken before task_wait: possible when cancel runs at once */
        return;
    if (task->wait == wait)
        task->wait = NULL;
    make_ready(task);
}

void task_cancel(lua_State *L, rl_task *task)
{
    if (task->done || task->cancel_pending) {
        lua_pop(L, 1);
        return;
    }
    task->cancel_pending = task->was_cancelled = true;
    task_push(L, task);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 3);
    lua_pop(L, 1);
    if (task->wait && task->wait->cancel)
        task->wait->cancel(task->wait);
}

void task_cancel_others(lua_State *L, rl_task *except)
{
    for (rl_task *task = sched_of(L)->live, *next; task; task = next) {
        next = task->next;
        if (task == except)
            continue;
        lua_pushvalue(L, -1);
        task_cancel(L, task);
    }
    lua_pop(L, 1);
}

void task_cancel_newest(lua_State *L)
{
    rl_task *newest = sched_of(L)->live;
    if (newest)
        task_cancel(L, newest);
    else
        lua_pop(L, 1);
}

rl_task *task_start(lua_State *L, int nargs)
{
    sched *s = sched_of(L);
    rl_task *task = lua_newuserdatauv(L, sizeof *task, 3);
    *task = (rl_task){.s = s, .nargs = nargs, .self_ref = LUA_NOREF};
    luaL_setmetatable(L, TASK_META);
    task->co = lua_newthread(L);
    lua_setiuservalue(L, -2, 1);
    lua_insert(L, -2 - nargs);
    lua_pushcfunction(task->co, body);
    lua_xmove(L, task->co, nargs + 1);
    lua_pushvalue(L, -1);
    task->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    task->next = s->live;
    if (s->live)
        s->live->prev = task;
    s->live = task;
    s->live_count++;
    make_ready(task);
    return task; /* the userdata is left on the stack */
}

bool task_done(const rl_task *task)
{
    return task->done;
}

/* The task userdata must be on top of L; it is replaced by ok and the results. */
int task_result(lua_State *L, rl_task *task)
{
    task->observed = true;
    lua_getiuservalue(L, -1, 2);
    lua_remove(L, -2);
    int table = lua_gettop(L);
    lua_getfield(L, table, "n");
    int n = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    luaL_checkstack(L, n + 2, NULL);
    lua_pushboolean(L, task->ok);
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
