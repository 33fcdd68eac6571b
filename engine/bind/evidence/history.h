/* Histories for other bindings.
 *
 * Offers: the history behind a Lua value. Uses: evidence/history. Thread: the Lua thread. */
#ifndef RL_BIND_EVIDENCE_HISTORY_H
#define RL_BIND_EVIDENCE_HISTORY_H

#include <lua.h>

#include "evidence/history.h"

/* Raises unless the value is an open history. */
rl_history *history_check(lua_State *L, int idx);

#endif
