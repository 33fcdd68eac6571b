#include "kafka/consumer_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"

enum { EVENTS_MAX = 1024 };

void kafka_rebalance_free(kafka_rebalance *list)
{
    while (list) {
        kafka_rebalance *next = list->next;
        rd_kafka_topic_partition_list_destroy(list->partitions);
        err_free(list->err);
        free(list);
        list = next;
    }
}

static kafka_rebalance *rebalance_new(kafka_rebalance_type type,
                                      const rd_kafka_topic_partition_list_t *partitions)
{
    kafka_rebalance *rebalance = mem_zero(sizeof *rebalance);
    rebalance->type = type;
    rebalance->partitions = rd_kafka_topic_partition_list_copy(partitions);
    rebalance->at_ms = clock_unix_ms();
    return rebalance;
}

/* A list that nobody reads stays bounded: the oldest event goes. */
static void rebalance_remember(kafka_consumer *consumer, kafka_rebalance *rebalance)
{
    kafka_rebalance *oldest = NULL;
    pthread_mutex_lock(&consumer->lock);
    if (consumer->last)
        consumer->last->next = rebalance;
    else
        consumer->first = rebalance;
    consumer->last = rebalance;
    if (++consumer->nevents > EVENTS_MAX) {
        oldest = consumer->first;
        consumer->first = oldest->next;
        oldest->next = NULL;
        consumer->nevents--;
    }
    pthread_mutex_unlock(&consumer->lock);
    kafka_rebalance_free(oldest);
}

kafka_rebalance *kafka_consumer_events(kafka_consumer *consumer)
{
    pthread_mutex_lock(&consumer->lock);
    kafka_rebalance *list = consumer->first;
    consumer->first = consumer->last = NULL;
    consumer->nevents = 0;
    pthread_mutex_unlock(&consumer->lock);
    return list;
}

void consumer_events_free(kafka_consumer *consumer)
{
    kafka_rebalance_free(consumer->first);
    consumer->first = consumer->last = NULL;
}

static rl_err *rebalance_answer(rd_kafka_t *rk, kafka_rebalance_type type,
                                rd_kafka_topic_partition_list_t *partitions)
{
    bool cooperative = strcmp(rd_kafka_rebalance_protocol(rk), "COOPERATIVE") == 0;
    if (cooperative && type == KAFKA_ASSIGN)
        return kafka_err_take(rk, rd_kafka_incremental_assign(rk, partitions), "assign");
    if (cooperative)
        return kafka_err_take(rk, rd_kafka_incremental_unassign(rk, partitions), "unassign");
    return kafka_err(rk, rd_kafka_assign(rk, type == KAFKA_ASSIGN ? partitions : NULL), "assign");
}

static kafka_rebalance_type rebalance_type(rd_kafka_t *rk, rd_kafka_resp_err_t code)
{
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        return KAFKA_ASSIGN;
    return rd_kafka_assignment_lost(rk) ? KAFKA_LOST : KAFKA_REVOKE;
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    kafka_consumer *consumer = opaque;
    kafka_rebalance *rebalance = rebalance_new(rebalance_type(rk, code), partitions);
    if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS &&
        code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        kafka_notes_error(&consumer->notes, kafka_err(rk, code, "rebalance"));
    rebalance->generation = atomic_load(&consumer->generation) + 1;
    if (rebalance->type != KAFKA_ASSIGN)
        consumer_held_drop(consumer, partitions);
    if (consumer->on_rebalance)
        consumer->on_rebalance(consumer->rebalance_arg, consumer, rebalance);
    atomic_store(&consumer->generation, rebalance->generation);
    kafka_notes_error(&consumer->notes, rebalance_answer(rk, rebalance->type, partitions));
    rebalance_remember(consumer, rebalance);
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                      rd_kafka_topic_partition_list_t *offsets, void *opaque)
{
    kafka_consumer *consumer = opaque;
    if (!code || code == RD_KAFKA_RESP_ERR__NO_OFFSET)
        return;
    if (!offsets) {
        kafka_notes_error(&consumer->notes, kafka_err(rk, code, "commit"));
        return;
    }
    kafka_rebalance *rebalance = rebalance_new(KAFKA_COMMIT_ERROR, offsets);
    rebalance->generation = atomic_load(&consumer->generation);
    rebalance->err = kafka_err(rk, code, "commit");
    rebalance_remember(consumer, rebalance);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    kafka_consumer *consumer = opaque;
    kafka_notes_error(&consumer->notes,
                      kafka_err(code == RD_KAFKA_RESP_ERR__FATAL ? rk : NULL, code, "%s", reason));
}

static int on_stats(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
    kafka_consumer *consumer = opaque;
    (void)rk;
    kafka_notes_stats(&consumer->notes, json, len);
    return 0;
}

void consumer_events_conf(rd_kafka_conf_t *conf, kafka_consumer *consumer)
{
    rd_kafka_conf_set_opaque(conf, consumer);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_stats_cb(conf, on_stats);
}
