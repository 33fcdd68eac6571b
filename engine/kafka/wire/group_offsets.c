#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/wire/api.h"

#define FETCH_VERSION 7 /* from here on a reader may ask for stable offsets only */
#define COMMIT_VERSION 8
#define DELETE_VERSION 0
#define NO_GENERATION (-1) /* what a commit says that no member makes */

/* ---- places, topic by topic ---- */

typedef void (*write_place)(frame_writer *w, const rd_kafka_topic_partition_t *place);

static int same_topic(const rd_kafka_topic_partition_list_t *places, int from)
{
    int n = 1;
    while (from + n < places->cnt &&
           !strcmp(places->elems[from].topic, places->elems[from + n].topic))
        n++;
    return n;
}

static void write_places(frame_writer *w, const rd_kafka_topic_partition_list_t *places,
                         write_place write)
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
            write(w, &places->elems[i++]);
        frame_put_tags(w);
    }
}

static void write_partition(frame_writer *w, const rd_kafka_topic_partition_t *place)
{
    frame_put_i32(w, place->partition);
}

typedef void (*read_place)(frame_reader *r, const char *topic,
                           rd_kafka_topic_partition_list_t *list);

static rd_kafka_topic_partition_list_t *read_places(frame_reader *r, read_place read)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (int32_t topics = frame_array(r); topics > 0 && !r->bad; topics--) {
        char *topic = frame_dup(wire_read_topic(r));
        for (int32_t n = frame_array(r); n > 0 && !r->bad; n--)
            read(r, topic ? topic : "", list);
        frame_tags(r);
        free(topic);
    }
    return list;
}

/* ---- OffsetFetch ---- */

typedef struct offsets_ask {
    const char *group;
    const rd_kafka_topic_partition_list_t *places; /* sorted; NULL: all */
    bool stable;
} offsets_ask;

static void write_offsets_ask(frame_writer *w, const void *arg)
{
    const offsets_ask *ask = arg;
    frame_put_str(w, ask->group);
    if (ask->places)
        write_places(w, ask->places, write_partition);
    else
        frame_put_array(w, -1);
    frame_put_i8(w, ask->stable);
    frame_put_tags(w);
}

static void read_offset(frame_reader *r, const char *topic, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_t *place =
        rd_kafka_topic_partition_list_add(list, topic, frame_i32(r));
    place->offset = frame_i64(r);
    rd_kafka_topic_partition_set_leader_epoch(place, frame_i32(r));
    frame_slice metadata = frame_str(r);
    if (metadata.len) {
        place->metadata = frame_dup(metadata);
        place->metadata_size = metadata.len;
    }
    place->err = frame_i16(r);
    frame_tags(r);
}

rl_err *wire_offsets_parse(frame_reader *r, const char *group,
                           rd_kafka_topic_partition_list_t **offsets)
{
    frame_i32(r); /* throttle time */
    rd_kafka_topic_partition_list_t *list = read_places(r, read_offset);
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
    wire_question q = {FRAME_OFFSET_FETCH, FETCH_VERSION, write_offsets_ask, &ask};
    frame_reader r;
    rl_err *err =
        wire_ask_coordinator(cluster, call, WIRE_GROUP_COORDINATOR, group, &q, &r, &broker);
    return err ? err : wire_offsets_parse(&r, group, offsets);
}

/* ---- OffsetCommit and OffsetDelete: a code for each place ---- */

typedef struct change_ask {
    const char *group;
    const rd_kafka_topic_partition_list_t *places; /* sorted */
} change_ask;

static void write_offset(frame_writer *w, const rd_kafka_topic_partition_t *place)
{
    frame_put_i32(w, place->partition);
    frame_put_i64(w, place->offset);
    frame_put_i32(w, rd_kafka_topic_partition_get_leader_epoch(place));
    frame_put_slice(w, (frame_slice){.data = place->metadata ? place->metadata : "",
                                     .len = place->metadata_size});
    frame_put_tags(w);
}

static void write_commit(frame_writer *w, const void *arg)
{
    const change_ask *ask = arg;
    frame_put_str(w, ask->group);
    frame_put_i32(w, NO_GENERATION);
    frame_put_str(w, ""); /* member */
    frame_put_str(w, NULL);
    write_places(w, ask->places, write_offset);
    frame_put_tags(w);
}

