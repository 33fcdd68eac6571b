/* rlab.process: the handle of a child, see bind_child.c. Uses: bind/handle. Thread: the Lua thread. */
#ifndef RL_BIND_CHILD_H
#define RL_BIND_CHILD_H

#include <lua.h>

void child_open(lua_State *L);                  /* registers the handle's type */
int child_spawn(lua_State *L);                  /* process.spawn{...} */
int signal_arg(lua_State *L, int idx, int def); /* "KILL", "SIGKILL" or a number */
const char *signal_name(int signum);

/* Awaitable: sends SIGSTOP or SIGCONT and waits until it has taken effect; start 0 matches any process of that pid. */
int signal_and_see(lua_State *L, int pid, lua_Integer start, int signum);

#endif
