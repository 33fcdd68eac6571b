/* What we ask over the wire, request by request.
 *
 * Offers: metadata (leaders, epochs, replicas, ISR), the quorum of controllers, the cluster's
 * feature levels (read and changed), positions of a partition (low watermark, LSO, HW and the log
 * end offset of every replica), what is known of transactions: all of them, one of them, and the
 * producers that are active in a partition; and groups with their offsets, also changed and
 * deleted. Results are plain structs; the *_free functions accept zeroed ones. The *_parse
 * functions read a response's body and are apart so that they can be tried on hostile bytes.
 * Uses: kafka/wire/cluster. Thread: that of the cluster. */
#ifndef RL_KAFKA_WIRE_API_H
#define RL_KAFKA_WIRE_API_H

#include <librdkafka/rdkafka.h>

#include "kafka/wire/cluster.h"
#include "kafka/wire/parts.h"

#define WIRE_UNKNOWN INT64_MIN /* a position that nobody knows, which is not 0 */

/* ---- metadata ---- */

typedef struct wire_node {
    int id, port;
    char *host, *rack; /* rack may be NULL */
} wire_node;

typedef struct wire_partition {
    int partition, leader, epoch, code; /* leader -1: none */
    wire_ids replicas, isr, offline;
} wire_partition;

typedef struct wire_topic {
    char *name;
    uint8_t id[16];
    bool internal;
    int code;
    wire_partition *partitions; /* sorted by partition */
    int count;
} wire_topic;

typedef struct wire_metadata {
    char *cluster_id;
    int controller; /* with KRaft the broker to which requests go, not the active controller */
    wire_node *nodes;
    int node_count;
    wire_topic *topics;
    int topic_count;
} wire_metadata;

/* topics NULL: all of them. broker may be WIRE_ANY; another view is of interest only right after
 * a change. Makes the brokers known to the cluster. */
rl_err *wire_metadata_get(wire_cluster *cluster, const wire_call *call, int broker,
                          const char *const *topics, int count, wire_metadata *metadata);
rl_err *wire_metadata_parse(frame_reader *r, wire_metadata *metadata);
void wire_metadata_free(wire_metadata *metadata);
/* NULL unless the topic was asked for. */
const wire_topic *wire_metadata_topic(const wire_metadata *metadata, const char *name);
/* The partition, or why there is none. */
rl_err *wire_metadata_partition(const wire_metadata *metadata, const char *topic, int partition,
                                const wire_partition **found);

typedef struct wire_quorum {
    int leader, epoch;
    int64_t hw;
    struct wire_voter {
        int id;
        int64_t leo;
    } * voters;
    int voter_count;
} wire_quorum;

rl_err *wire_quorum_get(wire_cluster *cluster, const wire_call *call, wire_quorum *quorum);
rl_err *wire_quorum_parse(frame_reader *r, wire_quorum *quorum);
void wire_quorum_free(wire_quorum *quorum);

typedef struct wire_feature {
    char *name;
    int level;
} wire_feature;

typedef struct wire_features {
    wire_feature *features;
    int count;
} wire_features;

/* The feature levels that the cluster has settled on, as this broker (or WIRE_ANY) knows them now;
 * one that is off is not among them. */
rl_err *wire_features_get(wire_cluster *cluster, const wire_call *call, int broker,
                          wire_features *features);
rl_err *wire_features_parse(frame_reader *r, wire_features *features);
void wire_features_free(wire_features *features);
/* down: to a lower level, where nothing is lost by it. The brokers hear of it a little later. */
rl_err *wire_feature_set(wire_cluster *cluster, const wire_call *call, const char *name, int level,
                         bool down);
rl_err *wire_feature_set_parse(frame_reader *r, const char *name);

/* ---- positions ---- */

typedef struct wire_replica {
    int broker;
    int64_t leo; /* WIRE_UNKNOWN with an error */
    rl_err *err;
} wire_replica;

typedef struct wire_positions {
    int leader, epoch;
    int64_t low, lso, hw; /* as the leader says; WIRE_UNKNOWN when it does not */
    wire_replica *replicas;
    int replica_count;
    wire_ids isr, offline;
} wire_positions;

/* All positions of a partition: one metadata and one pipelined round to its replicas. What
 * somebody knows is returned though others are silent; an error only when the partition itself
 * cannot be found. */
rl_err *wire_positions_get(wire_cluster *cluster, const wire_call *call, const char *topic,
                           int partition, wire_positions *positions);
void wire_positions_free(wire_positions *positions);
/* What kept the leader from telling low, LSO, HW or its log end, the caller's; NULL: it told all. */
rl_err *wire_positions_gap(const wire_positions *positions, const char *topic, int partition);

enum { WIRE_EARLIEST = -2, WIRE_LATEST = -1 };
enum { WIRE_CONSUMER = -1, WIRE_DEBUGGER = -2 };

typedef struct wire_offset_query {
    const char *topic;
    int partition;
    int replica;       /* WIRE_CONSUMER; WIRE_DEBUGGER sees the log end, and may ask followers */
    bool committed;    /* isolation read_committed */
    int64_t timestamp; /* WIRE_EARLIEST, WIRE_LATEST or milliseconds */
} wire_offset_query;

void wire_offset_write(frame_writer *w, const void *wire_offset_query_arg);
/* *offset is WIRE_UNKNOWN where the broker answered with a code, which is the error. */
rl_err *wire_offset_parse(frame_reader *r, const wire_offset_query *query, int64_t *offset);