static void write_forget(frame_writer *w, const void *arg)
{
    const change_ask *ask = arg;
    frame_put_str(w, ask->group);
    write_places(w, ask->places, write_partition);
}

static void read_code(frame_reader *r, const char *topic, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_t *place =
        rd_kafka_topic_partition_list_add(list, topic, frame_i32(r));
    place->err = frame_i16(r);
    frame_tags(r);
}

static bool same_place(const rd_kafka_topic_partition_t *a, const rd_kafka_topic_partition_t *b)
{
    return a->partition == b->partition && !strcmp(a->topic, b->topic);
}

/* A place of which nothing is said must not pass for a good one. */
static rl_err *take_codes(rd_kafka_topic_partition_list_t *said,
                          rd_kafka_topic_partition_list_t *places, const char *what)
{
    rd_kafka_topic_partition_list_sort(said, NULL, NULL);
    for (int i = 0; i < places->cnt; i++) {
        if (said->cnt != places->cnt || !same_place(&said->elems[i], &places->elems[i]))
            return err_lab("MALFORMED", "%s: it speaks of other partitions than asked for", what);
        places->elems[i].err = said->elems[i].err;
    }
    return NULL;
}

/* A coordinator that has moved, or is about to be one, says so place by place. */
static rl_err *not_there(const rd_kafka_topic_partition_list_t *places, const char *group)
{
    for (int i = 0; i < places->cnt; i++) {
        rd_kafka_resp_err_t code = places->elems[i].err;
        if (code == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS ||
            code == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
            code == RD_KAFKA_RESP_ERR_NOT_COORDINATOR)
            return wire_code(code, "offsets of group %s", group);
    }
    return NULL;
}

rl_err *wire_commit_parse(frame_reader *r, const char *group,
                          rd_kafka_topic_partition_list_t *places)
{
    static const char what[] = "OffsetCommit response";
    frame_i32(r); /* throttle time */
    rd_kafka_topic_partition_list_t *said = read_places(r, read_code);
    frame_tags(r);
    rl_err *err = frame_end(r, what);
    if (!err)
        err = take_codes(said, places, what);
    rd_kafka_topic_partition_list_destroy(said);
    return err ? err : not_there(places, group);
}

rl_err *wire_forget_parse(frame_reader *r, const char *group,
                          rd_kafka_topic_partition_list_t *places)
{
    static const char what[] = "OffsetDelete response";
    int code = frame_i16(r);
    frame_i32(r); /* throttle time */
    rd_kafka_topic_partition_list_t *said = read_places(r, read_code);
    rl_err *err = frame_end(r, what);
    if (!err)
        err = wire_code(code, "offsets of group %s", group);
    if (!err)
        err = take_codes(said, places, what);
    rd_kafka_topic_partition_list_destroy(said);
    return err;
}

typedef struct change {
    int api, version;
    void (*write)(frame_writer *w, const void *arg);
    rl_err *(*parse)(frame_reader *r, const char *group, rd_kafka_topic_partition_list_t *places);
} change;

static rl_err *ask_for(const change *c, wire_cluster *cluster, const wire_call *call,
                       const char *group, rd_kafka_topic_partition_list_t *places)
{
    change_ask ask = {group, places};
    wire_question q = {c->api, c->version, c->write, &ask};
    frame_reader r;
    int broker;
    rd_kafka_topic_partition_list_sort(places, NULL, NULL);
    rl_err *err =
        wire_ask_coordinator(cluster, call, WIRE_GROUP_COORDINATOR, group, &q, &r, &broker);
    return err ? err : c->parse(&r, group, places);
}

rl_err *wire_group_commit(wire_cluster *cluster, const wire_call *call, const char *group,
                          rd_kafka_topic_partition_list_t *places)
{
    static const change commit = {FRAME_OFFSET_COMMIT, COMMIT_VERSION, write_commit,
                                  wire_commit_parse};
    return ask_for(&commit, cluster, call, group, places);
}

rl_err *wire_group_forget(wire_cluster *cluster, const wire_call *call, const char *group,
                          rd_kafka_topic_partition_list_t *places)
{
    static const change forget = {FRAME_OFFSET_DELETE, DELETE_VERSION, write_forget,
                                  wire_forget_parse};
    return ask_for(&forget, cluster, call, group, places);
}
