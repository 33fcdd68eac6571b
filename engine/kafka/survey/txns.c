#include <stdlib.h>
#include <string.h>

#include "kafka/survey/errand.h"

#define LIST_VERSION 0
#define DESCRIBE_VERSION 0
#define TXNS_AT_ONCE 1000

/* ---- ListTransactions: the open ones, from each coordinator, if there is anything to explain ---- */

static void write_list(frame_writer *w, const void *unused)
{
    static const char *const open_states[] = {"Ongoing", "PrepareCommit", "PrepareAbort"};
    (void)unused;
    frame_put_array(w, 3);
    for (int i = 0; i < 3; i++)
        frame_put_str(w, open_states[i]);
    frame_put_array(w, 0); /* of any producer id */
    frame_put_tags(w);
}

static rl_err *take_list(frame_reader *r, const errand *e)
{
    survey *s = e->survey;
    wire_txns txns = {0};
    rl_err *err = wire_txns_parse(r, e->broker, &txns);
    if (!err && txns.count)
        s->txns = mem_grow(s->txns, (size_t)(s->txn_count + txns.count) * sizeof *s->txns);
    for (int i = 0; !err && i < txns.count; i++) {
        wire_txn *t = &txns.txns[i];
        s->txns[s->txn_count++] = (survey_txn){
            .coordinator = e->broker, .producer_id = t->producer_id, .start_ms = -1, .id = t->id};
        t->id = NULL;
    }
    wire_txns_free(&txns);
    return err;
}

void survey_ask_txns(survey *s, errands *all)
{
    for (int i = 0; s->led_count && i < s->metadata.node_count; i++)
        errands_add(all, &(errand){.broker = s->metadata.nodes[i].id,
                                   .api = FRAME_LIST_TRANSACTIONS,
                                   .version = LIST_VERSION,
                                   .write = write_list,
                                   .take = take_list,
                                   .survey = s});
}

/* ---- DescribeTransactions: since when ---- */

static void write_ids(frame_writer *w, const void *arg)
{
    const errand *e = arg;
    frame_put_array(w, e->count);
    for (int i = e->from; i < e->from + e->count; i++)
        frame_put_str(w, e->survey->txns[i].id);
    frame_put_tags(w);
}

static void skip_topics(frame_reader *r)
{
    for (int32_t topics = frame_array(r); topics > 0 && !r->bad; topics--) {
        frame_str(r);
        for (int32_t n = frame_array(r); n > 0 && !r->bad; n--)
            frame_i32(r);
        frame_tags(r);
    }
}

/* One that has ended since it was listed has no start any more. */
static void read_start(frame_reader *r, const errand *e)
{
    int code = frame_i16(r);
    frame_str(r); /* id */
    frame_str(r); /* state */
    frame_i32(r); /* timeout */
    int64_t start_ms = frame_i64(r), producer_id = frame_i64(r);
    frame_i16(r); /* epoch */
    skip_topics(r);
    frame_tags(r);
    for (int i = e->from; !r->bad && !code && i < e->from + e->count; i++)
        if (e->survey->txns[i].producer_id == producer_id)
            e->survey->txns[i].start_ms = start_ms;
}

static rl_err *take_starts(frame_reader *r, const errand *e)
{
    frame_i32(r); /* throttle time */
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--)
        read_start(r, e);
    frame_tags(r);
    return frame_end(r, "DescribeTransactions response");
}

void survey_ask_starts(survey *s, errands *all)
{
    for (int from = 0, end; from < s->txn_count; from = end) {
        for (end = from; end < s->txn_count && end - from < TXNS_AT_ONCE &&
                         s->txns[end].coordinator == s->txns[from].coordinator;)
            end++;
        errands_add(all, &(errand){.broker = s->txns[from].coordinator,
                                   .api = FRAME_DESCRIBE_TRANSACTIONS,
                                   .version = DESCRIBE_VERSION,
                                   .write = write_ids,
                                   .take = take_starts,
                                   .survey = s,
                                   .from = from,
                                   .count = end - from});
    }
}

static int by_producer(const void *a, const void *b)
{
    int64_t p = ((const survey_txn *)a)->producer_id, q = ((const survey_txn *)b)->producer_id;
    return (p > q) - (p < q);
}

void survey_join_txns(survey *s)
{
    if (!s->txn_count)
        return;
    qsort(s->txns, (size_t)s->txn_count, sizeof *s->txns, by_producer);
    for (int i = 0; i < s->led_count; i++) {
        survey_txn want = {.producer_id = s->by_leader[i]->holder};
        const survey_txn *t =
            bsearch(&want, s->txns, (size_t)s->txn_count, sizeof *s->txns, by_producer);
        if (t)
            s->by_leader[i]->open_since_ms = t->start_ms;
    }
}
