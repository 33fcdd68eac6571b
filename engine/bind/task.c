#include "bind/task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bind/errs.h"
#include "bind/opts.h"

#define TASK_META "rlab.task"
#define SCHED_KEY "rlab.scheduler"

typedef struct sched {
    uv_loop_t *loop;
    lua_State *main;
    rl_task *ready_head, *ready_tail, *live, *running;
    uv_check_t check;
    uv_idle_t idle;
    int live_count;
} sched;

typedef struct join_wait {
    rl_wait wait;
    rl_task *target;
    struct join_wait *next;
} join_wait;

/* The userdata itself; its user value 1 holds the coroutine, 2 the results, 3 the cancel reason. It is anchored in the registry while live. */
struct rl_task {
    sched *s;
    lua_State *co;
    int self_ref, nargs;
    rl_wait *wait;
    rl_task *ready_next, *prev, *next;
    join_wait *joiners;
    bool queued, done, ok, cancel_pending, started, observed;
    bool was_cancelled; /* then a failure that nobody joins is no news */
};

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
    t->queued = true;
    t->ready_next = NULL;
    if (s->ready_tail)
        s->ready_tail->ready_next = t;
    else
        s->ready_head = t;
    s->ready_tail = t;
    uv_idle_start(&s->idle, on_idle);
}

static void push_task(lua_State *L, rl_task *t)
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
    t->done = true;
    t->ok = ok;
    luaL_checkstack(M, nresults + 8, NULL);
    push_task(M, t);
    lua_createtable(M, nresults, 1);
    lua_pushinteger(M, nresults);
    lua_setfield(M, -2, "n");
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

/* A task's body runs in a pcall, so that an error unwinds through its <close> variables, which may wait, before the coroutine is dead. */
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

static void raise_cancelled(lua_State *L, rl_task *t)
{
    t->cancel_pending = false;
    push_task(L, t);
    lua_getiuservalue(L, -1, 3);
    if (lua_isnil(L, -1))
        errs_raise(L, err_lab("CANCELLED", "the task was cancelled"));
    lua_error(L);
}

static int on_resumed(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    rl_wait *w = (rl_wait *)ctx;
    rl_task *t = w->task;
    if (t->cancel_pending) {
        w->drop(w);
        raise_cancelled(L, t);
    }
    int n = w->push(L, w);
    w->drop(w);
    return n;
}

static rl_task *task_running(lua_State *L)
{
    rl_task *t = sched_of(L)->running;
    return t && t->co == L ? t : NULL;
}

int task_wait(lua_State *L, rl_wait *w)
{
    rl_task *t = task_running(L);
    assert(t); /* await_* and the Lua entries check first */
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
    if (!t) /* woken before task_wait: possible when cancel runs at once */
        return;
    if (t->wait == w)
        t->wait = NULL;
    make_ready(t);
}

static void cancel_with_top(lua_State *L, rl_task *t)
{
    if (t->done || t->cancel_pending) {
        lua_pop(L, 1);
        return;
    }
    t->cancel_pending = t->was_cancelled = true;
    push_task(L, t);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 3);
    lua_pop(L, 1);
    if (t->wait && t->wait->cancel)
        t->wait->cancel(t->wait);
}

void task_cancel(lua_State *L, rl_task *t)
{
    cancel_with_top(L, t);
}

