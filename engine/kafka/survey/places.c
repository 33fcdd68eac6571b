#include <librdkafka/rdkafka.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/survey/errand.h"

#define OFFSETS_VERSION 5
#define PRODUCERS_VERSION 0
#define PLACES_AT_ONCE 20000

/* ---- finding ---- */

static int compare_topic(const void *key, const void *element)
{
    const frame_slice *name = key;
    const wire_topic *topic = element;
    size_t len = strlen(topic->name);
    int order = memcmp(name->data, topic->name, name->len < len ? name->len : len);
    return order ? order : (name->len > len) - (name->len < len);
}

static int compare_partition(const void *key, const void *element)
{
    int number = *(const int *)key, other = ((const survey_place *)element)->partition->partition;
    return (number > other) - (number < other);
}

survey_place *survey_find(const survey *s, frame_slice topic, int partition)
{
    const wire_metadata *m = &s->metadata;
    if (!topic.data || !m->topic_count)
        return NULL;
    const wire_topic *found =
        bsearch(&topic, m->topics, (size_t)m->topic_count, sizeof *m->topics, compare_topic);
    if (!found || !found->count)
        return NULL;
    return bsearch(&partition, s->places[found - m->topics], (size_t)found->count,
                   sizeof(survey_place), compare_partition);
}

static const char *topic_of(const survey *s, const survey_place *place)
{
    int low = 0, high = s->metadata.topic_count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (s->places[middle] <= place)
            low = middle;
        else
            high = middle - 1;
    }
    return s->metadata.topics[low].name;
}

/* ---- ListOffsets: one position of many partitions ---- */

typedef void (*write_place)(frame_writer *w, const survey_place *place, const errand *e);

static int same_topic(const errand *e, int from)
{
    survey_place **places = e->survey->by_leader;
    const char *topic = topic_of(e->survey, places[from]);
    int at = from;
    while (at < e->from + e->count && topic_of(e->survey, places[at]) == topic)
        at++;
    return at - from;
}

static void write_places(frame_writer *w, const errand *e, write_place write)
{
    int topics = 0, end = e->from + e->count;
    for (int i = e->from; i < end; i += same_topic(e, i))
        topics++;
    frame_put_array(w, topics);
    for (int i = e->from; i < end;) {
        int n = same_topic(e, i);
        frame_put_str(w, topic_of(e->survey, e->survey->by_leader[i]));
        frame_put_array(w, n);
        for (; n > 0; n--)
            write(w, e->survey->by_leader[i++], e);
        frame_put_tags(w);
    }
}

static void write_position(frame_writer *w, const survey_place *place, const errand *e)
{
    frame_put_i32(w, place->partition->partition);
    frame_put_i32(w, -1); /* whatever the leader epoch */
    frame_put_i64(w, e->timestamp);
}

static void write_offsets(frame_writer *w, const void *arg)
{
    const errand *e = arg;
    frame_put_i32(w, WIRE_CONSUMER);
    frame_put_i8(w, e->committed);
    write_places(w, e, write_position);
}

static int read_position(frame_reader *r, frame_slice topic, const errand *e)
{
    int partition = frame_i32(r), code = frame_i16(r);
    frame_i64(r); /* timestamp */
    int64_t offset = frame_i64(r);
    frame_i32(r); /* leader epoch */
    survey_place *place = r->bad || code ? NULL : survey_find(e->survey, topic, partition);
    if (place)
        memcpy((char *)place + e->field, &offset, sizeof offset);
    return code;
}

typedef int (*read_place)(frame_reader *r, frame_slice topic, const errand *e);

/* Returns the first code that is none of 0. */
static int read_places(frame_reader *r, const errand *e, read_place read)
{
    int first = 0;
    for (int32_t topics = frame_array(r); topics > 0 && !r->bad; topics--) {
        frame_slice topic = wire_read_topic(r);
        for (int32_t n = frame_array(r); n > 0 && !r->bad; n--) {
            int code = read(r, topic, e);
            first = first ? first : code;
        }
        frame_tags(r);
    }
    return first;
}

