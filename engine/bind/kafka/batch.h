/* Batches of records as Lua sees them.
 *
 * Offers: the batch userdata that a poll returns, which owns the records of librdkafka, and the
 * record views on it, whose fields are made when asked for. batch[i], #batch, :each(), and without
 * a view a record: :values() :keys() :offsets() :timestamps() :partitions() :bytes() :positions();
 * :close() (or `<close>`) frees the records early.
 * Uses: kafka/consumer. Thread: the Lua thread. */
#ifndef RL_BIND_KAFKA_BATCH_H
#define RL_BIND_KAFKA_BATCH_H

#include <lua.h>

#include "kafka/consumer.h"

void kafka_batch_open(lua_State *L); /* registers the metatables */

/* Pushes a batch userdata that takes the records. */
void kafka_batch_push(lua_State *L, kafka_batch *batch);

/* Pushes a table with the fields of a record, for whom no batch owns. */
void kafka_record_table_push(lua_State *L, const rd_kafka_message_t *msg);

/* NULL when idx is something else; both raise when the batch is closed. */
const kafka_batch *kafka_batch_test(lua_State *L, int idx);
const rd_kafka_message_t *kafka_message_test(lua_State *L, int idx);

#endif
