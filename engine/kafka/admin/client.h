/* The Kafka observer: everything a script asks of a cluster or changes in it, besides producing and
 * consuming.
 *
 * Offers: blocking calls, each with an own deadline and cancellable from another thread, over one
 * librdkafka handle (its Admin API) and one wire_cluster (what librdkafka cannot ask, or not
 * safely: epochs, log ends, transactions, the quorum, feature levels, groups). The observer must
 * outlive a frozen broker: a try that gets no answer within a short time is repeated, where any
 * broker will do at one that is known to be alive, until the call's time is up; then the error is
 * TIMEOUT.
 * Uses: kafka/client, kafka/wire_api. Thread: one call at a time; kafka_admin_cancel and
 * kafka_admin_stop from any thread. Calls that return an event hand over ownership
 * (rd_kafka_event_destroy); it is a result of the kind that its name says, without an error. */
#ifndef RL_KAFKA_ADMIN_CLIENT_H
#define RL_KAFKA_ADMIN_CLIENT_H

#include "kafka/client.h"
#include "kafka/survey/survey.h"
#include "kafka/wire/api.h"

typedef struct kafka_admin kafka_admin;

typedef struct kafka_call {
    int timeout_ms;
    kafka_stop cancelled;
} kafka_call;

/* Takes conf also when it fails. socket.timeout.ms is how long a single broker may be silent. */
rl_err *kafka_admin_new(rd_kafka_conf_t *conf, kafka_admin **out);
void kafka_admin_free(kafka_admin *admin); /* waits 2 s at most */
/* This call, if it runs or is about to. */
void kafka_admin_cancel(kafka_admin *admin, kafka_call *call);
void kafka_admin_stop(kafka_admin *admin); /* every call from now on */

/* What became of one of several. */
typedef struct kafka_item {
    char *name; /* topic or group */
    int partition;
    int64_t offset;
    rl_err *err;
} kafka_item;

typedef struct kafka_items {
    kafka_item *items;
    int count;
} kafka_items;

void kafka_items_free(kafka_items *items);

/* ---- topics (topics.c) ---- */

typedef struct kafka_pair {
    const char *name, *value;
} kafka_pair;

typedef struct kafka_new_topic {
    const char *name;
    int partitions, replication_factor; /* -1: the broker's default */
    const wire_ids *assignment;         /* replicas by partition, `partitions` of them; or NULL */
    const kafka_pair *configs;
    int config_count;
} kafka_new_topic;

/* wait: until all brokers that answer know every partition with a leader and its full ISR, and
 * its replicas serve it. */
rl_err *kafka_admin_create_topic(kafka_admin *admin, kafka_call *call, const kafka_new_topic *topic,
                                 bool wait);
rl_err *kafka_admin_create_partitions(kafka_admin *admin, kafka_call *call,
                                      const kafka_new_topic *grown, bool wait);
/* wait: until no broker that answers knows them any more. */
rl_err *kafka_admin_delete_topics(kafka_admin *admin, kafka_call *call, const char *const *names,
                                  int count, bool wait, kafka_items *items);
rl_err *kafka_admin_configs(kafka_admin *admin, kafka_call *call, rd_kafka_ResourceType_t type,
                            const char *name, rd_kafka_event_t **event);
/* A pair without a value goes back to its default. */
rl_err *kafka_admin_alter_configs(kafka_admin *admin, kafka_call *call,
                                  rd_kafka_ResourceType_t type, const char *name,
                                  const kafka_pair *pairs, int count);
/* before: RD_KAFKA_OFFSET_END for all up to the high watermark. *low is the low watermark
 * afterwards. */
rl_err *kafka_admin_delete_records(kafka_admin *admin, kafka_call *call, const char *topic,
                                   int partition, int64_t before, int64_t *low);
/* list NULL: all partitions. */
rl_err *kafka_admin_elect(kafka_admin *admin, kafka_call *call, rd_kafka_ElectionType_t type,
                          rd_kafka_topic_partition_list_t *list, kafka_items *items);

/* ---- groups (groups.c) ---- */

