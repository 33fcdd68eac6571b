#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/wire/api.h"

#define METADATA_VERSION 12
#define QUORUM_API 55
#define QUORUM_VERSION 0
#define QUORUM_TOPIC "__cluster_metadata"

/* bytes of one in a response */
enum { LEAST_NODE = 11, LEAST_TOPIC = 26, LEAST_PARTITION = 18, LEAST_VOTER = 13 };

typedef struct topic_list {
    const char *const *topics;
    int count;
} topic_list;

static void write_metadata(frame_writer *w, const void *arg)
{
    static const char no_id[16];
    const topic_list *list = arg;
    frame_put_array(w, list->topics ? list->count : -1);
    for (int i = 0; list->topics && i < list->count; i++) {
        buf_add(w->buf, no_id, sizeof no_id);
        frame_put_str(w, list->topics[i]);
        frame_put_tags(w);
    }
    frame_put_i8(w, 0); /* no automatic creation */
    frame_put_i8(w, 0); /* no authorized operations */
    frame_put_tags(w);
}

static void read_nodes(frame_reader *r, wire_metadata *metadata)
{
    metadata->nodes =
        wire_read_array(r, sizeof *metadata->nodes, LEAST_NODE, &metadata->node_count);
    for (int i = 0; i < metadata->node_count && !r->bad; i++) {
        wire_node *node = &metadata->nodes[i];
        node->id = frame_i32(r);
        node->host = frame_dup(frame_str(r));
        node->port = frame_i32(r);
        node->rack = frame_dup(frame_str(r));
        frame_tags(r);
        if (!node->host)
            r->bad = true;
    }
}

static int by_partition(const void *a, const void *b)
{
    const wire_partition *p = a, *q = b;
    return (p->partition > q->partition) - (p->partition < q->partition);
}

static void read_partitions(frame_reader *r, wire_topic *topic)
{
    topic->partitions =
        wire_read_array(r, sizeof *topic->partitions, LEAST_PARTITION, &topic->count);
    for (int i = 0; i < topic->count && !r->bad; i++) {
        wire_partition *p = &topic->partitions[i];
        p->code = frame_i16(r);
        p->partition = frame_i32(r);
        p->leader = frame_i32(r);
        p->epoch = frame_i32(r);
        p->replicas = wire_read_ids(r);
        p->isr = wire_read_ids(r);
        p->offline = wire_read_ids(r);
        frame_tags(r);
    }
    if (topic->count && !r->bad)
        qsort(topic->partitions, (size_t)topic->count, sizeof *topic->partitions, by_partition);
}

static void read_topics(frame_reader *r, wire_metadata *metadata)
{
    metadata->topics =
        wire_read_array(r, sizeof *metadata->topics, LEAST_TOPIC, &metadata->topic_count);
    for (int i = 0; i < metadata->topic_count && !r->bad; i++) {
        wire_topic *topic = &metadata->topics[i];
        topic->code = frame_i16(r);
        topic->name = frame_dup(wire_read_topic(r));
        frame_slice id = frame_raw(r, sizeof topic->id);
        if (id.data)
            memcpy(topic->id, id.data, id.len);
        topic->internal = frame_i8(r);
        read_partitions(r, topic);
        frame_i32(r); /* authorized operations */
        frame_tags(r);
        if (!topic->name)
            r->bad = true;
    }
}

rl_err *wire_metadata_parse(frame_reader *r, wire_metadata *metadata)
{
    *metadata = (wire_metadata){0};
    frame_i32(r); /* throttle time */
    read_nodes(r, metadata);
    metadata->cluster_id = frame_dup(frame_str(r));
    metadata->controller = frame_i32(r);
    read_topics(r, metadata);
    frame_tags(r);
    rl_err *err = frame_end(r, "Metadata response");
    if (err)
        wire_metadata_free(metadata);
    return err;
}

rl_err *wire_metadata_get(wire_cluster *cluster, const wire_call *call, int broker,
                          const char *const *topics, int count, wire_metadata *metadata)
{
    topic_list list = {.topics = topics, .count = count};
    wire_question q = {FRAME_METADATA, METADATA_VERSION, write_metadata, &list};
    frame_reader r;
    *metadata = (wire_metadata){0};
    rl_err *err = wire_ask(cluster, call, broker, &q, &r);
    if (!err)
        err = wire_metadata_parse(&r, metadata);
    if (err)
        return err;
    for (int i = 0; i < metadata->node_count; i++)
        wire_cluster_learn(cluster, metadata->nodes[i].id, metadata->nodes[i].host,
                           metadata->nodes[i].port);
    return NULL;
}

