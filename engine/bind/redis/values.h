/* Lua values as Redis arguments, Redis replies as Lua values.
 *
 * Offers: the checks and conversions of rlab.redis. Arguments: strings as they are, integers in
 * decimal, floats in their shortest exact form, lists spread out; booleans, nil and null are usage
 * errors, since Redis has no such arguments. Replies: integers, doubles, booleans, strings; maps
 * become tables, sets and arrays lists, nil the null value, errors inside an aggregate error
 * tables.
 * Uses: redis/conn, redis/pipe. Thread: the Lua thread. */
#ifndef RL_BIND_REDIS_VALUES_H
#define RL_BIND_REDIS_VALUES_H

#include <lua.h>

#include "redis/pipe.h"

/* How many arguments the value at idx makes; raises when it cannot be one. `where` names it in
 * the message. */
int redis_count_arg(lua_State *L, int idx, const char *where, int n);
void redis_add_arg(lua_State *L, int idx, redisc_pipe *pipe);
void redis_push_arg(lua_State *L, int idx); /* pushes the text of a scalar argument */

void redis_push_reply(lua_State *L, const redisReply *reply);

#endif
