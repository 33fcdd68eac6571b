/* The options of process.spawn, read into those of loop/proc. What they point to is kept by the Lua
 * stack, so use them before it is popped.
 * Uses: bind/opts, loop/proc. Thread: the Lua thread. */
#ifndef RL_BIND_SYSTEM_CHILD_OPTS_H
#define RL_BIND_SYSTEM_CHILD_OPTS_H

#include <lua.h>

#include "loop/proc.h"

proc_opts child_opts(lua_State *L); /* of the table at 1; raises on wrong usage */

#endif
