/* Flows as handles.
 *
 * Offers: what every flow's binding shares. A flow module describes its handle by an rl_handle_type
 * whose impl begins with an rl_flow, with cancel = flow_handle_cancel and detach =
 * flow_handle_detach, and registers it by flow_type_open, which adds the methods events, stop,
 * health and running. `stats` is its own, made of flow_push_stats and flow_set_hdr.
 * Uses: bind/handle, bind/timed, flow/flow. Thread: the Lua thread. */
#ifndef RL_BIND_FLOW_HANDLE_H
#define RL_BIND_FLOW_HANDLE_H

#include <lua.h>

#include "bind/task/handle.h"
#include "flow/core.h"

/* Registers the type with its own methods and these:
 *   flow:events([at_most]) -> list of events {what=, at_ms=, err=, ...}, empty when none came in
 *   time, nil when the flow has ended and all were read
 *   flow:stop([at_most = 10s]) -> true | nil, err (TIMEOUT): finishes what is under way
 *   flow:health() -> true | false, why
 *   flow:running() -> boolean */
void flow_type_open(lua_State *L, const rl_handle_type *type, const luaL_Reg *methods);

/* Opens h (handle_set) and begins to wake tasks for the flow's events. */
void flow_handle_set(lua_State *L, rl_handle *h, rl_flow *flow);
void flow_handle_cancel(void *impl);
void flow_handle_detach(rl_handle *h);

/* What a method that waits for a flow's end does, and says. */
typedef struct flow_end {
    bool stop;                     /* asks the flow to finish first */
    const char *call, *late;       /* "... was cancelled", "... in time" */
    rl_err *(*failure)(rl_flow *); /* what it ended with; may be NULL */
} flow_end;

/* Returns true | nil, err when the flow of the handle at 1 has ended, or `seconds` (negative: for
 * ever) are over. `end` is kept. */
int flow_end_await(lua_State *L, rl_flow *flow, double seconds, const flow_end *end);

/* Pushes a table of the totals of the counters, by name, and `events_dropped`. */
void flow_push_stats(lua_State *L, rl_flow *flow, const char *const *names, int n);

/* Sets field `key` of the table on top to an rlab.hdr histogram of what the recorders hold
 * together. */
void flow_set_hdr(lua_State *L, const char *key, flow_hdr *const *hdrs, int n);

#endif