void task_cancel_others(lua_State *L, rl_task *except)
{
    for (rl_task *t = sched_of(L)->live, *next; t; t = next) {
        next = t->next;
        if (t == except)
            continue;
        lua_pushvalue(L, -1);
        cancel_with_top(L, t);
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

/* ---- awaits: a job of the pool as a wait ---- */

static rl_await *of_wait(rl_wait *w)
{
    return (rl_await *)w; /* first member */
}

static rl_await *of_job(rl_job *job)
{
    return (rl_await *)((char *)job - offsetof(rl_await, job));
}

static void await_run(rl_job *job)
{
    rl_await *a = of_job(job);
    a->run(a);
}

static void await_done(rl_job *job)
{
    rl_await *a = of_job(job);
    task_wake(&a->wait);
}

static void await_job_cancel(rl_job *job)
{
    rl_await *a = of_job(job);
    if (a->cancel)
        a->cancel(a);
    else if (a->handle && a->handle->type->cancel && a->handle->impl)
        a->handle->type->cancel(a->handle->impl);
}

static void await_cancel(rl_wait *w)
{
    job_cancel(&of_wait(w)->job);
}

static int await_push(lua_State *L, rl_wait *w)
{
    rl_await *a = of_wait(w);
    if (!a->err && a->job.cancelled && !a->push)
        a->err = err_lab("CANCELLED", "the call was cancelled");
    if (a->err) {
        rl_err *err = a->err;
        a->err = NULL;
        return errs_fail(L, err);
    }
    if (a->push)
        return a->push(L, a);
    lua_pushboolean(L, 1);
    return 1;
}

static void await_drop(rl_wait *w)
{
    rl_await *a = of_wait(w);
    luaL_unref(w->task->s->main, LUA_REGISTRYINDEX, a->handle_ref);
    err_free(a->err);
    if (a->drop)
        a->drop(a);
    free(a);
}

void *await_new(size_t size, void (*run)(rl_await *), int (*push)(lua_State *, rl_await *),
                void (*drop)(rl_await *))
{
    assert(size >= sizeof(rl_await));
    rl_await *a = mem_zero(size);
    a->wait = (rl_wait){.cancel = await_cancel, .push = await_push, .drop = await_drop};
    a->job = (rl_job){.run = await_run, .done = await_done, .cancel = await_job_cancel};
    a->handle_ref = LUA_NOREF;
    a->run = run;
    a->push = push;
    a->drop = drop;
    return a;
}

int await_job(lua_State *L, int handle_idx, rl_await *a)
{
    if (!task_running(L)) {
        if (a->drop)
            a->drop(a);
        free(a);
        task_require(L);
    }
    rl_lane *lane = &a->own_lane;
    if (handle_idx) {
        a->handle = lua_touserdata(L, handle_idx);
        lane = &a->handle->lane;
        lua_pushvalue(L, handle_idx);
        a->handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    } else {
        lane_init(lane, task_loop(L));
    }
    a->wait.task = task_running(L);
    job_submit(lane, &a->job);
    return task_wait(L, &a->wait);
}

/* ---- rlab.core.task ---- */

typedef struct sleep_wait {
    rl_wait wait;
    uv_timer_t timer;
    bool woken;
} sleep_wait;

static void free_timer(uv_handle_t *h)
{
    free(h->data);
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

static void sleep_cancel(rl_wait *w)
{
    sleep_wake((sleep_wait *)w);
}

static int push_nothing(lua_State *L, rl_wait *w)
{
    (void)L;
    (void)w;
    return 0;
}

static void sleep_drop(rl_wait *w)
{
    uv_close((uv_handle_t *)&((sleep_wait *)w)->timer, free_timer);
}

static int l_sleep(lua_State *L)
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

static void plain_drop(rl_wait *w)
{
    free(w);
}

static int l_event_new(lua_State *L)
{
    event *e = lua_newuserdatauv(L, sizeof *e, 0);
    e->waiters = NULL;
    luaL_setmetatable(L, EVENT_META);
    return 1;
}

static int l_event_wait(lua_State *L)
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
static int l_event_set(lua_State *L)
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

static int l_spawn(lua_State *L)
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
        raise_cancelled(L, me);
    return joined(L, status, 0);
}

/* task:join() -> ok, results... | false, error */
static int l_join(lua_State *L)
{
    rl_task *t = check_task(L);
    if (t->done)
        return joined(L, 0, 0);
    task_require(L);
    rl_task *me = task_running(L);
    if (me == t)
        return luaL_error(L, "a task cannot join itself");
    join_wait *j = mem_zero(sizeof *j);
    j->wait = (rl_wait){.task = me, .cancel = join_cancel};
    j->target = t;
    join_wait **tail = &t->joiners;
    while (*tail)
        tail = &(*tail)->next;
    *tail = j;
    me->wait = &j->wait;
    if (me->cancel_pending)
        join_cancel(&j->wait);
    return lua_yieldk(L, 0, (lua_KContext)j, join_resumed);
}

static int l_cancel(lua_State *L)
{
    rl_task *t = check_task(L);
    lua_settop(L, 2);
    cancel_with_top(L, t);
    return 0;
}

static int l_done(lua_State *L)
{
    lua_pushboolean(L, check_task(L)->done);
    return 1;
}

static int l_current(lua_State *L)
{
    rl_task *t = task_running(L);
    if (t)
        push_task(L, t);
    else
        lua_pushnil(L);
    return 1;
}

static int l_live(lua_State *L)
{
    lua_pushinteger(L, task_live(L));
    return 1;
}

static int task_gc(lua_State *L)
{
    rl_task *t = luaL_checkudata(L, 1, TASK_META);
    if (t->done && !t->ok && !t->observed && !t->was_cancelled) {
        lua_getiuservalue(L, 1, 2);
        lua_rawgeti(L, -1, 1);
        lua_warning(L, "a task that nobody joined failed: ", 1);
        lua_warning(L, luaL_tolstring(L, -1, NULL), 0);
    }
    return 0;
}

static int open_task(lua_State *L)
{
    static const luaL_Reg functions[] = {{"spawn", l_spawn},     {"sleep", l_sleep},
                                         {"event", l_event_new}, {"current", l_current},
                                         {"live", l_live},       {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

static void make_meta(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    if (gc) {
        lua_pushcfunction(L, gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
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

    static const luaL_Reg task_methods[] = {
        {"join", l_join}, {"cancel", l_cancel}, {"done", l_done}, {NULL, NULL}};
    static const luaL_Reg event_methods[] = {
        {"wait", l_event_wait}, {"set", l_event_set}, {NULL, NULL}};
    make_meta(L, TASK_META, task_methods, task_gc);
    make_meta(L, EVENT_META, event_methods, NULL);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, open_task);
    lua_setfield(L, -2, "rlab.core.task");
    lua_pop(L, 1);
    return s;
}
