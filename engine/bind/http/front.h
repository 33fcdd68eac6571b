/* Fronts as Lua hands them on.
 *
 * Offers: a value that stands for a front and its argument (http/server.h), made by a binding
 * whose flow answers requests in C and taken by a server's front(). The argument must outlive
 * its use: take the front away first. Uses: http/server. Thread: the Lua thread. */
#ifndef RL_BIND_HTTP_FRONT_H
#define RL_BIND_HTTP_FRONT_H

#include <lua.h>

#include "http/server.h"

typedef struct rl_front {
    const http_front *front;
    void *arg;
} rl_front;

void http_front_push(lua_State *L, const http_front *front, void *arg);
const rl_front *http_front_check(lua_State *L, int idx);

#endif
