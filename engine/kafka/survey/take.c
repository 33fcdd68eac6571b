#include <stdlib.h>
#include <string.h>

#include "kafka/survey/errand.h"

/* ---- the frame: topics and partitions ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const wire_topic *)a)->name, ((const wire_topic *)b)->name);
}

static int by_leader(const void *a, const void *b)
{
    const survey_place *p = *(survey_place *const *)a, *q = *(survey_place *const *)b;
    if (p->partition->leader != q->partition->leader)
        return p->partition->leader < q->partition->leader ? -1 : 1;
    return (p > q) - (p < q);
}

static void add_topic(survey *s, int topic)
{
    const wire_topic *t = &s->metadata.topics[topic];
    s->places[topic] = &s->all[s->place_count];
    for (int i = 0; i < t->count; i++) {
        survey_place *place = &s->all[s->place_count++];
        *place = (survey_place){.partition = &t->partitions[i],
                                .low = WIRE_UNKNOWN,
                                .lso = WIRE_UNKNOWN,
                                .hw = WIRE_UNKNOWN,
                                .holder = -1,
                                .open_since_ms = -1};
        if (t->partitions[i].leader >= 0)
            s->by_leader[s->led_count++] = place;
    }
}

void survey_lay_out(survey *s)
{
    size_t total = 1;
    int topics = s->metadata.topic_count;
    if (topics)
        qsort(s->metadata.topics, (size_t)topics, sizeof *s->metadata.topics, by_name);
    for (int i = 0; i < topics; i++)
        total += (size_t)s->metadata.topics[i].count;
    s->all = mem_zero(total * sizeof *s->all);
    s->by_leader = mem_zero(total * sizeof *s->by_leader);
    s->places = mem_zero(((size_t)topics + 1) * sizeof *s->places);
    for (int i = 0; i < topics; i++)
        add_topic(s, i);
    qsort(s->by_leader, (size_t)s->led_count, sizeof *s->by_leader, by_leader);
}

/* ---- step by step: what is asked depends on what was said before ---- */

typedef void (*survey_step)(survey *s, errands *all);

static rl_err *go(survey *s, wire_cluster *cluster, const wire_call *call, survey_step step)
{
    errands all = {0};
    step(s, &all);
    return errands_run(&all, cluster, call);
}

static rl_err *ask_all(survey *s, wire_cluster *cluster, const wire_call *call, bool groups)
{
    /* What was committed is asked for before the ends, so that no lag is less than none; who holds
     * an end back before the transactions, so that one which has begun since is not looked for. */
    static const survey_step steps[] = {
        survey_ask_groups,    survey_ask_committed, survey_ask_members, survey_ask_offsets,
        survey_ask_producers, survey_ask_txns,      survey_ask_starts};
    size_t first = groups ? 0 : 3, end = groups ? sizeof steps / sizeof *steps : 4;
    rl_err *err = NULL;
    for (size_t i = first; i < end && !err; i++)
        err = go(s, cluster, call, steps[i]);
    survey_join_txns(s);
    return err;
}

rl_err *survey_take(wire_cluster *cluster, const wire_call *call, bool groups, survey *s)
{
    *s = (survey){0};
    rl_err *err = wire_metadata_get(cluster, call, WIRE_ANY, NULL, 0, &s->metadata);
    if (err)
        return err;
    survey_lay_out(s);
    err = ask_all(s, cluster, call, groups);
    if (err)
        survey_free(s);
    return err;
}

void survey_free(survey *s)
{
    for (int i = 0; i < s->failure_count; i++)
        err_free(s->failures[i].err);
    for (int i = 0; i < s->txn_count; i++)
        free(s->txns[i].id);
    survey_free_groups(s);
    free(s->failures);
    free(s->txns);
    free(s->places);
    free(s->by_leader);
    free(s->all);
    wire_metadata_free(&s->metadata);
    *s = (survey){0};
}
