/* Tasks: coroutines that wait.
 *
 * Offers: the scheduler that runs Lua tasks on the loop, and the two ways in which a binding waits:
 * rl_wait (woken by any loop callback) and rl_await (a blocking C call on the thread pool). Lua
 * sees a plain function; its task is suspended meanwhile. A cancelled task leaves its wait by an
 * error; the wait's `cancel` must lead to task_wake() soon.
 * Uses: loop/job, bind/handle, libuv. Thread: the Lua thread, except rl_await.run. */
#ifndef RL_BIND_TASK_SCHEDULER_H
#define RL_BIND_TASK_SCHEDULER_H

#include <lua.h>
#include <uv.h>

#include "base/err.h"
#include "bind/task/handle.h"
#include "loop/job.h"

typedef struct rl_task rl_task;
typedef struct rl_wait rl_wait;
typedef struct rl_await rl_await;

struct rl_wait {
    rl_task *task;                 /* set by task_wait */
    bool woken, dropped;           /* the scheduler's: once each */
    void (*cancel)(rl_wait *wait); /* loop thread; leads to task_wake, at once or later */
    int (*push)(lua_State *L,
                rl_wait *wait);  /* pushes the results of the call, returns their count */
    void (*drop)(rl_wait *wait); /* frees; called exactly once, after push or instead of it */
};

/* Suspends the running task until task_wake(wait). Use as `return task_wait(L, wait);`. Raises
 * when called outside a task. */
int task_wait(lua_State *L, rl_wait *wait);
void task_wake(rl_wait *wait); /* loop thread, exactly once a wait */

/* Raises unless L is a running task: for bindings that prepare a wait before task_wait. */
void task_require(lua_State *L);

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

/* The scheduler itself, for the host, who frees what task_open returns after the loop is closed. */
void *task_open(lua_State *L, uv_loop_t *loop);
rl_task *task_start(lua_State *L, int nargs); /* function and arguments on top of L are taken */
bool task_done(const rl_task *task);
int task_result(
    lua_State *L,
    rl_task
        *task); /* of a done task: pushes ok and the results (or the error); returns their count */
void task_cancel(lua_State *L, rl_task *task); /* takes the reason (any value) from the top of L */
void task_cancel_others(lua_State *L, rl_task *except); /* takes the reason likewise */
int task_live(lua_State *L);
uv_loop_t *task_loop(lua_State *L);
lua_State *task_main_state(lua_State *L);

#endif
