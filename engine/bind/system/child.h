/* rlab.process: the handle of a child, see child.c. Uses: bind/handle. Thread: the Lua thread. */
#ifndef RL_BIND_SYSTEM_CHILD_H
#define RL_BIND_SYSTEM_CHILD_H

#include <lua.h>

void child_open(lua_State *L); /* registers the handle's type */
int child_spawn(lua_State *L); /* process.spawn{...} */

#endif
