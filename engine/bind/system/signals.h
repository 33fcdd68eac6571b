/* Signals by name, and those whose effect is waited for.
 *
 * Offers: reading a signal from an argument, its name, and an awaitable STOP or CONT that returns
 * when every thread of the process has stopped or runs.
 * Uses: bind/task, loop/procfs. Thread: the Lua thread. */
#ifndef RL_BIND_SYSTEM_SIGNALS_H
#define RL_BIND_SYSTEM_SIGNALS_H

#include <lua.h>

int signal_arg(lua_State *L, int idx, int def); /* "KILL", "SIGKILL" or a number */
const char *signal_name(int signum);

/* Awaitable: sends SIGSTOP or SIGCONT and waits until it has taken effect; start 0 matches any
 * process of that pid. */
int signal_and_see(lua_State *L, int pid, lua_Integer start, int signum);

#endif