rl_err *kafka_admin_groups(kafka_admin *admin, kafka_call *call, rd_kafka_event_t **event);
/* The caller frees the group. */
rl_err *kafka_admin_group(kafka_admin *admin, kafka_call *call, const char *id, wire_group *group);
/* places NULL: whatever was committed. The caller destroys *offsets. */
rl_err *kafka_admin_group_offsets(kafka_admin *admin, kafka_call *call, const char *group,
                                  rd_kafka_topic_partition_list_t *places, bool stable,
                                  rd_kafka_topic_partition_list_t **offsets);
/* These two sort the list and leave in it how each went. */
rl_err *kafka_admin_alter_group_offsets(kafka_admin *admin, kafka_call *call, const char *group,
                                        rd_kafka_topic_partition_list_t *list, kafka_items *items);
rl_err *kafka_admin_delete_group_offsets(kafka_admin *admin, kafka_call *call, const char *group,
                                         rd_kafka_topic_partition_list_t *list, kafka_items *items);
rl_err *kafka_admin_delete_groups(kafka_admin *admin, kafka_call *call, const char *const *groups,
                                  int count, kafka_items *items);

/* ---- who may do what, where brokers have an authorizer (acls.c) ---- */

typedef struct kafka_acl {
    const char *principal; /* "User:name" */
    rd_kafka_ResourceType_t resource;
    const char *name;
    bool prefixed; /* all whose names begin so */
    rd_kafka_AclOperation_t operation;
} kafka_acl;

/* Grants from any host. One that is there already is no error. */
rl_err *kafka_admin_create_acls(kafka_admin *admin, kafka_call *call, const kafka_acl *acls,
                                int count);
rl_err *kafka_admin_delete_acls(kafka_admin *admin, kafka_call *call, const kafka_acl *acls,
                                int count, int *deleted);
rl_err *kafka_admin_set_scram(kafka_admin *admin, kafka_call *call, const char *user,
                              rd_kafka_ScramMechanism_t mechanism, const char *password);

/* ---- positions, transactions, the cluster (offsets.c) ---- */

/* The list's offsets are specs (RD_KAFKA_OFFSET_SPEC_* or a timestamp in ms) and become the
 * answers; err says what failed. */
rl_err *kafka_admin_list_offsets(kafka_admin *admin, kafka_call *call,
                                 rd_kafka_topic_partition_list_t *list, bool committed,
                                 rd_kafka_event_t **event);
rl_err *kafka_admin_positions(kafka_admin *admin, kafka_call *call, const char *topic,
                              int partition, wire_positions *positions);
rl_err *kafka_admin_metadata(kafka_admin *admin, kafka_call *call, const char *const *topics,
                             int count, wire_metadata *metadata);
rl_err *kafka_admin_quorum(kafka_admin *admin, kafka_call *call, wire_quorum *quorum);
/* broker: its id, or WIRE_ANY. */
rl_err *kafka_admin_features(kafka_admin *admin, kafka_call *call, int broker,
                             wire_features *features);
/* True at once where it has this level already. */
rl_err *kafka_admin_set_feature(kafka_admin *admin, kafka_call *call, const char *name, int level);
/* Over all brokers; items say which of them did not answer (partition is the broker's id). An
 * error only when none did. */
rl_err *kafka_admin_transactions(kafka_admin *admin, kafka_call *call, const char *const *states,
                                 int count, wire_txns *txns, kafka_items *failed);
rl_err *kafka_admin_transaction(kafka_admin *admin, kafka_call *call, const char *id,
                                wire_txn_info *info);
rl_err *kafka_admin_producers(kafka_admin *admin, kafka_call *call, const char *topic,
                              int partition, wire_producers *producers);
/* Aborts the transactions that are open in the partition and with no coordinator, and says which
 * they were. Where a broker does not tell, nobody knows which, and none is. */
rl_err *kafka_admin_abort_hanging(kafka_admin *admin, kafka_call *call, const char *topic,
                                  int partition, wire_producers *hanging);
/* All topics, and all groups when they are wanted, as far as they are told in time. */
rl_err *kafka_admin_survey(kafka_admin *admin, kafka_call *call, bool groups, survey *out);

#endif
