/* Waits that may end by a clock.
 *
 * Offers: rl_timed, an rl_wait with an optional time limit, for bindings that wait for a loop
 * event: put it first in a larger struct, fill push, keep it in a list of waiters, call timed_wake
 * when the event has come. Cancelling it and reaching the limit wake it too; `forget` then takes it
 * out of the binding's list.
 * Uses: bind/task, libuv. Thread: the Lua thread. */
#ifndef RL_BIND_TASK_TIMED_H
#define RL_BIND_TASK_TIMED_H

#include <stdbool.h>

#include "bind/task/scheduler.h"

typedef struct rl_timed rl_timed;

struct rl_timed {
    rl_wait wait; /* first */
    uv_timer_t timer;
    bool woken, expired;
    void (*forget)(rl_timed *t); /* called once, when woken for whatever reason; may be NULL */
    void (*drop)(rl_timed *t);   /* frees own fields, not `t`; may be NULL */
};

/* A zeroed one of `size` bytes, or an error raised when the caller is no task. push sees what
 * the call is to return. */
void *timed_new(lua_State *L, size_t size, int (*push)(lua_State *, rl_wait *));

/* Suspends the task, at most `seconds` (negative: for ever). Use as `return timed_wait(L, t,
 * s);`. */
int timed_wait(lua_State *L, rl_timed *t, double seconds);
void timed_wake(rl_timed *t);
void timed_discard(rl_timed *t); /* instead of timed_wait */

/* The limit that a call takes at idx: none or nil means for ever. */
double timed_limit(lua_State *L, int idx);

#endif
