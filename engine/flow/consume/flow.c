#include "flow/consume/flow.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flow/consume/internal.h"

enum { POLL_MS = 100, POLL_MAX = 256, QUIET_MS = 10000, COMMIT_MS = 3000 };
enum { REOPEN_MIN_MS = 500, REOPEN_MAX_MS = 16000, CALM_MS = 10000 };

/* ---- options ---- */

static const char *own(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

static void own_texts(consume_opts *o)
{
    o->topic = own(o->topic);
    o->consumer_name = own(o->consumer_name);
    o->member = own(o->member);
    o->dlq = own(o->dlq);
    o->cache_prefix = own(o->cache_prefix ? o->cache_prefix : "");
    for (int i = 0; i < o->ndelays; i++)
        o->delays[i].topic = own(o->delays[i].topic);
}

static void free_texts(consume_opts *o)
{
    const char *texts[] = {o->topic, o->consumer_name, o->member, o->dlq, o->cache_prefix};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free((char *)texts[i]);
    for (int i = 0; i < o->ndelays; i++)
        free((char *)o->delays[i].topic);
}

/* ---- workers ---- */

static void serve(consume_worker *w, consume_lane *lane)
{
    int n;
    if (lane->must_seek && !consume_offset_seek(w, lane))
        return;
    if (consume_lane_drops(lane))
        return;
    consume_item *items = consume_lane_batch(lane, &n);
    int64_t eof = atomic_load(&lane->eof);
    if (n == 0) {
        if (lane->head == lane->nheld && eof > atomic_load(&lane->position))
            consume_offset_after(w, lane, NULL, eof);
        return;
    }
    int done = consume_work(w, lane, items, n);
    if (done)
        consume_offset_after(w, lane, items[done - 1].msg, items[done - 1].msg->offset + 1);
    consume_lane_advance(lane, done);
    if (done < n)
        consume_lane_rewind(lane);
}

static void serve_lanes(consume_worker *w)
{
    consume_lane *lane = consume_lane_take(w);
    if (!lane)
        return;
    serve(w, lane);
    consume_lane_give_back(w, lane);
}

static void serve_pool(consume_worker *w)
{
    consume_item item;
    if (!consume_pool_take(w->c, &item))
        return;
    consume_count(w, CONSUME_N_polled, 1);
    consume_work(w, item.lane, &item, 1);
    consume_pool_done(w, &item);
}

static void worker_main(void *arg)
{
    consume_worker *w = arg;
    bool pools = consume_pools(w->c);
    consume_db(w, NULL);
    while (!flow_stopping(&w->c->flow))
        (pools ? serve_pool : serve_lanes)(w);
    atomic_fetch_sub(&w->c->working, 1);
}

/* ---- the poller ---- */

static void on_rebalance(void *arg, kafka_consumer *consumer, const kafka_rebalance *what)
{
    consume *c = arg;
    (void)consumer;
    if (what->type == KAFKA_ASSIGN)
        consume_lanes_add(c, what->partitions);
    else
        consume_lanes_remove(c, what->partitions);
}

static void tell_rebalances(consume *c, flow_counters *count)
{
    static const char *const words[] = {"assigned", "revoked", "lost", "commit-failed"};
    kafka_rebalance *list = kafka_consumer_events(c->consumer);
    for (kafka_rebalance *e = list; e; e = e->next) {
        for (int i = 0; i < e->partitions->cnt; i++) {
            const rd_kafka_topic_partition_t *part = &e->partitions->elems[i];
            flow_field fields[] = {{"topic", part->topic, 0},
                                   {"partition", NULL, part->partition},
                                   {"generation", NULL, e->generation}};
            flow_emit(&c->flow, words[e->type], NULL, fields, 3);
        }
        if (e->type != KAFKA_COMMIT_ERROR)
            flow_add(count, e->type == KAFKA_ASSIGN ? CONSUME_N_assigned : CONSUME_N_revoked,
                     e->partitions->cnt);
    }
    kafka_rebalance_free(list);
}

/* librdkafka says the same on each of many connections and attempts: of one kind, one in a while
 * is enough. */
static bool is_news(consume *c, const rl_err *err)
{
    int64_t now = clock_ms();
    for (int i = 0; i < CONSUME_TOLD; i++)
        if (c->told[i].code == err->code && c->told[i].until > now)
            return false;
    c->told[c->next_told] = (consume_told){err->code, now + QUIET_MS};
    c->next_told = (c->next_told + 1) % CONSUME_TOLD;
    return true;
}

static void tell_errors(consume *c)
{
    kafka_note *notes = mem_alloc(KAFKA_NOTES_MAX * sizeof *notes);
    int n = kafka_notes_take(kafka_consumer_notes(c->consumer), notes);
    for (int i = 0; i < n; i++) {
        if (is_news(c, notes[i].err))
            flow_emit(&c->flow, "kafka-error", notes[i].err, NULL, 0);
        else
            err_free(notes[i].err);
    }
    free(notes);
}

static void poll_once(consume *c)
{
    kafka_batch batch;
    rl_err *err = kafka_consumer_poll(c->consumer, POLL_MAX, POLL_MS, &c->poll_stop, &batch);
    if (err) {
        flow_emit(&c->flow, "kafka-error", err, NULL, 0);
        return;
    }
    if (consume_pools(c))
        consume_pool_put(c, &batch);
    kafka_batch_free(&batch);
}

static void subscribe(consume *c)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(4);
    rd_kafka_topic_partition_list_add(topics, c->o.topic, RD_KAFKA_PARTITION_UA);
    for (int i = 0; i < c->o.ndelays && !c->o.sleep_retry; i++)
        if (!rd_kafka_topic_partition_list_find(topics, c->o.delays[i].topic,
                                                RD_KAFKA_PARTITION_UA))
            rd_kafka_topic_partition_list_add(topics, c->o.delays[i].topic, RD_KAFKA_PARTITION_UA);
    rl_err *err = kafka_consumer_subscribe(c->consumer, topics);
    if (err)
        flow_emit(&c->flow, "kafka-error", err, NULL, 0);
    rd_kafka_topic_partition_list_destroy(topics);
}

