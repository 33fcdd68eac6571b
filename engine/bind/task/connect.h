/* Connecting, for handles whose client is made first and connected by a blocking call.
 *
 * Offers: `connect` (a new handle that is opened when the client has connected) and `reconnect` (an
 * open one, anew) as awaitable calls; both give the handle, or nil and an error.
 * Uses: bind/task. Thread: the Lua thread; connect runs on a pool thread. */
#ifndef RL_BIND_TASK_CONNECT_H
#define RL_BIND_TASK_CONNECT_H

#include <lua.h>

#include "bind/task/handle.h"

typedef struct rl_connector {
    const rl_handle_type *type; /* its cancel ends a connect, its close frees the client */
    rl_err *(*connect)(void *impl);
    void (*connected)(lua_State *L,
                      void *impl); /* loop thread, before the call returns; may be NULL */
} rl_connector;

/* Use as `return connect_new(L, ...);`. The client is ours from here on, also when this raises. */
int connect_new(lua_State *L, const rl_connector *connector, void *impl);

/* The open handle at index 1. */
int connect_again(lua_State *L, const rl_connector *connector);

#endif
