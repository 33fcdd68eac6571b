#include "kafka/consumer.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "kafka/consumer_internal.h"
#include "kafka/leaf.h"

_Thread_local int kafka_leaves;

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
    kafka_consumer *consumer = mem_zero(sizeof *consumer);
    consumer->on_rebalance = fn;
    consumer->rebalance_arg = arg;
    consumer->leave_ms = LEAVE_MS;
    private_group(conf);
    consumer_events_conf(conf, consumer);
    rl_err *err = kafka_client_new(KAFKA_CONSUMER, conf, &consumer->rk);
    if (err) {
        free(consumer);
        return err;
    }
    pthread_mutex_init(&consumer->lock, NULL);
    kafka_notes_open(&consumer->notes);
    atomic_init(&consumer->refs, 1);
    rd_kafka_poll_set_consumer(consumer->rk);
    consumer->queue = rd_kafka_queue_get_consumer(consumer->rk);
    *out = consumer;
    return NULL;
}

rl_err *kafka_consumer_subscribe(kafka_consumer *consumer,
                                 const rd_kafka_topic_partition_list_t *topics)
{
    return kafka_err(consumer->rk, rd_kafka_subscribe(consumer->rk, topics), "subscribe");
}

rl_err *kafka_consumer_unsubscribe(kafka_consumer *consumer)
{
    return kafka_err(consumer->rk, rd_kafka_unsubscribe(consumer->rk), "unsubscribe");
}

/* librdkafka looks up a topic that was assigned once a second, and once when it connects; for a
 * handle of the topic it asks at once. It knows the topic as long as somebody has a handle. */
static rd_kafka_topic_t **topics_hold(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_t **handles = mem_alloc((size_t)list->cnt * sizeof *handles);
    for (int i = 0; i < list->cnt; i++)
        handles[i] = rd_kafka_topic_new(rk, list->elems[i].topic, NULL);
    return handles;
}

static void topics_let_go(rd_kafka_topic_t **handles, int n)
{
    for (int i = 0; i < n; i++)
        if (handles[i])
            rd_kafka_topic_destroy(handles[i]);
    free(handles);
}

rl_err *kafka_consumer_assign(kafka_consumer *consumer,
                              const rd_kafka_topic_partition_list_t *partitions)
{
    int n = partitions ? partitions->cnt : 0;
    rd_kafka_topic_t **handles = n > 0 ? topics_hold(consumer->rk, partitions) : NULL;
    rl_err *err = kafka_err(consumer->rk, rd_kafka_assign(consumer->rk, partitions), "assign");
    topics_let_go(handles, n);
    if (err)
        return err;
    consumer_held_drop(consumer, NULL);
    atomic_fetch_add(&consumer->generation, 1);
    return NULL;
}

/* ---- polling ---- */

static rl_err *consumer_cancelled(const char *what)
{
    return err_lab("CANCELLED", "%s was cancelled", what);
}

static bool consumer_stopped(kafka_consumer *consumer, const kafka_stop *stop)
{
    return atomic_load(&consumer->cancelled) || kafka_stopped(stop);
}

/* The first record is waited for, the rest is taken as it lies there. A rebalance is served
 * before the first record comes, so that the generation read then is the record's own; one that
 * is served in the second call makes the batch look old, which is the safe side. */
static int consumer_fetch(kafka_consumer *consumer, rd_kafka_message_t **msgs, int max,
                          int timeout_ms, int *generation)
{
    ssize_t n = rd_kafka_consume_batch_queue(consumer->queue, timeout_ms, msgs, 1);
    *generation = atomic_load(&consumer->generation);
    if (n <= 0)
        return 0;
    if (max == 1)
        return 1;
    ssize_t more = rd_kafka_consume_batch_queue(consumer->queue, 0, msgs + 1, (size_t)max - 1);
    return 1 + (more > 0 ? (int)more : 0);
}

rl_err *kafka_consumer_poll(kafka_consumer *consumer, int max, int timeout_ms,
                            const kafka_stop *stop, kafka_batch *out)
{
    rl_assert(max > 0);
    *out = (kafka_batch){.generation = atomic_load(&consumer->generation)};
    if (consumer_held_take(consumer, max, out))
        return NULL;
    rl_deadline until = deadline_in_ms(timeout_ms);
    rd_kafka_message_t **msgs = mem_alloc((size_t)max * sizeof *msgs);
    int n, generation, slice;
    do {
        if (consumer_stopped(consumer, stop)) {
            free(msgs);
            return consumer_cancelled("poll");
        }
        slice = kafka_slice(until, timeout_ms);
        n = consumer_fetch(consumer, msgs, max, slice, &generation);
    } while (n == 0 && slice > 0);
    if (n == 0) {
        free(msgs);
        out->generation = generation;
        return NULL;
    }
    consumer_batch_take(out, consumer, msgs, n, generation);
    if (!consumer_stopped(consumer, stop))
        return NULL;
    kafka_consumer_unread(consumer, out);
    return consumer_cancelled("poll");
}

