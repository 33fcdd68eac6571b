/* What the scheduler's own files share: the task itself and its queue (see scheduler.h for what
 * others use).
 *
 * Offers: the inside of a task, the running task, and how a cancellation is raised. Uses:
 * bind/task. Thread: the Lua thread. */
#ifndef RL_BIND_TASK_INTERNAL_H
#define RL_BIND_TASK_INTERNAL_H

#include <stdbool.h>

#include "bind/task/scheduler.h"

#define TASK_META "rlab.task"

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

/* The userdata itself; its user value 1 holds the coroutine, 2 the results, 3 the cancel reason.
 * It is anchored in the registry while live. */
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

rl_task *task_running(lua_State *L);                    /* NULL outside a task */
void task_push(lua_State *L, rl_task *task);            /* its userdata, while it lives */
void task_raise_cancelled(lua_State *L, rl_task *task); /* raises; does not return */

#endif
