/* What the files of the consumer's binding share. Uses: flow/consume. Thread: the Lua thread. */
#ifndef RL_BIND_FLOW_CONSUME_H
#define RL_BIND_FLOW_CONSUME_H

#include <lua.h>

#include "flow/consume/flow.h"

flow_consume *flow_consume_check(lua_State *L); /* the open flow at index 1 */

flow_consume *flow_consume_test(lua_State *L, int idx); /* NULL when it is closed */

/* Methods (consume_ask.c). */
int flow_consume_batch(lua_State *L);
int flow_consume_answer(lua_State *L);
int flow_consume_again(lua_State *L);

#endif
