#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/wire/api.h"

#define METADATA_VERSION 12
#define QUORUM_API 55
#define QUORUM_VERSION 0
#define QUORUM_TOPIC "__cluster_metadata"
#define FEATURES_VERSION 3 /* of ApiVersions */
#define FEATURES_TAG 2     /* the field that holds the levels settled on */
#define UPDATE_API 57
#define UPDATE_VERSION 1
#define UPDATE_MS 10000

/* bytes of one in a response */
enum {
    LEAST_NODE = 11,
    LEAST_TOPIC = 26,
    LEAST_PARTITION = 18,
    LEAST_VOTER = 13,
    LEAST_FEATURE = 6
};

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

/* ---- feature levels ---- */

static void write_software(frame_writer *w, const void *unused)
{
    (void)unused;
    frame_put_str(w, WIRE_CLIENT_ID);
    frame_put_str(w, "1");
    frame_put_tags(w);
}

static void read_features(frame_reader *r, wire_features *features)
{
    features->features =
        wire_read_array(r, sizeof *features->features, LEAST_FEATURE, &features->count);
    for (int i = 0; i < features->count && !r->bad; i++) {
        wire_feature *feature = &features->features[i];
        feature->name = frame_dup(frame_str(r));
        feature->level = frame_i16(r);
        frame_i16(r); /* the lowest level that a broker may speak */
        frame_tags(r);
        if (!feature->name)
            r->bad = true;
    }
}

/* They come as a tagged field, once. */
static void read_feature_tags(frame_reader *r, wire_features *features)
{
    uint32_t count = frame_uvarint(r);
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        uint32_t tag = frame_uvarint(r);
        frame_slice field = frame_raw(r, frame_uvarint(r));
        if (r->bad || tag != FEATURES_TAG)
            continue;
        frame_reader in = frame_read(field.data, field.len, true);
        if (!features->features)
            read_features(&in, features);
        if (in.bad || in.pos != in.len)
            r->bad = true;
    }
}

rl_err *wire_features_parse(frame_reader *r, wire_features *features)
{
    wire_range speaks[WIRE_APIS];
    *features = (wire_features){0};
    int code = wire_read_versions(r, speaks);
    frame_i32(r); /* throttle time */
    read_feature_tags(r, features);
    rl_err *err = frame_end(r, "ApiVersions response");
    if (!err)
        err = wire_code(code, "the cluster's features");
    if (err)
        wire_features_free(features);
    return err;
}

rl_err *wire_features_get(wire_cluster *cluster, const wire_call *call, int broker,
                          wire_features *features)
{
    wire_question q = {FRAME_API_VERSIONS, FEATURES_VERSION, write_software, NULL};
    frame_reader r;
    *features = (wire_features){0};
    rl_err *err = wire_ask(cluster, call, broker, &q, &r);
    return err ? err : wire_features_parse(&r, features);
}

void wire_features_free(wire_features *features)
{
    for (int i = 0; i < features->count; i++)
        free(features->features[i].name);
    free(features->features);
    *features = (wire_features){0};
}

typedef struct feature_change {
    const char *name;
    int level;
    bool down;
} feature_change;

static void write_change(frame_writer *w, const void *arg)
{
    enum { UPGRADE = 1, SAFE_DOWNGRADE };
    const feature_change *change = arg;
    frame_put_i32(w, UPDATE_MS);
    frame_put_array(w, 1);
    frame_put_str(w, change->name);
    frame_put_i16(w, (int16_t)change->level);
    frame_put_i8(w, change->down ? SAFE_DOWNGRADE : UPGRADE);
    frame_put_tags(w);
    frame_put_i8(w, 0); /* not only to see whether it could */
    frame_put_tags(w);
}

static rl_err *change_err(int code, const char *name, frame_slice why)
{
    return wire_code(code, "feature %s: %.*s", name, (int)why.len, why.data ? why.data : "");
}

/* An error of all of them, else that of the only one. */
rl_err *wire_feature_set_parse(frame_reader *r, const char *name)
{
    frame_i32(r); /* throttle time */
    int code = frame_i16(r), own = 0;
    frame_slice why = frame_str(r), own_why = {0};
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--) {
        frame_str(r);
        own = frame_i16(r);
        own_why = frame_str(r);
        frame_tags(r);
    }
    frame_tags(r);
    rl_err *err = frame_end(r, "UpdateFeatures response");
    if (!err)
        err = change_err(code, name, why);
    return err ? err : change_err(own, name, own_why);
}

rl_err *wire_feature_set(wire_cluster *cluster, const wire_call *call, const char *name, int level,
                         bool down)
{
    feature_change change = {.name = name, .level = level, .down = down};
    wire_question q = {UPDATE_API, UPDATE_VERSION, write_change, &change};
    frame_reader r;
    rl_err *err = wire_ask(cluster, call, WIRE_ANY, &q, &r);
    return err ? err : wire_feature_set_parse(&r, name);
}