/* ---- offsets ---- */

void kafka_message_position(const rd_kafka_message_t *msg, rd_kafka_topic_partition_list_t *list)
{
    if ((msg->err && msg->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) || !msg->rkt)
        return;
    const char *topic = rd_kafka_topic_name(msg->rkt);
    int64_t next = msg->offset + (msg->err ? 0 : 1);
    rd_kafka_topic_partition_t *place =
        rd_kafka_topic_partition_list_find(list, topic, msg->partition);
    if (!place) {
        place = rd_kafka_topic_partition_list_add(list, topic, msg->partition);
        place->offset = -1;
    }
    if (next < place->offset)
        return;
    place->offset = next;
    int32_t epoch = rd_kafka_message_leader_epoch(msg);
    if (epoch >= 0)
        rd_kafka_topic_partition_set_leader_epoch(place, epoch);
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
static rl_err *list_err(kafka_consumer *consumer, rd_kafka_resp_err_t code,
                        const rd_kafka_topic_partition_list_t *list, const char *what)
{
    for (int i = 0; list && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *place = &list->elems[i];
        if (place->err)
            return kafka_err(consumer->rk, place->err, "%s of %s[%d]", what, place->topic,
                             (int)place->partition);
    }
    return kafka_err(consumer->rk, code, "%s", what);
}

rl_err *kafka_consumer_store(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *offsets)
{
    rl_assert(kafka_may_call());
    rd_kafka_resp_err_t code = rd_kafka_offsets_store(consumer->rk, offsets);
    if (code == RD_KAFKA_RESP_ERR__INVALID_ARG)
        return kafka_err(consumer->rk, code, "store needs enable_auto_offset_store = false");
    return list_err(consumer, code, offsets, "store");
}

rl_err *kafka_consumer_commit_async(kafka_consumer *consumer,
                                    const rd_kafka_topic_partition_list_t *offsets)
{
    return kafka_err(consumer->rk, rd_kafka_commit(consumer->rk, offsets, 1), "commit");
}

/* Waits for the answer in slices; the queue may be destroyed while the answer is still to come. */
static rl_err *commit_wait(kafka_consumer *consumer, rd_kafka_queue_t *answers, int timeout_ms,
                           const kafka_stop *stop)
{
    rl_deadline until = deadline_in_ms(timeout_ms);
    for (int slice; (slice = kafka_slice(until, KAFKA_SLICE_MS)) > 0;) {
        if (consumer_stopped(consumer, stop))
            return consumer_cancelled("commit");
        rd_kafka_event_t *event = rd_kafka_queue_poll(answers, slice);
        if (!event)
            continue;
        rd_kafka_resp_err_t code = rd_kafka_event_error(event);
        rl_err *err =
            code == RD_KAFKA_RESP_ERR__NO_OFFSET
                ? NULL
                : list_err(consumer, code, rd_kafka_event_topic_partition_list(event), "commit");
        rd_kafka_event_destroy(event);
        return err;
    }
    return kafka_err(consumer->rk, RD_KAFKA_RESP_ERR__TIMED_OUT,
                     "commit: no answer in time, it may have happened");
}

rl_err *kafka_consumer_commit(kafka_consumer *consumer,
                              const rd_kafka_topic_partition_list_t *offsets, int timeout_ms,
                              const kafka_stop *stop)
{
    rd_kafka_queue_t *answers = rd_kafka_queue_new(consumer->rk);
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(consumer->rk, offsets, answers, NULL, NULL);
    rl_err *err = code ? kafka_err(consumer->rk, code, "commit")
                       : commit_wait(consumer, answers, timeout_ms, stop);
    rd_kafka_queue_destroy(answers);
    return err;
}

/* A question is asked again with twice the patience, so that the stop flag is looked at now and
 * then. */
rl_err *kafka_consumer_committed(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list,
                                 int timeout_ms, const kafka_stop *stop)
{
    rl_deadline until = deadline_in_ms(timeout_ms);
    for (int patience = FIRST_QUERY_MS;; patience *= 2) {
        if (consumer_stopped(consumer, stop))
            return consumer_cancelled("committed");
        int slice = kafka_slice(until, patience);
        rd_kafka_resp_err_t code = rd_kafka_committed(consumer->rk, list, slice);
        if (code != RD_KAFKA_RESP_ERR__TIMED_OUT || slice < patience)
            return list_err(consumer, code, code ? NULL : list, "committed");
    }
}

rl_err *kafka_consumer_watermarks(kafka_consumer *consumer, const char *topic, int32_t partition,
                                  int timeout_ms, const kafka_stop *stop, int64_t *low,
                                  int64_t *high)
{
    rl_deadline until = deadline_in_ms(timeout_ms);
    for (int patience = FIRST_QUERY_MS;; patience *= 2) {
        if (consumer_stopped(consumer, stop))
            return consumer_cancelled("watermarks");
        int slice = kafka_slice(until, patience);
        rd_kafka_resp_err_t code =
            rd_kafka_query_watermark_offsets(consumer->rk, topic, partition, low, high, slice);
        if (code != RD_KAFKA_RESP_ERR__TIMED_OUT || slice < patience)
            return kafka_err(consumer->rk, code, "watermarks of %s[%d]", topic, (int)partition);
    }
}

rl_err *kafka_consumer_position(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
    return kafka_err(consumer->rk, rd_kafka_position(consumer->rk, list), "position");
}

rl_err *kafka_consumer_seek(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list,
                            int timeout_ms)
{
    consumer_held_drop(consumer, list);
    rl_err *err = kafka_err_take(consumer->rk,
                                 rd_kafka_seek_partitions(consumer->rk, list, timeout_ms), "seek");
    return err ? err : list_err(consumer, RD_KAFKA_RESP_ERR_NO_ERROR, list, "seek");
}

rl_err *kafka_consumer_pause(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
    rl_assert(kafka_may_call());
    return list_err(consumer, rd_kafka_pause_partitions(consumer->rk, list), list, "pause");
}

rl_err *kafka_consumer_resume(kafka_consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
    rl_assert(kafka_may_call());
    return list_err(consumer, rd_kafka_resume_partitions(consumer->rk, list), list, "resume");
}

rl_err *kafka_consumer_assignment(kafka_consumer *consumer, rd_kafka_topic_partition_list_t **out)
{
    rl_assert(kafka_may_call());
    return kafka_err(consumer->rk, rd_kafka_assignment(consumer->rk, out), "assignment");
}

rl_err *kafka_consumer_subscription(kafka_consumer *consumer, rd_kafka_topic_partition_list_t **out)
{
    return kafka_err(consumer->rk, rd_kafka_subscription(consumer->rk, out), "subscription");
}

int kafka_consumer_generation(kafka_consumer *consumer)
{
    return atomic_load(&consumer->generation);
}

kafka_notes *kafka_consumer_notes(kafka_consumer *consumer)
{
    return &consumer->notes;
}

rd_kafka_t *kafka_consumer_rk(kafka_consumer *consumer)
{
    return consumer->rk;
}

/* ---- the end ---- */

void kafka_consumer_wake(kafka_consumer *consumer)
{
    rd_kafka_queue_yield(consumer->queue);
}

void kafka_consumer_cancel(kafka_consumer *consumer)
{
    atomic_store(&consumer->cancelled, true);
    kafka_consumer_wake(consumer);
}

/* wait_ms bounds the caller; the client itself ends in its own thread. */
static void consumer_unref(kafka_consumer *consumer, int wait_ms)
{
    if (atomic_fetch_sub(&consumer->refs, 1) != 1)
        return;
    if (consumer->queue)
        rd_kafka_queue_destroy(consumer->queue);
    kafka_client_destroy(consumer->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, wait_ms);
    consumer_events_free(consumer);
    kafka_notes_close(&consumer->notes);
    pthread_mutex_destroy(&consumer->lock);
    free(consumer);
}

void kafka_batch_free(kafka_batch *batch)
{
    consumer_free_msgs(batch->msgs, batch->n);
    free(batch->msgs);
    if (batch->owner)
        consumer_unref(batch->owner, 0);
    *batch = (kafka_batch){0};
}

void kafka_consumer_unread(kafka_consumer *consumer, kafka_batch *batch)
{
    rl_assert(!batch->owner || batch->owner == consumer);
    consumer_held_put(consumer, batch);
    batch->n = 0;
    kafka_batch_free(batch);
}

void kafka_consumer_close_within(kafka_consumer *consumer, int timeout_ms)
{
    consumer->leave_ms = timeout_ms;
}

/* The client's queue is forwarded into one of our own, which is served until the group has been
 * left: rebalances are answered, records are dropped. */
static bool leave_group(kafka_consumer *consumer)
{
    enum { SOME = 64 };
    rd_kafka_message_t *msgs[SOME];
    rl_deadline until = deadline_in_ms(consumer->leave_ms);
    rd_kafka_queue_t *last_words = rd_kafka_queue_new(consumer->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(consumer->rk, last_words);
    for (int slice; !error && !rd_kafka_consumer_closed(consumer->rk) &&
                    (slice = kafka_slice(until, LEAVE_SLICE_MS)) > 0;) {
        ssize_t n = rd_kafka_consume_batch_queue(last_words, slice, msgs, SOME);
        consumer_free_msgs(msgs, n > 0 ? (int)n : 0);
    }
    if (error)
        rd_kafka_error_destroy(error);
    rd_kafka_queue_destroy(last_words);
    return rd_kafka_consumer_closed(consumer->rk);
}

void kafka_consumer_close(kafka_consumer *consumer)
{
    consumer_held_drop(consumer, NULL);
    bool left = consumer->leave_ms <= 0 || leave_group(consumer);
    rd_kafka_queue_destroy(consumer->queue);
    consumer->queue = NULL;
    consumer_unref(consumer, left ? DESTROY_MS
                                  : 0); /* a client that cannot leave does not end at once either */
}