/* What is stored is committed while the group is still ours. */
static void leave(consume *c)
{
    consume_pool_clear(c);
    consume_lanes_clear(c);
    if (c->o.commit == CONSUME_AFTER_WORK || consume_pools(c))
        err_free(kafka_consumer_commit(c->consumer, NULL, COMMIT_MS, NULL));
    kafka_consumer_close(c->consumer);
    c->consumer = NULL;
}

/* ---- a client that is dead ---- */

static rl_err *open_client(consume *c)
{
    kafka_consumer *consumer = NULL;
    rl_err *err = kafka_consumer_open(rd_kafka_conf_dup(c->conf), on_rebalance, c, &consumer);
    if (!err)
        c->consumer = consumer;
    return err;
}

static bool is_dead(const consume *c)
{
    return rd_kafka_fatal_error(kafka_consumer_rk(c->consumer), NULL, 0) != 0;
}

static void remove_all(consume *c)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < c->nall; i++)
        rd_kafka_topic_partition_list_add(list, c->all[i]->topic, c->all[i]->partition);
    pthread_mutex_unlock(&c->lock);
    consume_lanes_remove(c, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* The first one at once; each that follows soon waits twice as long, as two members of one name
 * would shut each other out for ever. */
static bool may_replace(consume *c)
{
    int64_t now = clock_ms();
    if (now < c->next_client)
        return false;
    bool soon = c->next_client && now < c->next_client + CALM_MS;
    c->client_pause = soon && c->client_pause ? c->client_pause * 2 : REOPEN_MIN_MS;
    if (c->client_pause > REOPEN_MAX_MS)
        c->client_pause = REOPEN_MAX_MS;
    c->next_client = now + c->client_pause;
    return true;
}

/* A client that the group has shut out (a static member is, when a commit of its lost session
 * comes late) never joins again: another takes its place. Workers and the probe may still look
 * at the dead one, so it is kept until they have ended. */
static void replace(consume *c)
{
    kafka_consumer *dead = c->consumer;
    remove_all(c);
    if (!may_replace(c)) {
        flow_sleep(&c->flow, POLL_MS / 1e3);
        return;
    }
    rl_err *err = open_client(c);
    if (!err) {
        c->dead = mem_grow(c->dead, (size_t)(c->ndead + 1) * sizeof(kafka_consumer *));
        c->dead[c->ndead++] = dead;
        subscribe(c);
    }
    flow_emit(&c->flow, "reopened", err, NULL, 0);
}

static void bury(consume *c)
{
    for (int i = 0; i < c->ndead; i++) {
        kafka_consumer_close_within(c->dead[i], 0);
        kafka_consumer_close(c->dead[i]);
    }
    free(c->dead);
    c->dead = NULL;
    c->ndead = 0;
}

static void poller_main(void *arg)
{
    consume *c = arg;
    flow_counters *count = flow_counters_new(&c->flow, CONSUME_N);
    subscribe(c);
    while (!flow_stopping(&c->flow) || atomic_load(&c->working) > 0) {
        poll_once(c);
        tell_rebalances(c, count);
        tell_errors(c);
        if (is_dead(c) && !flow_stopping(&c->flow))
            replace(c);
    }
    leave(c);
}

/* ---- life ---- */

static void interrupt(rl_flow *flow)
{
    consume *c = (consume *)flow;
    my_conn_cancel(c->probe_db);
    if (c->probe_redis)
        redisc_cancel(c->probe_redis);
    for (int i = 0; i < c->o.workers; i++) {
        my_conn_cancel(c->workers[i].db);
        redisc_cancel(c->workers[i].redis);
    }
    pthread_mutex_lock(&c->lock);
    pthread_cond_broadcast(&c->ask_change);
    pthread_mutex_unlock(&c->lock);
}

static void worker_open(consume *c, int i)
{
    consume_worker *w = &c->workers[i];
    pthread_condattr_t attr;
    w->c = c;
    w->index = i;
    w->db = my_conn_new(&c->o.mysql);
    w->redis = redisc_new(&c->o.redis);
    w->count = flow_counters_new(&c->flow, CONSUME_N);
    for (int h = 0; h < CONSUME_H; h++)
        flow_hdr_open(&w->hist[h]);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->change, &attr);
    if (i == 0) {
        pthread_cond_init(&c->pool.change, &attr);
        pthread_cond_init(&c->ask_change, &attr);
    }
    pthread_condattr_destroy(&attr);
    rng_init(&w->rng, c->o.seed + (uint64_t)i);
}

