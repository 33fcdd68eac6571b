#include "kafka/consumer_events.h"

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

static kafka_rebalance *event_new(kafka_rebalance_type type,
                                  const rd_kafka_topic_partition_list_t *partitions)
{
    kafka_rebalance *e = mem_zero(sizeof *e);
    e->type = type;
    e->partitions = rd_kafka_topic_partition_list_copy(partitions);
    e->at_ms = clock_unix_ms();
    return e;
}

/* A list that nobody reads stays bounded: the oldest event goes. */
static void remember(kafka_consumer *c, kafka_rebalance *e)
{
    kafka_rebalance *oldest = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->last)
        c->last->next = e;
    else
        c->first = e;
    c->last = e;
    if (++c->nevents > EVENTS_MAX) {
        oldest = c->first;
        c->first = oldest->next;
        oldest->next = NULL;
        c->nevents--;
    }
    pthread_mutex_unlock(&c->lock);
    kafka_rebalance_free(oldest);
}

kafka_rebalance *kafka_consumer_events(kafka_consumer *c)
{
    pthread_mutex_lock(&c->lock);
    kafka_rebalance *list = c->first;
    c->first = c->last = NULL;
    c->nevents = 0;
    pthread_mutex_unlock(&c->lock);
    return list;
}

void consumer_events_free(kafka_consumer *c)
{
    kafka_rebalance_free(c->first);
    c->first = c->last = NULL;
}

static rl_err *answer(rd_kafka_t *rk, kafka_rebalance_type type,
                      rd_kafka_topic_partition_list_t *partitions)
{
    bool cooperative = strcmp(rd_kafka_rebalance_protocol(rk), "COOPERATIVE") == 0;
    if (cooperative && type == KAFKA_ASSIGN)
        return kafka_err_take(rk, rd_kafka_incremental_assign(rk, partitions), "assign");
    if (cooperative)
        return kafka_err_take(rk, rd_kafka_incremental_unassign(rk, partitions), "unassign");
    return kafka_err(rk, rd_kafka_assign(rk, type == KAFKA_ASSIGN ? partitions : NULL), "assign");
}

static kafka_rebalance_type type_of(rd_kafka_t *rk, rd_kafka_resp_err_t code)
{
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        return KAFKA_ASSIGN;
    return rd_kafka_assignment_lost(rk) ? KAFKA_LOST : KAFKA_REVOKE;
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    kafka_consumer *c = opaque;
    kafka_rebalance *e = event_new(type_of(rk, code), partitions);
    if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS &&
        code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        kafka_notes_error(&c->notes, kafka_err(rk, code, "rebalance"));
    e->generation = atomic_load(&c->generation) + 1;
    if (e->type != KAFKA_ASSIGN)
        consumer_held_drop(c, partitions);
    if (c->on_rebalance)
        c->on_rebalance(c->rebalance_arg, c, e);
    atomic_store(&c->generation, e->generation);
    kafka_notes_error(&c->notes, answer(rk, e->type, partitions));
    remember(c, e);
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                      rd_kafka_topic_partition_list_t *offsets, void *opaque)
{
    kafka_consumer *c = opaque;
    if (!code || code == RD_KAFKA_RESP_ERR__NO_OFFSET)
        return;
    if (!offsets) {
        kafka_notes_error(&c->notes, kafka_err(rk, code, "commit"));
        return;
    }
    kafka_rebalance *e = event_new(KAFKA_COMMIT_ERROR, offsets);
    e->generation = atomic_load(&c->generation);
    e->err = kafka_err(rk, code, "commit");
    remember(c, e);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    kafka_consumer *c = opaque;
    kafka_notes_error(&c->notes,
                      kafka_err(code == RD_KAFKA_RESP_ERR__FATAL ? rk : NULL, code, "%s", reason));
}

static int on_stats(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
    kafka_consumer *c = opaque;
    (void)rk;
    kafka_notes_stats(&c->notes, json, len);
    return 0;
}

void consumer_events_conf(rd_kafka_conf_t *conf, kafka_consumer *c)
{
    rd_kafka_conf_set_opaque(conf, c);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_stats_cb(conf, on_stats);
}
