#include "kafka/consumer.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "kafka/consumer_events.h"

enum { LEAVE_MS = 3000, DESTROY_MS = 2000, FIRST_QUERY_MS = 500, LEAVE_SLICE_MS = 20 };

/* ---- opening ---- */

static void private_group(rd_kafka_conf_t *conf)
{
    char group[256];
    kafka_conf_value(conf, "group.id", group, sizeof group);
    if (group[0])
        return;
    rd_kafka_conf_set(conf, "group.id", "rlab-no-group", NULL, 0);
    rd_kafka_conf_set(conf, "enable.auto.commit", "false", NULL, 0);
}

rl_err *kafka_consumer_open(rd_kafka_conf_t *conf, kafka_rebalance_fn fn, void *arg,
                            kafka_consumer **out)
{
    kafka_consumer *c = mem_zero(sizeof *c);
    c->on_rebalance = fn;
    c->rebalance_arg = arg;
    c->leave_ms = LEAVE_MS;
    private_group(conf);
    consumer_events_conf(conf, c);
    rl_err *err = kafka_client_new(KAFKA_CONSUMER, conf, &c->rk);
    if (err) {
        free(c);
        return err;
    }
    pthread_mutex_init(&c->lock, NULL);
    kafka_notes_open(&c->notes);
    atomic_init(&c->refs, 1);
    rd_kafka_poll_set_consumer(c->rk);
    c->queue = rd_kafka_queue_get_consumer(c->rk);
    *out = c;
    return NULL;
}

rl_err *kafka_consumer_subscribe(kafka_consumer *c, const rd_kafka_topic_partition_list_t *topics)
{
    return kafka_err(c->rk, rd_kafka_subscribe(c->rk, topics), "subscribe");
}

rl_err *kafka_consumer_unsubscribe(kafka_consumer *c)
{
    return kafka_err(c->rk, rd_kafka_unsubscribe(c->rk), "unsubscribe");
}

rl_err *kafka_consumer_assign(kafka_consumer *c, const rd_kafka_topic_partition_list_t *partitions)
{
    rl_err *err = kafka_err(c->rk, rd_kafka_assign(c->rk, partitions), "assign");
    if (err)
        return err;
    consumer_held_drop(c, NULL);
    atomic_fetch_add(&c->generation, 1);
    return NULL;
}

/* ---- polling ---- */

static rl_err *cancelled(const char *what)
{
    return err_lab("CANCELLED", "%s was cancelled", what);
}

static bool stopped(kafka_consumer *c, const kafka_stop *stop)
{
    return atomic_load(&c->cancelled) || kafka_stopped(stop);
}

/* The first record is waited for, the rest is taken as it lies there. A rebalance is served
 * before the first record comes, so that the generation read then is the record's own; one that
 * is served in the second call makes the batch look old, which is the safe side. */
static int fetch(kafka_consumer *c, rd_kafka_message_t **msgs, int max, int timeout_ms,
                 int *generation)
{
    ssize_t n = rd_kafka_consume_batch_queue(c->queue, timeout_ms, msgs, 1);
    *generation = atomic_load(&c->generation);
    if (n <= 0)
        return 0;
    if (max == 1)
        return 1;
    ssize_t more = rd_kafka_consume_batch_queue(c->queue, 0, msgs + 1, (size_t)max - 1);
    return 1 + (more > 0 ? (int)more : 0);
}

rl_err *kafka_consumer_poll(kafka_consumer *c, int max, int timeout_ms, const kafka_stop *stop,
                            kafka_batch *out)
{
    *out = (kafka_batch){.generation = atomic_load(&c->generation)};
    if (consumer_held_take(c, max, out))
        return NULL;
    rl_deadline until = deadline_in_ms(timeout_ms);
    rd_kafka_message_t **msgs = mem_alloc((size_t)max * sizeof *msgs);
    int n, generation, slice;
    do {
        if (stopped(c, stop)) {
            free(msgs);
            return cancelled("poll");
        }
        slice = kafka_slice(until, timeout_ms);
        n = fetch(c, msgs, max, slice, &generation);
    } while (n == 0 && slice > 0);
    if (n == 0) {
        free(msgs);
        out->generation = generation;
        return NULL;
    }
    consumer_batch_take(out, c, msgs, n, generation);
    if (!stopped(c, stop))
        return NULL;
    kafka_consumer_unread(c, out);
    return cancelled("poll");
}

/* ---- offsets ---- */

