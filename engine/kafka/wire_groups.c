#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/wire_api.h"

#define COORDINATOR_VERSION 3
#define FETCH_VERSION 7 /* from here on a reader may ask for stable offsets only */

/* ---- FindCoordinator ---- */

typedef struct coordinator_ask {
    const char *id;
    wire_coordinator_kind kind;
} coordinator_ask;

static const char *const kinds[] = {"group", "transaction"};

static void write_coordinator(frame_writer *w, const void *arg)
{
    const coordinator_ask *ask = arg;
    frame_put_str(w, ask->id);
    frame_put_i8(w, (int8_t)ask->kind);
    frame_put_tags(w);
}

rl_err *wire_coordinator_parse(frame_reader *r, wire_coordinator_kind kind, const char *id,
                               wire_node *node)
{
    *node = (wire_node){0};
    frame_i32(r); /* throttle time */
    int code = frame_i16(r);
    frame_str(r);
    node->id = frame_i32(r);
    node->host = frame_dup(frame_str(r));
    node->port = frame_i32(r);
    frame_tags(r);
    rl_err *err = frame_end(r, "FindCoordinator response");
    if (!err && !node->host)
        err = err_lab("MALFORMED", "FindCoordinator response without a host");
    if (!err)
        err = wire_code(code, "the coordinator of %s %s", kinds[kind], id);
    if (err) {
        free(node->host);
        *node = (wire_node){0};
    }
    return err;
}

rl_err *wire_coordinator(wire_cluster *cluster, const wire_call *call, wire_coordinator_kind kind,
                         const char *id, int *broker)
{
    coordinator_ask ask = {id, kind};
    wire_question q = {FRAME_FIND_COORDINATOR, COORDINATOR_VERSION, write_coordinator, &ask};
    frame_reader r;
    wire_node node = {0};
    rl_err *err = wire_ask(cluster, call, WIRE_ANY, &q, &r);
    if (!err)
        err = wire_coordinator_parse(&r, kind, id, &node);
    if (err)
        return err;
    wire_cluster_learn(cluster, node.id, node.host, node.port);
    *broker = node.id;
    free(node.host);
    return NULL;
}

/* ---- OffsetFetch ---- */

typedef struct offsets_ask {
    const char *group;
    const rd_kafka_topic_partition_list_t *places; /* sorted; NULL: all */
    bool stable;
} offsets_ask;

static int same_topic(const rd_kafka_topic_partition_list_t *places, int from)
{
    int n = 1;
    while (from + n < places->cnt &&
           !strcmp(places->elems[from].topic, places->elems[from + n].topic))
        n++;
    return n;
}

static void write_places(frame_writer *w, const rd_kafka_topic_partition_list_t *places)
{
    int topics = 0;
    for (int i = 0; i < places->cnt; i += same_topic(places, i))
        topics++;
    frame_put_array(w, topics);
    for (int i = 0; i < places->cnt;) {
        int n = same_topic(places, i);
        frame_put_str(w, places->elems[i].topic);
        frame_put_array(w, n);
        for (; n > 0; n--)
            frame_put_i32(w, places->elems[i++].partition);
        frame_put_tags(w);
    }
}

static void write_fetch(frame_writer *w, const void *arg)
{
    const offsets_ask *ask = arg;
    frame_put_str(w, ask->group);
    if (ask->places)
        write_places(w, ask->places);
    else
        frame_put_array(w, -1);
    frame_put_i8(w, ask->stable);
    frame_put_tags(w);
}

static void read_offset(frame_reader *r, const char *topic, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_t *p =
        rd_kafka_topic_partition_list_add(list, topic ? topic : "", frame_i32(r));
    p->offset = frame_i64(r);
    rd_kafka_topic_partition_set_leader_epoch(p, frame_i32(r));
    frame_slice metadata = frame_str(r);
    if (metadata.len) {
        p->metadata = frame_dup(metadata);
        p->metadata_size = metadata.len;
    }
    p->err = frame_i16(r);
    frame_tags(r);
}

rl_err *wire_offsets_parse(frame_reader *r, const char *group,
                           rd_kafka_topic_partition_list_t **offsets)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    frame_i32(r); /* throttle time */
    for (int32_t topics = frame_array(r); topics > 0 && !r->bad; topics--) {
        char *topic = frame_dup(frame_str(r));
        for (int32_t n = frame_array(r); n > 0 && !r->bad; n--)
            read_offset(r, topic, list);
        frame_tags(r);
        free(topic);
    }
    int code = frame_i16(r);
    frame_tags(r);
    rl_err *err = frame_end(r, "OffsetFetch response");
    if (!err)
        err = wire_code(code, "offsets of group %s", group);
    if (err)
        rd_kafka_topic_partition_list_destroy(list);
    *offsets = err ? NULL : list;
    return err;
}

rl_err *wire_group_offsets(wire_cluster *cluster, const wire_call *call, const char *group,
                           rd_kafka_topic_partition_list_t *places, bool stable,
                           rd_kafka_topic_partition_list_t **offsets)
{
    int broker;
    if (places)
        rd_kafka_topic_partition_list_sort(places, NULL, NULL);
    offsets_ask ask = {group, places, stable};
    wire_question q = {FRAME_OFFSET_FETCH, FETCH_VERSION, write_fetch, &ask};
    frame_reader r;
    rl_err *err = wire_coordinator(cluster, call, WIRE_GROUP_COORDINATOR, group, &broker);
    if (!err)
        err = wire_ask(cluster, call, broker, &q, &r);
    return err ? err : wire_offsets_parse(&r, group, offsets);
}
