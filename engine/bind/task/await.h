/* Blocking calls as waits.
 *
 * Offers: rl_await, a C call on the thread pool in which a task waits; calls on one handle run one after
 * the other, on its lane.
 * Uses: loop/job, bind/task/scheduler, bind/task/handle. Thread: the Lua thread, except rl_await.run. */
#ifndef RL_BIND_TASK_AWAIT_H
#define RL_BIND_TASK_AWAIT_H

#include <lua.h>

#include "base/err.h"
#include "bind/task/handle.h"
#include "bind/task/scheduler.h"
#include "loop/job.h"

typedef struct rl_await rl_await;

/* A blocking call. Allocate with await_new (zeroed, `size` >= sizeof(rl_await), the rl_await
 * first), fill the own fields, then `return await_job(L, idx, a);`. When run leaves an error in
 * a->err the call returns nil and the error table, else what push pushed. */
struct rl_await {
    rl_wait wait;
    rl_job job;
    rl_lane own_lane;
    rl_err *err;
    int handle_ref;
    rl_handle *handle;
    void (*run)(rl_await *a);               /* pool thread; sees no Lua */
    int (*push)(lua_State *L, rl_await *a); /* loop thread; NULL: returns true */
    void (*drop)(rl_await *a);              /* frees own fields, not `a`; may be NULL */
    void (*cancel)(rl_await *a);            /* loop thread; NULL: the handle's cancel */
};

void *await_new(size_t size, void (*run)(rl_await *), int (*push)(lua_State *, rl_await *),
                void (*drop)(rl_await *));

/* handle_idx: stack index of the handle userdata (its lane serialises the calls, it is kept
 * alive meanwhile), or 0 for none. */
int await_job(lua_State *L, int handle_idx, rl_await *a);

/* For a call that has been made already, in the caller, since it had nothing to wait for: the
 * task still lets the others run before it gets the results. */
int await_made(lua_State *L, int handle_idx, rl_await *a);

#endif
