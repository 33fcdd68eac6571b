/* The module rlab.kafka, put together from its parts.
 *
 * Offers: what the files of this folder give to the one table: constructors and metatables.
 * Thread: the Lua thread. */
#ifndef RL_BIND_KAFKA_MODULE_H
#define RL_BIND_KAFKA_MODULE_H

#include <lua.h>

int kafka_l_producer(lua_State *L);
int kafka_l_consumer(lua_State *L);
int kafka_l_share_consumer(lua_State *L);
void kafka_producer_bind(lua_State *L);
void kafka_submit_open(lua_State *L); /* the metatable of deliveries */
void kafka_consumer_bind(lua_State *L);
void kafka_share_bind(lua_State *L);

#endif
