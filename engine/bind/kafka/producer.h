/* The loop side of a producer, shared by the producer's binding files.
 *
 * Offers: the handle type, who is waiting for what (a report, room in the queue, a set of
 * deliveries).
 * Uses: kafka/producer, bind/timed. Thread: the Lua thread. */
#ifndef RL_BIND_KAFKA_PRODUCER_H
#define RL_BIND_KAFKA_PRODUCER_H

#include <lua.h>
#include <stdatomic.h>

#include "bind/kafka/deliveries.h"
#include "bind/task/handle.h"
#include "bind/kafka/values.h"
#include "bind/task/timed.h"
#include "kafka/producer.h"

extern const rl_handle_type kafka_producer_type;

typedef struct producer_side producer_side;

struct producer_side {
    uv_poll_t poll; /* first */
    int fd;
    kafka_producer *producer;
    struct send_wait *sends;
    struct room_wait *rooms;
    set_link sets;
};

/* The open producer at idx. */
kafka_producer *kafka_producer_check(lua_State *L, int idx);
producer_side *kafka_producer_side(lua_State *L, int idx);

/* NULL when the producer at idx is closed: for errors that ask what killed it. */
kafka_producer *kafka_producer_if_open(lua_State *L, int idx);

/* A usage error of librdkafka (_STATE: no transaction), a dead client, or a full queue, as nil,
 * err with a status. */
int kafka_send_failed(lua_State *L, kafka_producer *producer, rd_kafka_resp_err_t code,
                      const char *topic);

/* Waits for room in the queue, then goes on in k(L, LUA_OK, ctx); the producer is at index 1.
 * Use as `return kafka_wait_room(...)`. */
int kafka_wait_room(lua_State *L, lua_KContext ctx, lua_KFunction k);

/* ---- deliveries (submit.c) ---- */
int kafka_l_submit(lua_State *L);
int kafka_l_post_batch(lua_State *L);

/* ---- transactions and other jobs (txn.c) ---- */
extern const luaL_Reg kafka_txn_methods[];
int kafka_l_flush(lua_State *L);

#endif
