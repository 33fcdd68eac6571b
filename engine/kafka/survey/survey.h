/* A look at a whole cluster in a few round trips: what an exporter tells ten thousand series from.
 *
 * Offers: every topic with its partitions, their low watermark, last stable offset and high
 * watermark; the transaction that holds a last stable offset back and since when it is open; every
 * group of consumers with what it has committed and how many members it has. All brokers are asked
 * at once, and each is asked for many partitions and groups by one request; how many requests there
 * are depends on the number of brokers and, beyond some hundreds of groups, on theirs. What somebody
 * did not tell in time is absent, and `failures` says so.
 * Uses: kafka/wire. Thread: that of the cluster. */
#ifndef RL_KAFKA_SURVEY_SURVEY_H
#define RL_KAFKA_SURVEY_SURVEY_H

#include "kafka/wire/api.h"

typedef struct survey_place {
    const wire_partition *partition; /* of the survey's metadata */
    int64_t low, lso, hw;            /* WIRE_UNKNOWN when nobody told */
    int64_t holder;                  /* producer of the transaction that holds the LSO; -1: none */
    int64_t open_since_ms;           /* when it began, Unix time; -1: none, or nobody knows */
} survey_place;

typedef struct survey_offset {
    int partition;
    int64_t offset;
} survey_offset;

typedef struct survey_committed {
    char *topic;
    survey_offset *offsets;
    int count;
} survey_committed;

typedef struct survey_group {
    char *id;
    int coordinator;
    bool classic;
    int members; /* -1 when nobody told */
    survey_committed *topics;
    int topic_count;
} survey_group;

typedef struct survey_failure {
    int broker;
    bool silent; /* it did not answer, and was asked no more of that kind; else it refused */
    rl_err *err;
} survey_failure;

typedef struct survey_txn {
    int coordinator;
    int64_t producer_id, start_ms;
    char *id;
} survey_txn;

typedef struct survey {
    wire_metadata metadata; /* its topics are sorted by name */
    survey_place **places;  /* by topic, then by partition, as in metadata */
    survey_group *groups;   /* sorted by coordinator */
    int group_count;
    survey_failure *failures;
    int failure_count;
    survey_place *all, **by_leader; /* the places in a row; those with a leader, by it */
    int place_count, led_count;
    survey_txn *txns; /* the open ones, by coordinator */
    int txn_count;
} survey;

/* groups false: topics only. An error only when nobody told of the topics, or when the call was
 * cancelled; the survey is empty then. */
rl_err *survey_take(wire_cluster *cluster, const wire_call *call, bool groups, survey *out);
void survey_free(survey *s);

#endif
