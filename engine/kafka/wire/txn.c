#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/wire/api.h"

#define LIST_VERSION 0
#define DESCRIBE_VERSION 0
#define PRODUCERS_VERSION 0
#define MARKERS_VERSION 1 /* of a transaction of version 1: the epoch may stay */

enum { LEAST_TXN = 11, LEAST_TOPIC = 3, LEAST_PRODUCER = 37 }; /* bytes of one in a response */

/* ---- ListTransactions ---- */

typedef struct state_list {
    const char *const *states;
    int count;
} state_list;

static void write_txn_list(frame_writer *w, const void *arg)
{
    const state_list *list = arg;
    frame_put_array(w, list->count);
    for (int i = 0; i < list->count; i++)
        frame_put_str(w, list->states[i]);
    frame_put_array(w, 0); /* of any producer id */
    frame_put_tags(w);
}

static void read_txn(frame_reader *r, int broker, wire_txns *txns)
{
    wire_txn *t = &txns->txns[txns->count++];
    *t = (wire_txn){.coordinator = broker};
    t->id = frame_dup(frame_str(r));
    t->producer_id = frame_i64(r);
    t->state = frame_dup(frame_str(r));
    frame_tags(r);
    if (!t->id || !t->state)
        r->bad = true;
}

rl_err *wire_txns_parse(frame_reader *r, int broker, wire_txns *txns)
{
    frame_i32(r); /* throttle time */
    int code = frame_i16(r);
    char unknown[64] = "";
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--) {
        frame_slice state = frame_str(r);
        if (state.data && state.len < sizeof unknown)
            memcpy(unknown, state.data, state.len);
    }
    int32_t n = frame_array(r);
    if (n > 0 && (size_t)n > (r->len - r->pos) / LEAST_TXN)
        r->bad = true;
    else if (n > 0)
        txns->txns = mem_grow(txns->txns, (size_t)(txns->count + n) * sizeof *txns->txns);
    for (int32_t i = 0; i < n && !r->bad; i++)
        read_txn(r, broker, txns);
    frame_tags(r);
    rl_err *err = frame_end(r, "ListTransactions response");
    if (!err && *unknown)
        err = err_lab("USAGE", "broker %d knows no transaction state '%s'", broker, unknown);
    return err ? err : wire_code(code, "the transactions of broker %d", broker);
}

rl_err *wire_txns_list(wire_cluster *cluster, const wire_call *call, int broker,
                       const char *const *states, int state_count, wire_txns *txns)
{
    state_list list = {.states = states, .count = states ? state_count : 0};
    wire_question q = {FRAME_LIST_TRANSACTIONS, LIST_VERSION, write_txn_list, &list};
    frame_reader r;
    rl_err *err = wire_ask(cluster, call, broker, &q, &r);
    return err ? err : wire_txns_parse(&r, broker, txns);
}

void wire_txns_free(wire_txns *txns)
{
    for (int i = 0; i < txns->count; i++) {
        free(txns->txns[i].id);
        free(txns->txns[i].state);
    }
    free(txns->txns);
    *txns = (wire_txns){0};
}

/* ---- DescribeTransactions ---- */

static void write_txn_describe(frame_writer *w, const void *id)
{
    frame_put_array(w, 1);
    frame_put_str(w, id);
    frame_put_tags(w);
}

static void read_txn_topics(frame_reader *r, wire_txn_info *info)
{
    info->topics = wire_read_array(r, sizeof *info->topics, LEAST_TOPIC, &info->topic_count);
    for (int i = 0; i < info->topic_count && !r->bad; i++) {
        wire_txn_topic *topic = &info->topics[i];
        topic->name = frame_dup(wire_read_topic(r));
        topic->partitions = wire_read_ids(r);
        frame_tags(r);
        if (!topic->name)
            r->bad = true;
    }
}

rl_err *wire_txn_parse(frame_reader *r, const char *id, wire_txn_info *info)
{
    *info = (wire_txn_info){0};
    frame_i32(r); /* throttle time */
    wire_read_one(r);
    int code = frame_i16(r);
    info->id = frame_dup(frame_str(r));
    info->state = frame_dup(frame_str(r));
    info->timeout_ms = frame_i32(r);
    info->start_ms = frame_i64(r);
    info->producer_id = frame_i64(r);
    info->producer_epoch = frame_i16(r);
    read_txn_topics(r, info);
    frame_tags(r);
    frame_tags(r);
    rl_err *err = frame_end(r, "DescribeTransactions response");
    if (!err && (!info->id || !info->state))
        err = err_lab("MALFORMED", "DescribeTransactions response without an id");
    if (!err)
        err = wire_code(code, "transaction %s", id);
    if (err)
        wire_txn_info_free(info);
    return err;
}

rl_err *wire_txn_describe(wire_cluster *cluster, const wire_call *call, const char *id,
                          wire_txn_info *info)
{
    int broker;
    *info = (wire_txn_info){0};
    wire_question q = {FRAME_DESCRIBE_TRANSACTIONS, DESCRIBE_VERSION, write_txn_describe, id};
    frame_reader r;
    rl_err *err = wire_ask_coordinator(cluster, call, WIRE_TXN_COORDINATOR, id, &q, &r, &broker);
    if (!err)
        err = wire_txn_parse(&r, id, info);
    if (!err)
        info->coordinator = broker;
    return err;
}

