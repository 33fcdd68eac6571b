#include <stdlib.h>

#include "kafka/survey/errand.h"

#define FETCH_VERSION 8 /* from here on it asks of many groups */

enum { LEAST_TOPIC = 3, LEAST_PARTITION = 20 }; /* bytes of one in a response */

static void write_fetch(frame_writer *w, const void *arg)
{
    const errand *e = arg;
    frame_put_array(w, e->count);
    for (int i = e->from; i < e->from + e->count; i++) {
        frame_put_str(w, e->survey->groups[i].id);
        frame_put_array(w, -1); /* all that it has committed */
        frame_put_tags(w);
    }
    frame_put_i8(w, 0); /* stable or not */
    frame_put_tags(w);
}

static void read_offsets(frame_reader *r, survey_committed *topic)
{
    int n;
    topic->topic = frame_dup(wire_read_topic(r));
    topic->offsets = wire_read_array(r, sizeof *topic->offsets, LEAST_PARTITION, &n);
    for (int i = 0; i < n && !r->bad; i++) {
        survey_offset *at = &topic->offsets[topic->count];
        at->partition = frame_i32(r);
        at->offset = frame_i64(r);
        frame_i32(r); /* leader epoch */
        frame_str(r); /* metadata */
        if (!frame_i16(r) && at->offset >= 0)
            topic->count++;
        frame_tags(r);
    }
    frame_tags(r);
}

static void free_committed(survey_committed *topics, int count)
{
    for (int i = 0; i < count; i++) {
        free(topics[i].topic);
        free(topics[i].offsets);
    }
    free(topics);
}

static int read_group(frame_reader *r, const errand *e)
{
    int count;
    survey_group *group = survey_find_group(e, frame_str(r));
    survey_committed *topics = wire_read_array(r, sizeof *topics, LEAST_TOPIC, &count);
    for (int i = 0; i < count && !r->bad; i++)
        read_offsets(r, &topics[i]);
    int code = frame_i16(r);
    frame_tags(r);
    if (r->bad || code || !group || group->topics) {
        free_committed(topics, count);
        return code;
    }
    group->topics = topics;
    group->topic_count = count;
    return 0;
}

static rl_err *take_fetch(frame_reader *r, const errand *e)
{
    int first = 0;
    frame_i32(r); /* throttle time */
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--) {
        int code = read_group(r, e);
        first = first ? first : code;
    }
    frame_tags(r);
    rl_err *err = frame_end(r, "OffsetFetch response");
    return err ? err : wire_code(first, "offsets of groups of broker %d", e->broker);
}

static void set_fetch(errand *e, bool classic)
{
    (void)classic;
    e->api = FRAME_OFFSET_FETCH;
    e->version = FETCH_VERSION;
    e->write = write_fetch;
    e->take = take_fetch;
}

void survey_ask_committed(survey *s, errands *all)
{
    survey_sort_groups(s);
    survey_each_stretch(s, all, set_fetch);
}

void survey_free_groups(survey *s)
{
    for (int i = 0; i < s->group_count; i++) {
        free_committed(s->groups[i].topics, s->groups[i].topic_count);
        free(s->groups[i].id);
    }
    free(s->groups);
}