void kafka_message_position(const rd_kafka_message_t *msg, rd_kafka_topic_partition_list_t *list)
{
    if ((msg->err && msg->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) || !msg->rkt)
        return;
    const char *topic = rd_kafka_topic_name(msg->rkt);
    int64_t next = msg->offset + (msg->err ? 0 : 1);
    rd_kafka_topic_partition_t *part =
        rd_kafka_topic_partition_list_find(list, topic, msg->partition);
    if (!part) {
        part = rd_kafka_topic_partition_list_add(list, topic, msg->partition);
        part->offset = -1;
    }
    if (next < part->offset)
        return;
    part->offset = next;
    int32_t epoch = rd_kafka_message_leader_epoch(msg);
    if (epoch >= 0)
        rd_kafka_topic_partition_set_leader_epoch(part, epoch);
}

rd_kafka_topic_partition_list_t *kafka_batch_positions(const kafka_batch *batch)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    const rd_kafka_message_t *before = NULL;
    for (int i = batch->n - 1; i >= 0; i--) {
        const rd_kafka_message_t *msg = batch->msgs[i];
        bool same = before && before->rkt == msg->rkt && before->partition == msg->partition;
        if (!same || msg->offset > before->offset) {
            kafka_message_position(msg, list);
            before = msg;
        }
    }
    return list;
}

/* The call's own error, or else the first one that a partition carries. */
static rl_err *list_err(kafka_consumer *c, rd_kafka_resp_err_t code,
                        const rd_kafka_topic_partition_list_t *list, const char *what)
{
    for (int i = 0; list && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &list->elems[i];
        if (part->err)
            return kafka_err(c->rk, part->err, "%s of %s[%d]", what, part->topic,
                             (int)part->partition);
    }
    return kafka_err(c->rk, code, "%s", what);
}

rl_err *kafka_consumer_store(kafka_consumer *c, rd_kafka_topic_partition_list_t *offsets)
{
    rd_kafka_resp_err_t code = rd_kafka_offsets_store(c->rk, offsets);
    if (code == RD_KAFKA_RESP_ERR__INVALID_ARG)
        return kafka_err(c->rk, code, "store needs enable_auto_offset_store = false");
    return list_err(c, code, offsets, "store");
}

rl_err *kafka_consumer_commit_async(kafka_consumer *c,
                                    const rd_kafka_topic_partition_list_t *offsets)
{
    return kafka_err(c->rk, rd_kafka_commit(c->rk, offsets, 1), "commit");
}

/* Waits for the answer in slices; the queue may be destroyed while the answer is still to come. */
static rl_err *commit_wait(kafka_consumer *c, rd_kafka_queue_t *answers, int timeout_ms,
                           const kafka_stop *stop)
{
    rl_deadline until = deadline_in_ms(timeout_ms);
    for (int slice; (slice = kafka_slice(until, KAFKA_SLICE_MS)) > 0;) {
        if (stopped(c, stop))
            return cancelled("commit");
        rd_kafka_event_t *event = rd_kafka_queue_poll(answers, slice);
        if (!event)
            continue;
        rd_kafka_resp_err_t code = rd_kafka_event_error(event);
        rl_err *err = code == RD_KAFKA_RESP_ERR__NO_OFFSET
                          ? NULL
                          : list_err(c, code, rd_kafka_event_topic_partition_list(event), "commit");
        rd_kafka_event_destroy(event);
        return err;
    }
    return kafka_err(c->rk, RD_KAFKA_RESP_ERR__TIMED_OUT,
                     "commit: no answer in time, it may have happened");
}

rl_err *kafka_consumer_commit(kafka_consumer *c, const rd_kafka_topic_partition_list_t *offsets,
                              int timeout_ms, const kafka_stop *stop)
{
    rd_kafka_queue_t *answers = rd_kafka_queue_new(c->rk);
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(c->rk, offsets, answers, NULL, NULL);
    rl_err *err =
        code ? kafka_err(c->rk, code, "commit") : commit_wait(c, answers, timeout_ms, stop);
    rd_kafka_queue_destroy(answers);
    return err;
}

/* A question is asked again with twice the patience, so that the stop flag is looked at now and
 * then. */
rl_err *kafka_consumer_committed(kafka_consumer *c, rd_kafka_topic_partition_list_t *list,
                                 int timeout_ms, const kafka_stop *stop)
{
    rl_deadline until = deadline_in_ms(timeout_ms);
    for (int patience = FIRST_QUERY_MS;; patience *= 2) {
        if (stopped(c, stop))
            return cancelled("committed");
        int slice = kafka_slice(until, patience);
        rd_kafka_resp_err_t code = rd_kafka_committed(c->rk, list, slice);
        if (code != RD_KAFKA_RESP_ERR__TIMED_OUT || slice < patience)
            return list_err(c, code, code ? NULL : list, "committed");
    }
}

