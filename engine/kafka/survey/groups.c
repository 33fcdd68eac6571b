#include <stdlib.h>
#include <string.h>

#include "kafka/survey/errand.h"

#define LIST_VERSION 5 /* from here on it says of which protocol a group is */
#define CONSUMER_VERSION 0
#define CLASSIC_VERSION 5
#define GROUPS_AT_ONCE 200

/* ---- ListGroups: those that a broker coordinates ---- */

static void write_list(frame_writer *w, const void *unused)
{
    (void)unused;
    frame_put_array(w, 0); /* in any state */
    frame_put_array(w, 2);
    frame_put_str(w, "consumer");
    frame_put_str(w, "classic");
    frame_put_tags(w);
}

static bool is_text(frame_slice text, const char *word)
{
    return text.len == strlen(word) && !memcmp(text.data, word, text.len);
}

/* A classic group may be one of something else than consumers, such as Connect's workers; one that
 * only commits has no type. */
static void read_group(frame_reader *r, const errand *e)
{
    survey *s = e->survey;
    frame_slice id = frame_str(r), type = frame_str(r);
    frame_str(r); /* state */
    frame_slice protocol = frame_str(r);
    frame_tags(r);
    if (r->bad || !id.data || (type.len && !is_text(type, "consumer")))
        return;
    s->groups = mem_grow(s->groups, (size_t)(s->group_count + 1) * sizeof *s->groups);
    s->groups[s->group_count++] = (survey_group){.id = frame_dup(id),
                                                 .coordinator = e->broker,
                                                 .classic = !is_text(protocol, "consumer"),
                                                 .members = -1};
}

static rl_err *take_list(frame_reader *r, const errand *e)
{
    frame_i32(r); /* throttle time */
    int code = frame_i16(r);
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--)
        read_group(r, e);
    frame_tags(r);
    rl_err *err = frame_end(r, "ListGroups response");
    return err ? err : wire_code(code, "the groups of broker %d", e->broker);
}

void survey_ask_groups(survey *s, errands *all)
{
    for (int i = 0; i < s->metadata.node_count; i++)
        errands_add(all, &(errand){.broker = s->metadata.nodes[i].id,
                                   .api = FRAME_LIST_GROUPS,
                                   .version = LIST_VERSION,
                                   .write = write_list,
                                   .take = take_list,
                                   .survey = s});
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const survey_group *)a)->id, ((const survey_group *)b)->id);
}

static int by_coordinator(const void *a, const void *b)
{
    const survey_group *p = a, *q = b;
    if (p->coordinator != q->coordinator)
        return p->coordinator < q->coordinator ? -1 : 1;
    return p->classic != q->classic ? p->classic - q->classic : by_id(a, b);
}

/* While a coordinator moves two brokers may tell of a group. */
void survey_sort_groups(survey *s)
{
    int kept = 0;
    if (!s->group_count)
        return;
    qsort(s->groups, (size_t)s->group_count, sizeof *s->groups, by_id);
    for (int i = 0; i < s->group_count; i++) {
        if (kept && !strcmp(s->groups[kept - 1].id, s->groups[i].id))
            free(s->groups[i].id);
        else
            s->groups[kept++] = s->groups[i];
    }
    s->group_count = kept;
    qsort(s->groups, (size_t)kept, sizeof *s->groups, by_coordinator);
}

/* The groups of an errand are of one protocol and hence sorted by their ids. */
survey_group *survey_find_group(const errand *e, frame_slice id)
{
    survey_group *found = NULL;
    char *text = id.data ? frame_dup(id) : NULL;
    survey_group want = {.id = text};
    if (text && e->count)
        found = bsearch(&want, &e->survey->groups[e->from], (size_t)e->count,
                        sizeof *e->survey->groups, by_id);
    free(text);
    return found;
}

/* ---- the two descriptions: how many members ---- */

static void write_describe(frame_writer *w, const void *arg)
{
    const errand *e = arg;
    frame_put_array(w, e->count);
    for (int i = e->from; i < e->from + e->count; i++)
        frame_put_str(w, e->survey->groups[i].id);
    frame_put_i8(w, 0); /* no authorized operations */
    frame_put_tags(w);
}