void wire_metadata_free(wire_metadata *metadata)
{
    for (int i = 0; metadata->nodes && i < metadata->node_count; i++) {
        free(metadata->nodes[i].host);
        free(metadata->nodes[i].rack);
    }
    for (int i = 0; metadata->topics && i < metadata->topic_count; i++) {
        wire_topic *topic = &metadata->topics[i];
        for (int j = 0; topic->partitions && j < topic->count; j++) {
            free(topic->partitions[j].replicas.id);
            free(topic->partitions[j].isr.id);
            free(topic->partitions[j].offline.id);
        }
        free(topic->partitions);
        free(topic->name);
    }
    free(metadata->nodes);
    free(metadata->topics);
    free(metadata->cluster_id);
    *metadata = (wire_metadata){0};
}

const wire_topic *wire_metadata_topic(const wire_metadata *metadata, const char *name)
{
    for (int i = 0; i < metadata->topic_count; i++)
        if (strcmp(metadata->topics[i].name, name) == 0)
            return &metadata->topics[i];
    return NULL;
}

rl_err *wire_metadata_partition(const wire_metadata *metadata, const char *name, int partition,
                                const wire_partition **found)
{
    const wire_topic *topic = wire_metadata_topic(metadata, name);
    int code = topic ? topic->code : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (code)
        return wire_code(code, "topic %s", name);
    for (int i = 0; i < topic->count; i++) {
        if (topic->partitions[i].partition != partition)
            continue;
        *found = &topic->partitions[i];
        return NULL;
    }
    return wire_code(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
                     "%s has %d partitions, none of them %d", name, topic->count, partition);
}

/* ---- the quorum of controllers ---- */

static void write_quorum(frame_writer *w, const void *unused)
{
    (void)unused;
    wire_write_place(w, QUORUM_TOPIC, 0);
    frame_put_tags(w);
    frame_put_tags(w);
    frame_put_tags(w);
}

static struct wire_voter *read_voters(frame_reader *r, int *count)
{
    struct wire_voter *voters = wire_read_array(r, sizeof *voters, LEAST_VOTER, count);
    for (int i = 0; i < *count && !r->bad; i++) {
        voters[i].id = frame_i32(r);
        voters[i].leo = frame_i64(r);
        frame_tags(r);
    }
    return voters;
}

/* One partition is asked for, hence one is read; anything else is refused. */
static int read_quorum(frame_reader *r, wire_quorum *quorum)
{
    wire_read_place(r, QUORUM_TOPIC, 0);
    int code = frame_i16(r), observers;
    quorum->leader = frame_i32(r);
    quorum->epoch = frame_i32(r);
    quorum->hw = frame_i64(r);
    quorum->voters = read_voters(r, &quorum->voter_count);
    free(read_voters(r, &observers));
    frame_tags(r);
    frame_tags(r);
    frame_tags(r);
    return code;
}

rl_err *wire_quorum_parse(frame_reader *r, wire_quorum *quorum)
{
    *quorum = (wire_quorum){0};
    int code = frame_i16(r);
    if (!code)
        code = read_quorum(r, quorum);
    else
        r->pos = r->len; /* an error comes alone */
    rl_err *err = frame_end(r, "DescribeQuorum response");
    if (!err)
        err = wire_code(code, "the quorum of controllers");
    if (err)
        wire_quorum_free(quorum);
    return err;
}

rl_err *wire_quorum_get(wire_cluster *cluster, const wire_call *call, wire_quorum *quorum)
{
    wire_question q = {QUORUM_API, QUORUM_VERSION, write_quorum, NULL};
    frame_reader r;
    *quorum = (wire_quorum){0};
    rl_err *err = wire_ask(cluster, call, WIRE_ANY, &q, &r);
    return err ? err : wire_quorum_parse(&r, quorum);
}

void wire_quorum_free(wire_quorum *quorum)
{
    free(quorum->voters);
    *quorum = (wire_quorum){0};
}
