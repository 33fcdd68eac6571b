/* How a handle comes to its end: by close(), by `<close>` or, dropped, by the reaper; and the metatable
 * that all handles share (see handle.h). */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/cond.h"
#include "bind/task/await.h"
#include "bind/value/errs.h"

/* ---- the reaper: closes what was dropped, away from the Lua thread ---- */

typedef struct corpse {
    void (*close)(void *impl);
    void *impl;
    struct corpse *next;
} corpse;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    corpse *queue;
    bool started;
    int busy;
} reaper = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *reaper_main(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&reaper.lock);
    for (;;) {
        while (!reaper.queue)
            pthread_cond_wait(&reaper.change, &reaper.lock);
        corpse *c = reaper.queue;
        reaper.queue = c->next;
        pthread_mutex_unlock(&reaper.lock);
        c->close(c->impl);
        free(c);
        pthread_mutex_lock(&reaper.lock);
        reaper.busy--;
        pthread_cond_broadcast(&reaper.change);
    }
    return NULL;
}

static void reaper_give(void (*close)(void *), void *impl)
{
    corpse *c = mem_zero(sizeof *c);
    c->close = close;
    c->impl = impl;
    pthread_mutex_lock(&reaper.lock);
    if (!reaper.started) {
        pthread_t thread;
        cond_init(&reaper.change);
        reaper.started = pthread_create(&thread, NULL, reaper_main, NULL) == 0;
        if (reaper.started)
            pthread_detach(thread);
    }
    c->next = reaper.queue;
    reaper.queue = c;
    reaper.busy++;
    pthread_cond_broadcast(&reaper.change);
    pthread_mutex_unlock(&reaper.lock);
}

void reaper_drain(double seconds)
{
    rl_deadline until = deadline_in(seconds);
    pthread_mutex_lock(&reaper.lock);
    while (reaper.busy && cond_wait_until(&reaper.change, &reaper.lock, until))
        ;
    pthread_mutex_unlock(&reaper.lock);
}

/* ---- the metatable ---- */

typedef struct close_job {
    rl_await await;
    void (*close)(void *impl);
    void *impl;
} close_job;

static void close_run(rl_await *a)
{
    close_job *job = (close_job *)a;
    job->close(job->impl);
    job->impl = NULL;
}

/* A close that was cancelled before the pool took it still has to happen. */
static void close_drop(rl_await *a)
{
    close_job *job = (close_job *)a;
    if (job->impl)
        reaper_give(job->close, job->impl);
}

static void no_cancel(rl_await *a)
{
    (void)a;
}

/* Calls before it on the lane still use the client: then it waits for its turn. */
static void close_withdraw(rl_wait *wait)
{
    rl_await *a = (rl_await *)wait; /* first member */
    if (a->handle->lane.running == &a->job)
        job_cancel(&a->job);
}

static void *take_impl(rl_handle *h)
{
    rl_assert(h->impl && !h->closed);
    if (h->type->detach)
        h->type->detach(h);
    void *impl = h->impl;
    h->impl = NULL;
    h->closed = true;
    handle_settle(h);
    return impl;
}

static int handle_l_close(lua_State *L)
{
    rl_handle *h = lua_touserdata(L, 1);
    if (!h->impl)
        return 0;
    if (h->lane.running && h->type->cancel)
        h->type->cancel(h->impl);
    close_job *job = await_new(sizeof *job, close_run, NULL, close_drop);
    job->close = h->type->close;
    job->impl = take_impl(h);
    job->await.cancel = no_cancel;
    job->await.wait.cancel = close_withdraw;
    return await_job(L, 1, &job->await);
}

static int handle_l_gc(lua_State *L)
{
    rl_handle *h = lua_touserdata(L, 1);
    if (!h->impl)
        return 0;
    if (!h->settled) {
        char text[200];
        snprintf(text, sizeof text, "a %s opened at %s was dropped without close()", h->type->name,
                 h->where);
        lua_warning(L, text, 0);
    }
    reaper_give(h->type->close, take_impl(h));
    return 0;
}

static int handle_l_tostring(lua_State *L)
{
    rl_handle *h = lua_touserdata(L, 1);
    lua_pushfstring(L, "%s (%s, %s)", h->type->name, h->impl ? "open" : "closed", h->where);
    return 1;
}

void handle_type_open(lua_State *L, const rl_handle_type *type, const luaL_Reg *methods)
{
    static const luaL_Reg meta[] = {{"__close", handle_l_close},
                                    {"__gc", handle_l_gc},
                                    {"__tostring", handle_l_tostring},
                                    {NULL, NULL}};
    if (!luaL_newmetatable(L, type->name)) {
        lua_pop(L, 1);
        return;
    }
    luaL_setfuncs(L, meta, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_pushcfunction(L, handle_l_close);
    lua_setfield(L, -2, "close");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
