/* Tasks: coroutines that wait.
 *
 * Offers: the scheduler that runs Lua tasks on the loop, and rl_wait, in which a binding waits until any
 * loop callback wakes it (await.h and timed.h are made of it). Lua sees a plain function; its task is
 * suspended meanwhile. A cancelled task leaves its wait by an error; the wait's `cancel` must lead to
 * task_wake() soon.
 * Uses: libuv. Thread: the Lua thread. */
#ifndef RL_BIND_TASK_SCHEDULER_H
#define RL_BIND_TASK_SCHEDULER_H

#include <lua.h>
#include <stdbool.h>
#include <uv.h>

typedef struct rl_task rl_task;
typedef struct rl_wait rl_wait;

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
void task_cancel_newest(lua_State *L); /* takes the reason likewise; others may wait for that one */
int task_live(lua_State *L);
/* The task that runs now, or NULL, and how often one was resumed so far; a signal handler may ask. */
lua_State *task_running_now(unsigned long *resumes);
uv_loop_t *task_loop(lua_State *L);
lua_State *task_main_state(lua_State *L);

#endif
