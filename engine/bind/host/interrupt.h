/* Ctrl-C for a program that goes on: who hears it instead of the main task.
 *
 * Offers: rlab.interrupt (set, breakable) to Lua, and interrupt_taken to the host, which asks on
 * each SIGINT whether a Lua function took it. A command that never waits (`while true do end`) is
 * broken out of by a hook that the signal handler sets, as the stand-alone lua does.
 * Uses: bind/errs. Thread: the Lua thread, and signal handlers. */
#ifndef RL_BIND_HOST_INTERRUPT_H
#define RL_BIND_HOST_INTERRUPT_H

#include <lua.h>
#include <stdbool.h>

bool interrupt_taken(lua_State *L);

#endif
