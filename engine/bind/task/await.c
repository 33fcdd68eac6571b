/* rl_await: a job of the thread pool as a wait. */
#include "bind/task/await.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "bind/value/errs.h"
#include "bind/task/internal.h"

static rl_await *of_wait(rl_wait *wait)
{
    return (rl_await *)wait; /* first member */
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

static void await_cancel(rl_wait *wait)
{
    job_cancel(&of_wait(wait)->job);
}

static int await_push(lua_State *L, rl_wait *wait)
{
    rl_await *a = of_wait(wait);
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

static void await_drop(rl_wait *wait)
{
    rl_await *a = of_wait(wait);
    luaL_unref(wait->task->s->main, LUA_REGISTRYINDEX, a->handle_ref);
    err_free(a->err);
    if (a->drop)
        a->drop(a);
    free(a);
}

void *await_new(size_t size, void (*run)(rl_await *), int (*push)(lua_State *, rl_await *),
                void (*drop)(rl_await *))
{
    rl_assert(run && size >= sizeof(rl_await));
    rl_await *a = mem_zero(size);
    a->wait = (rl_wait){.cancel = await_cancel, .push = await_push, .drop = await_drop};
    a->job = (rl_job){.run = await_run, .done = await_done, .cancel = await_job_cancel};
    a->handle_ref = LUA_NOREF;
    a->run = run;
    a->push = push;
    a->drop = drop;
    return a;
}

/* Returns the lane of the call; the handle is kept alive until await_drop. */
static rl_lane *await_prepare(lua_State *L, int handle_idx, rl_await *a)
{
    if (!task_running(L)) {
        if (a->drop)
            a->drop(a);
        free(a);
        task_require(L);
    }
    a->wait.task = task_running(L);
    if (!handle_idx) {
        lane_init(&a->own_lane, task_loop(L));
        return &a->own_lane;
    }
    a->handle = lua_touserdata(L, handle_idx);
    lua_pushvalue(L, handle_idx);
    a->handle_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return &a->handle->lane;
}

int await_job(lua_State *L, int handle_idx, rl_await *a)
{
    job_submit(await_prepare(L, handle_idx, a), &a->job);
    return task_wait(L, &a->wait);
}

int await_made(lua_State *L, int handle_idx, rl_await *a)
{
    await_prepare(L, handle_idx, a);
    a->wait.cancel = NULL; /* nothing is under way */
    task_wake(&a->wait);
    return task_wait(L, &a->wait);
}