/* ---- transactions ---- */

typedef struct wire_txn {
    char *id, *state;
    int64_t producer_id;
    int coordinator; /* broker */
} wire_txn;

typedef struct wire_txns {
    wire_txn *txns;
    int count;
} wire_txns;

/* Those of which one broker is the coordinator; adds to what is there. states NULL: in any
 * state. */
rl_err *wire_txns_list(wire_cluster *cluster, const wire_call *call, int broker,
                       const char *const *states, int state_count, wire_txns *txns);
rl_err *wire_txns_parse(frame_reader *r, int broker, wire_txns *txns);
void wire_txns_free(wire_txns *txns);

typedef struct wire_txn_topic {
    char *name;
    wire_ids partitions;
} wire_txn_topic;

typedef struct wire_txn_info {
    char *id, *state;
    int coordinator, timeout_ms, producer_epoch;
    int64_t start_ms, producer_id; /* start_ms -1: none is open */
    wire_txn_topic *topics;
    int topic_count;
} wire_txn_info;

rl_err *wire_txn_describe(wire_cluster *cluster, const wire_call *call, const char *id,
                          wire_txn_info *info);
rl_err *wire_txn_parse(frame_reader *r, const char *id, wire_txn_info *info);
void wire_txn_info_free(wire_txn_info *info);

typedef struct wire_producer {
    int64_t producer_id, last_timestamp, txn_start; /* -1: none, no open transaction */
    int epoch, last_sequence, coordinator_epoch;
} wire_producer;

typedef struct wire_producers {
    wire_producer *producers;
    int count;
} wire_producers;

/* The producers that are active in a partition, from its leader. */
rl_err *wire_producers_get(wire_cluster *cluster, const wire_call *call, const char *topic,
                           int partition, wire_producers *producers);
rl_err *wire_producers_parse(frame_reader *r, const char *topic, int partition,
                             wire_producers *producers);
void wire_producers_free(wire_producers *producers);

/* An abort marker for the producer's open transaction in this partition alone, from its leader:
 * for one that its coordinator does not know to be open, as no coordinator is asked. */
rl_err *wire_txn_abort(wire_cluster *cluster, const wire_call *call, const char *topic,
                       int partition, const wire_producer *producer);
rl_err *wire_txn_abort_parse(frame_reader *r, const char *topic, int partition);

/* ---- coordinators ---- */

typedef enum wire_coordinator_kind {
    WIRE_GROUP_COORDINATOR = 0,
    WIRE_TXN_COORDINATOR
} wire_coordinator_kind;

/* The caller frees node->host; the cluster has learnt the address. */
rl_err *wire_coordinator(wire_cluster *cluster, const wire_call *call, wire_coordinator_kind kind,
                         const char *id, wire_node *node);
rl_err *wire_coordinator_parse(frame_reader *r, wire_coordinator_kind kind, const char *id,
                               wire_node *node);
/* Finds the coordinator and asks it; *broker is -1 when it was not found. */
rl_err *wire_ask_coordinator(wire_cluster *cluster, const wire_call *call,
                             wire_coordinator_kind kind, const char *id,
                             const wire_question *question, frame_reader *r, int *broker);

/* ---- groups, and what they have committed ----
 * Asked here and not by librdkafka, whose request for a coordinator aborts the program (2.15.1,
 * assertion eonce->refcnt > 0) when the answer comes after its time. */

typedef struct wire_member {
    char *id, *instance_id, *client_id, *host;            /* instance_id may be NULL */
    rd_kafka_topic_partition_list_t *assignment, *target; /* target NULL: of the classic protocol */
} wire_member;

typedef struct wire_group {
    char *state, *protocol;
    bool classic;
    wire_node coordinator;
    wire_member *members;
    int member_count;
} wire_group;

/* Of either protocol. A group that is not there has the state "Dead". */
rl_err *wire_group_describe(wire_cluster *cluster, const wire_call *call, const char *id,
                            wire_group *group);
rl_err *wire_classic_group_parse(frame_reader *r, const char *id, wire_group *group);
rl_err *wire_consumer_group_parse(frame_reader *r, const char *id, wire_group *group);
void wire_group_free(wire_group *group);

rl_err *wire_group_delete(wire_cluster *cluster, const wire_call *call, const char *id);
rl_err *wire_group_delete_parse(frame_reader *r, const char *id);

/* places NULL: whatever the group has committed; else they are sorted, and one that was never
 * committed has the offset -1. The caller destroys *offsets. */
rl_err *wire_group_offsets(wire_cluster *cluster, const wire_call *call, const char *group,
                           rd_kafka_topic_partition_list_t *places, bool stable,
                           rd_kafka_topic_partition_list_t **offsets);
rl_err *wire_offsets_parse(frame_reader *r, const char *group,
                           rd_kafka_topic_partition_list_t **offsets);
/* Sets or forgets what a group without members has committed. places are sorted, and each says
 * how it went (err). May be repeated. */
rl_err *wire_group_commit(wire_cluster *cluster, const wire_call *call, const char *group,
                          rd_kafka_topic_partition_list_t *places);
rl_err *wire_commit_parse(frame_reader *r, const char *group,
                          rd_kafka_topic_partition_list_t *places);
rl_err *wire_group_forget(wire_cluster *cluster, const wire_call *call, const char *group,
                          rd_kafka_topic_partition_list_t *places);
rl_err *wire_forget_parse(frame_reader *r, const char *group,
                          rd_kafka_topic_partition_list_t *places);

#endif
