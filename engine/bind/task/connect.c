#include "bind/task/await.h"
#include "bind/task/connect.h"

#include "base/assert.h"

typedef struct connect_job {
    rl_await await; /* first */
    const rl_connector *connector;
    void *impl;
    bool own; /* not yet the handle's */
} connect_job;

static void connect_run(rl_await *a)
{
    connect_job *job = (connect_job *)a;
    a->err = job->connector->connect(job->impl);
}

static void connect_cancel(rl_await *a)
{
    connect_job *job = (connect_job *)a;
    job->connector->type->cancel(job->impl);
}

static void connect_drop(rl_await *a)
{
    connect_job *job = (connect_job *)a;
    if (job->own)
        job->connector->type->close(job->impl);
}

static int connect_push(lua_State *L, rl_await *a)
{
    connect_job *job = (connect_job *)a;
    if (job->connector->connected)
        job->connector->connected(L, job->impl);
    lua_rawgeti(L, LUA_REGISTRYINDEX, a->handle_ref);
    if (job->own)
        handle_set(a->handle, job->impl);
    job->own = false;
    return 1;
}

static connect_job *job_new(const rl_connector *connector, void *impl)
{
    connect_job *job = await_new(sizeof *job, connect_run, connect_push, connect_drop);
    job->await.cancel = connect_cancel;
    job->connector = connector;
    job->impl = impl;
    return job;
}

int connect_new(lua_State *L, const rl_connector *connector, void *impl)
{
    rl_assert(impl && connector->type->cancel && connector->type->close);
    connect_job *job = job_new(connector, impl);
    job->own = true;
    handle_new(L, connector->type, 0);
    return await_job(L, lua_gettop(L), &job->await);
}

int connect_again(lua_State *L, const rl_connector *connector)
{
    rl_handle *h = handle_check(L, 1, connector->type);
    return await_job(L, 1, &job_new(connector, h->impl)->await);
}
