/* Types of userdata that need no lane.
 *
 * Offers: meta_open, the metatable of a type of values (handles have one of task/handle).
 * Uses: Lua. Thread: the Lua thread. */
#ifndef RL_BIND_VALUE_META_H
#define RL_BIND_VALUE_META_H

#include <lauxlib.h>

/* Registers the metatable `name` with the metamethods (may be NULL) and, by __index, the methods. */
void meta_open(lua_State *L, const char *name, const luaL_Reg *metamethods,
               const luaL_Reg *methods);

#endif