rl_err *kafka_consumer_watermarks(kafka_consumer *c, const char *topic, int32_t partition,
                                  int timeout_ms, const kafka_stop *stop, int64_t *low,
                                  int64_t *high)
{
    rl_deadline until = deadline_in_ms(timeout_ms);
    for (int patience = FIRST_QUERY_MS;; patience *= 2) {
        if (stopped(c, stop))
            return cancelled("watermarks");
        int slice = kafka_slice(until, patience);
        rd_kafka_resp_err_t code =
            rd_kafka_query_watermark_offsets(c->rk, topic, partition, low, high, slice);
        if (code != RD_KAFKA_RESP_ERR__TIMED_OUT || slice < patience)
            return kafka_err(c->rk, code, "watermarks of %s[%d]", topic, (int)partition);
    }
}

rl_err *kafka_consumer_position(kafka_consumer *c, rd_kafka_topic_partition_list_t *list)
{
    return kafka_err(c->rk, rd_kafka_position(c->rk, list), "position");
}

rl_err *kafka_consumer_seek(kafka_consumer *c, rd_kafka_topic_partition_list_t *list,
                            int timeout_ms)
{
    consumer_held_drop(c, list);
    rl_err *err = kafka_err_take(c->rk, rd_kafka_seek_partitions(c->rk, list, timeout_ms), "seek");
    return err ? err : list_err(c, RD_KAFKA_RESP_ERR_NO_ERROR, list, "seek");
}

rl_err *kafka_consumer_pause(kafka_consumer *c, rd_kafka_topic_partition_list_t *list)
{
    return list_err(c, rd_kafka_pause_partitions(c->rk, list), list, "pause");
}

rl_err *kafka_consumer_resume(kafka_consumer *c, rd_kafka_topic_partition_list_t *list)
{
    return list_err(c, rd_kafka_resume_partitions(c->rk, list), list, "resume");
}

rl_err *kafka_consumer_assignment(kafka_consumer *c, rd_kafka_topic_partition_list_t **out)
{
    return kafka_err(c->rk, rd_kafka_assignment(c->rk, out), "assignment");
}

rl_err *kafka_consumer_subscription(kafka_consumer *c, rd_kafka_topic_partition_list_t **out)
{
    return kafka_err(c->rk, rd_kafka_subscription(c->rk, out), "subscription");
}

int kafka_consumer_generation(kafka_consumer *c)
{
    return atomic_load(&c->generation);
}

kafka_notes *kafka_consumer_notes(kafka_consumer *c)
{
    return &c->notes;
}

rd_kafka_t *kafka_consumer_rk(kafka_consumer *c)
{
    return c->rk;
}

/* ---- the end ---- */

void kafka_consumer_wake(kafka_consumer *c)
{
    rd_kafka_queue_yield(c->queue);
}

void kafka_consumer_cancel(kafka_consumer *c)
{
    atomic_store(&c->cancelled, true);
    kafka_consumer_wake(c);
}

/* wait_ms bounds the caller; the client itself ends in its own thread. */
static void unref(kafka_consumer *c, int wait_ms)
{
    if (atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    if (c->queue)
        rd_kafka_queue_destroy(c->queue);
    kafka_client_destroy(c->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, wait_ms);
    consumer_events_free(c);
    kafka_notes_close(&c->notes);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void kafka_batch_free(kafka_batch *batch)
{
    consumer_free_msgs(batch->msgs, batch->n);
    free(batch->msgs);
    if (batch->owner)
        unref(batch->owner, 0);
    *batch = (kafka_batch){0};
}

void kafka_consumer_close_within(kafka_consumer *c, int timeout_ms)
{
    c->leave_ms = timeout_ms;
}

/* The client's queue is forwarded into one of our own, which is served until the group has been
 * left: rebalances are answered, records are dropped. */
static bool leave_group(kafka_consumer *c)
{
    enum { SOME = 64 };
    rd_kafka_message_t *msgs[SOME];
    rl_deadline until = deadline_in_ms(c->leave_ms);
    rd_kafka_queue_t *last_words = rd_kafka_queue_new(c->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(c->rk, last_words);
    for (int slice; !error && !rd_kafka_consumer_closed(c->rk) &&
                    (slice = kafka_slice(until, LEAVE_SLICE_MS)) > 0;) {
        ssize_t n = rd_kafka_consume_batch_queue(last_words, slice, msgs, SOME);
        consumer_free_msgs(msgs, n > 0 ? (int)n : 0);
    }
    if (error)
        rd_kafka_error_destroy(error);
    rd_kafka_queue_destroy(last_words);
    return rd_kafka_consumer_closed(c->rk);
}

void kafka_consumer_close(kafka_consumer *c)
{
    consumer_held_drop(c, NULL);
    bool left = c->leave_ms <= 0 || leave_group(c);
    rd_kafka_queue_destroy(c->queue);
    c->queue = NULL;
    unref(c, left ? DESTROY_MS : 0); /* a client that cannot leave does not end at once either */
}