static void skip_assignment(frame_reader *r)
{
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--) {
        frame_raw(r, 16); /* the topic's id */
        frame_str(r);
        for (int32_t p = frame_array(r); p > 0 && !r->bad; p--)
            frame_i32(r);
        frame_tags(r);
    }
    frame_tags(r);
}

static void skip_consumer(frame_reader *r)
{
    frame_str(r); /* id, instance, rack */
    frame_str(r);
    frame_str(r);
    frame_i32(r); /* epoch */
    frame_str(r); /* client, host */
    frame_str(r);
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--)
        frame_str(r); /* subscribed to */
    frame_str(r);     /* by pattern */
    skip_assignment(r);
    skip_assignment(r);
    frame_tags(r);
}

static void skip_classic(frame_reader *r)
{
    for (int i = 0; i < 4; i++)
        frame_str(r); /* id, instance, client, host */
    frame_bytes(r);   /* subscription */
    frame_bytes(r);   /* assignment */
    frame_tags(r);
}

static int count_members(frame_reader *r, void (*skip)(frame_reader *r))
{
    int count = 0;
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--, count++)
        skip(r);
    frame_i32(r); /* authorized operations */
    frame_tags(r);
    return count;
}

static void set_members(const errand *e, frame_slice id, int code, int members)
{
    survey_group *group = code ? NULL : survey_find_group(e, id);
    if (group)
        group->members = members;
}

static int read_consumer_group(frame_reader *r, const errand *e)
{
    int code = frame_i16(r);
    frame_str(r); /* the broker's words */
    frame_slice id = frame_str(r);
    frame_str(r); /* state */
    frame_i32(r); /* epoch, also of the assignment */
    frame_i32(r);
    frame_str(r); /* assignor */
    set_members(e, id, code, count_members(r, skip_consumer));
    return code;
}

static int read_classic_group(frame_reader *r, const errand *e)
{
    int code = frame_i16(r);
    frame_slice id = frame_str(r);
    frame_str(r); /* state, type, protocol */
    frame_str(r);
    frame_str(r);
    set_members(e, id, code, count_members(r, skip_classic));
    return code;
}

static rl_err *take_described(frame_reader *r, const errand *e,
                              int (*read)(frame_reader *r, const errand *e))
{
    int first = 0;
    frame_i32(r); /* throttle time */
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--) {
        int code = read(r, e);
        first = first ? first : code;
    }
    frame_tags(r);
    rl_err *err = frame_end(r, "the description of groups");
    return err ? err : wire_code(first, "a group of broker %d", e->broker);
}

static rl_err *take_consumer_groups(frame_reader *r, const errand *e)
{
    return take_described(r, e, read_consumer_group);
}

static rl_err *take_classic_groups(frame_reader *r, const errand *e)
{
    return take_described(r, e, read_classic_group);
}

/* The end of the stretch of one coordinator, one protocol and not too many. */
static int stretch_end(const survey *s, int from)
{
    const survey_group *first = &s->groups[from];
    int at = from;
    while (at < s->group_count && at - from < GROUPS_AT_ONCE &&
           s->groups[at].coordinator == first->coordinator &&
           s->groups[at].classic == first->classic)
        at++;
    return at;
}

void survey_each_stretch(survey *s, errands *all, void (*set)(errand *e, bool classic))
{
    for (int from = 0, end; from < s->group_count; from = end) {
        end = stretch_end(s, from);
        errand e = {
            .broker = s->groups[from].coordinator, .survey = s, .from = from, .count = end - from};
        set(&e, s->groups[from].classic);
        errands_add(all, &e);
    }
}

static void set_describe(errand *e, bool classic)
{
    e->api = classic ? FRAME_DESCRIBE_GROUPS : FRAME_CONSUMER_GROUP_DESCRIBE;
    e->version = classic ? CLASSIC_VERSION : CONSUMER_VERSION;
    e->write = write_describe;
    e->take = classic ? take_classic_groups : take_consumer_groups;
}

void survey_ask_members(survey *s, errands *all)
{
    survey_each_stretch(s, all, set_describe);
}