static rl_err *take_offsets(frame_reader *r, const errand *e)
{
    frame_i32(r); /* throttle time */
    int code = read_places(r, e, read_position);
    rl_err *err = frame_end(r, "ListOffsets response");
    return err ? err : wire_code(code, "offsets of partitions that broker %d leads", e->broker);
}

static void add_chunks(errands *all, errand e, int from, int end)
{
    for (int at = from; at < end; at += PLACES_AT_ONCE) {
        e.from = at;
        e.count = end - at < PLACES_AT_ONCE ? end - at : PLACES_AT_ONCE;
        errands_add(all, &e);
    }
}

static int same_leader(const survey *s, int from)
{
    int at = from;
    while (at < s->led_count &&
           s->by_leader[at]->partition->leader == s->by_leader[from]->partition->leader)
        at++;
    return at;
}

void survey_ask_offsets(survey *s, errands *all)
{
    for (int from = 0, end; from < s->led_count; from = end) {
        end = same_leader(s, from);
        errand e = {.broker = s->by_leader[from]->partition->leader,
                    .api = FRAME_LIST_OFFSETS,
                    .version = OFFSETS_VERSION,
                    .write = write_offsets,
                    .take = take_offsets,
                    .survey = s,
                    .timestamp = WIRE_EARLIEST,
                    .field = offsetof(survey_place, low)};
        add_chunks(all, e, from, end);
        e.timestamp = WIRE_LATEST;
        e.committed = true;
        e.field = offsetof(survey_place, lso);
        add_chunks(all, e, from, end);
        e.committed = false; /* last, so that no LSO stands above the HW */
        e.field = offsetof(survey_place, hw);
        add_chunks(all, e, from, end);
    }
}

/* ---- DescribeProducers: who holds the last stable offset back ---- */

static void write_number(frame_writer *w, const survey_place *place, const errand *e)
{
    (void)e;
    frame_put_i32(w, place->partition->partition);
}

static void write_producers(frame_writer *w, const void *arg)
{
    write_places(w, arg, write_number);
    frame_put_tags(w);
}

/* The LSO stands at the first record of the oldest open transaction. */
static int read_producers(frame_reader *r, frame_slice topic, const errand *e)
{
    int partition = frame_i32(r), code = frame_i16(r);
    int64_t oldest = -1, holder = -1;
    frame_str(r); /* the broker's words */
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--) {
        int64_t id = frame_i64(r);
        frame_i32(r); /* epoch */
        frame_i32(r); /* last sequence */
        frame_i64(r); /* last timestamp */
        frame_i32(r); /* coordinator epoch */
        int64_t start = frame_i64(r);
        frame_tags(r);
        if (start >= 0 && (oldest < 0 || start < oldest)) {
            oldest = start;
            holder = id;
        }
    }
    frame_tags(r);
    survey_place *place = r->bad ? NULL : survey_find(e->survey, topic, partition);
    if (place)
        place->holder = holder;
    return code;
}

static rl_err *take_producers(frame_reader *r, const errand *e)
{
    frame_i32(r); /* throttle time */
    int code = read_places(r, e, read_producers);
    frame_tags(r);
    rl_err *err = frame_end(r, "DescribeProducers response");
    return err ? err : wire_code(code, "producers in partitions that broker %d leads", e->broker);
}

/* Leaves in by_leader those that an open transaction holds back. */
static void keep_held(survey *s)
{
    int kept = 0;
    for (int i = 0; i < s->led_count; i++) {
        survey_place *place = s->by_leader[i];
        if (place->lso != WIRE_UNKNOWN && place->hw != WIRE_UNKNOWN && place->lso < place->hw)
            s->by_leader[kept++] = place;
    }
    s->led_count = kept;
}

void survey_ask_producers(survey *s, errands *all)
{
    keep_held(s);
    for (int from = 0, end; from < s->led_count; from = end) {
        end = same_leader(s, from);
        errand e = {.broker = s->by_leader[from]->partition->leader,
                    .api = FRAME_DESCRIBE_PRODUCERS,
                    .version = PRODUCERS_VERSION,
                    .write = write_producers,
                    .take = take_producers,
                    .survey = s};
        add_chunks(all, e, from, end);
    }
}