void wire_txn_info_free(wire_txn_info *info)
{
    for (int i = 0; i < info->topic_count; i++) {
        free(info->topics[i].name);
        free(info->topics[i].partitions.id);
    }
    free(info->topics);
    free(info->id);
    free(info->state);
    *info = (wire_txn_info){0};
}

/* ---- DescribeProducers ---- */

typedef struct place {
    const char *topic;
    int partition;
} place;

static void write_producers(frame_writer *w, const void *arg)
{
    const place *at = arg;
    wire_write_place(w, at->topic, at->partition);
    frame_put_tags(w);
    frame_put_tags(w);
}

static void read_producers(frame_reader *r, wire_producers *producers)
{
    producers->producers =
        wire_read_array(r, sizeof *producers->producers, LEAST_PRODUCER, &producers->count);
    for (int i = 0; i < producers->count && !r->bad; i++) {
        wire_producer *p = &producers->producers[i];
        p->producer_id = frame_i64(r);
        p->epoch = frame_i32(r);
        p->last_sequence = frame_i32(r);
        p->last_timestamp = frame_i64(r);
        p->coordinator_epoch = frame_i32(r);
        p->txn_start = frame_i64(r);
        frame_tags(r);
    }
}

rl_err *wire_producers_parse(frame_reader *r, const char *topic, int partition,
                             wire_producers *producers)
{
    *producers = (wire_producers){0};
    frame_i32(r); /* throttle time */
    wire_read_place(r, topic, partition);
    int code = frame_i16(r);
    frame_str(r); /* the broker's words; our own name the partition */
    read_producers(r, producers);
    frame_tags(r);
    frame_tags(r);
    frame_tags(r);
    rl_err *err = frame_end(r, "DescribeProducers response");
    if (!err)
        err = wire_code(code, "the producers of %s [%d]", topic, partition);
    if (err)
        wire_producers_free(producers);
    return err;
}

static rl_err *ask_leader(wire_cluster *cluster, const wire_call *call, const char *topic,
                          int partition, const wire_question *q, frame_reader *r)
{
    wire_metadata m;
    const wire_partition *p = NULL;
    rl_err *err = wire_metadata_get(cluster, call, WIRE_ANY, &topic, 1, &m);
    if (!err)
        err = wire_metadata_partition(&m, topic, partition, &p);
    if (!err && p->leader < 0)
        err = wire_code(RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, "%s [%d]", topic, partition);
    if (!err)
        err = wire_ask(cluster, call, p->leader, q, r);
    wire_metadata_free(&m);
    return err;
}

rl_err *wire_producers_get(wire_cluster *cluster, const wire_call *call, const char *topic,
                           int partition, wire_producers *producers)
{
    place at = {.topic = topic, .partition = partition};
    wire_question q = {FRAME_DESCRIBE_PRODUCERS, PRODUCERS_VERSION, write_producers, &at};
    frame_reader r;
    *producers = (wire_producers){0};
    rl_err *err = ask_leader(cluster, call, topic, partition, &q, &r);
    return err ? err : wire_producers_parse(&r, topic, partition, producers);
}

void wire_producers_free(wire_producers *producers)
{
    free(producers->producers);
    *producers = (wire_producers){0};
}

/* ---- WriteTxnMarkers ---- */

typedef struct abort_ask {
    place at;
    const wire_producer *producer;
} abort_ask;

static void write_abort(frame_writer *w, const void *arg)
{
    const abort_ask *ask = arg;
    const wire_producer *p = ask->producer;
    frame_put_array(w, 1);
    frame_put_i64(w, p->producer_id);
    frame_put_i16(w, (int16_t)p->epoch);
    frame_put_i8(w, 0); /* aborted */
    wire_write_place(w, ask->at.topic, ask->at.partition);
    frame_put_tags(w);
    frame_put_i32(w, p->coordinator_epoch < 0 ? 0 : p->coordinator_epoch);
    frame_put_tags(w);
    frame_put_tags(w);
}

rl_err *wire_txn_abort_parse(frame_reader *r, const char *topic, int partition)
{
    wire_read_one(r);
    frame_i64(r); /* producer id */
    wire_read_place(r, topic, partition);
    int code = frame_i16(r);
    for (int level = 0; level < 4; level++)
        frame_tags(r);
    rl_err *err = frame_end(r, "WriteTxnMarkers response");
    return err ? err : wire_code(code, "a marker for %s [%d]", topic, partition);
}

rl_err *wire_txn_abort(wire_cluster *cluster, const wire_call *call, const char *topic,
                       int partition, const wire_producer *producer)
{
    abort_ask ask = {{.topic = topic, .partition = partition}, producer};
    wire_question q = {FRAME_WRITE_TXN_MARKERS, MARKERS_VERSION, write_abort, &ask};
    frame_reader r;
    rl_err *err = ask_leader(cluster, call, topic, partition, &q, &r);
    return err ? err : wire_txn_abort_parse(&r, topic, partition);
}
