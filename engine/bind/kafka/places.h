/* Places in Kafka's logs, as Lua gives them.
 *
 * Offers: strict reading of lists of partitions and offsets from batches, records and tables; it raises
 * on wrong usage before anything is allocated. (kafka_list_push, in values.h, is the way back.)
 * Uses: bind/kafka/batch, bind/kafka/values. Thread: the Lua thread. */
#ifndef RL_BIND_KAFKA_PLACES_H
#define RL_BIND_KAFKA_PLACES_H

#include <librdkafka/rdkafka.h>
#include <lua.h>

typedef enum kafka_list_kind {
    KAFKA_PLACES,  /* topic and partition; an offset is ignored */
    KAFKA_OFFSETS, /* an offset is required; batches and records mean the position after them */
    KAFKA_STARTS,  /* an offset is optional: "earliest", "latest", "stored" or a number */
} kafka_list_kind;

/* A batch, a record, {topic=,partition=,offset=}, or a list of the latter two. The caller
 * destroys the list. */
rd_kafka_topic_partition_list_t *kafka_list_read(lua_State *L, int idx, kafka_list_kind kind);

/* A name of a topic, or a list of such; likewise. */
rd_kafka_topic_partition_list_t *kafka_topics_read(lua_State *L, int idx);

#endif