static void worker_close(consume_worker *w)
{
    if (w->producer)
        kafka_producer_close(w->producer);
    my_conn_free(w->db);
    redisc_free(w->redis);
    for (int h = 0; h < CONSUME_H; h++)
        flow_hdr_close(&w->hist[h]);
    consume_sums_free(&w->sums);
    buf_free(&w->sql);
    pthread_cond_destroy(&w->change);
    pthread_mutex_destroy(&w->lock);
}

static void free_all(consume *c)
{
    for (int i = 0; i < c->o.workers; i++)
        worker_close(&c->workers[i]);
    if (c->consumer)
        kafka_consumer_close(c->consumer);
    bury(c);
    rd_kafka_conf_destroy(c->conf);
    consume_probe_close(c);
    rd_kafka_conf_destroy(c->o.producer);
    free_texts(&c->o);
    free(c->workers);
    free(c->all);
    pthread_cond_destroy(&c->ask_change);
    pthread_cond_destroy(&c->pool.change);
    pthread_mutex_destroy(&c->pool.lock);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static rl_err *start(consume *c)
{
    rl_err *err = NULL;
    for (int i = 0; !err && i < c->o.workers; i++) {
        err = flow_start(&c->flow, "consume-work", worker_main, &c->workers[i]);
        if (!err)
            atomic_fetch_add(&c->working, 1);
    }
    if (!err)
        err = flow_start(&c->flow, "consume-probe", consume_probe, c);
    if (!err)
        atomic_fetch_add(&c->working, 1);
    return err ? err : flow_start(&c->flow, "consume-poll", poller_main, c);
}

rl_err *consume_open(consume_opts *opts, consume **out)
{
    consume *c = mem_zero(sizeof *c);
    c->o = *opts;
    own_texts(&c->o);
    flow_init(&c->flow);
    c->flow.interrupt = interrupt;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->pool.lock, NULL);
    c->workers = mem_zero((size_t)c->o.workers * sizeof *c->workers);
    for (int i = 0; i < c->o.workers; i++)
        worker_open(c, i);
    consume_probe_open(c);
    kafka_conf_value(opts->consumer, "group.id", c->group, sizeof c->group);
    c->conf = opts->consumer;
    rl_err *err = open_client(c);
    if (!err)
        err = start(c);
    if (!err) {
        *out = c;
        return NULL;
    }
    consume_close(c, 5);
    return err;
}

rl_flow *consume_flow(consume *c)
{
    return &c->flow;
}

bool consume_close(consume *c, double seconds)
{
    if (!flow_close(&c->flow, seconds))
        return false;
    free_all(c);
    return true;
}

/* ---- figures ---- */

static int64_t lag_of(const consume *c, const consume_lane *lane, int64_t position)
{
    int64_t low, high;
    if (position >= 0 && position == atomic_load(&lane->eof))
        return 0;
    if (!c->consumer || rd_kafka_get_watermark_offsets(kafka_consumer_rk(c->consumer), lane->topic,
                                                       lane->partition, &low, &high))
        return -1;
    if (high < 0)
        return -1;
    return position < 0 ? high - low : high > position ? high - position : 0;
}

static void describe(const consume *c, const consume_lane *lane, consume_partition *out)
{
    int64_t wake = atomic_load(&lane->wake_ns), now = clock_ns();
    snprintf(out->topic, sizeof out->topic, "%s", lane->topic);
    out->partition = lane->partition;
    out->position = atomic_load(&lane->position);
    out->lag = lag_of(c, lane, out->position);
    out->waits = wake > now ? (double)(wake - now) / 1e9 : 0;
}

int consume_partitions(consume *c, consume_partition *out, int max)
{
    pthread_mutex_lock(&c->lock);
    int n = c->nall;
    for (int i = 0; i < n && i < max; i++)
        describe(c, c->all[i], &out[i]);
    pthread_mutex_unlock(&c->lock);
    return n;
}

void consume_hist_add_to(consume *c, consume_hist which, struct hdr_histogram *sum)
{
    for (int i = 0; i < c->o.workers; i++)
        flow_hdr_add_to(&c->workers[i].hist[which], sum);
}
