/* The consumer's handle type, for the bindings that take a consumer as an argument. Thread: the
 * Lua thread. */
#ifndef RL_BIND_KAFKA_CONSUMER_H
#define RL_BIND_KAFKA_CONSUMER_H

#include "bind/task/handle.h"
#include "kafka/consumer.h"

extern const rl_handle_type kafka_consumer_type;

/* The open consumer at idx. */
kafka_consumer *kafka_consumer_check(lua_State *L, int idx);

/* Offsets, positions, assignment (offsets.c). */
extern const luaL_Reg kafka_offset_methods[];

#endif
