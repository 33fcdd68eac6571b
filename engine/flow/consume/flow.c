#include "flow/consume/flow.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/cond.h"
#include "flow/consume/internal.h"

enum { POLL_MS = 100, POLL_MAX = 256, QUIET_MS = 10000, COMMIT_MS = 3000 };
enum { REOPEN_MIN_MS = 500, REOPEN_MAX_MS = 16000, CALM_MS = 10000 };

/* ---- options ---- */

static const char *own_text(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

static void own_texts(flow_consume_opts *opts)
{
    opts->topic = own_text(opts->topic);
    opts->consumer_name = own_text(opts->consumer_name);
    opts->member = own_text(opts->member);
    opts->dlq = own_text(opts->dlq);
    opts->amount = own_text(opts->amount);
    opts->cache_prefix = own_text(opts->cache_prefix ? opts->cache_prefix : "");
    for (int i = 0; i < opts->ndelays; i++)
        opts->delays[i].topic = own_text(opts->delays[i].topic);
}

static void free_texts(flow_consume_opts *opts)
{
    const char *texts[] = {opts->topic, opts->consumer_name, opts->member,
                           opts->dlq,   opts->cache_prefix,  opts->amount};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free((char *)texts[i]);
    for (int i = 0; i < opts->ndelays; i++)
        free((char *)opts->delays[i].topic);
}

/* ---- workers ---- */

static void serve_part(consume_worker *w, consume_part *part)
{
    int n;
    if (part->must_seek && !consume_offset_seek(w, part))
        return;
    if (!consume_may_begin(&part->permit))
        return;
    consume_item *items = consume_part_batch(part, &n);
    int64_t eof = atomic_load(&part->eof);
    if (n == 0) {
        if (part->head == part->nheld && eof > atomic_load(&part->position))
            consume_offset_after(w, part, NULL, eof);
        return;
    }
    int done = consume_work(w, part, items, n);
    if (done)
        consume_offset_after(w, part, items[done - 1].msg, items[done - 1].msg->offset + 1);
    consume_part_advance(part, done);
    if (done < n)
        consume_part_rewind(part);
}

static void serve_parts(consume_worker *w)
{
    consume_part *part = consume_part_take(w);
    if (!part)
        return;
    serve_part(w, part);
    consume_part_give_back(w, part);
}

static void serve_shared(consume_worker *w)
{
    consume_item item;
    if (!consume_shared_take(w->consume, &item))
        return;
    consume_count(w, CONSUME_N_polled, 1);
    consume_work(w, item.part, &item, 1);
    consume_shared_done(w, &item);
}

static void consume_worker_main(void *arg)
{
    consume_worker *w = arg;
    bool shared = consume_is_shared(w->consume);
    consume_db(w, &w->permit);
    while (consume_may_repeat(&w->permit))
        (shared ? serve_shared : serve_parts)(w);
    atomic_fetch_sub(&w->consume->working, 1);
}

/* ---- the poller ---- */

static void consume_on_rebalance(void *arg, kafka_consumer *consumer, const kafka_rebalance *what)
{
    flow_consume *consume = arg;
    (void)consumer;
    if (what->type == KAFKA_ASSIGN)
        consume_parts_add(consume, what->partitions);
    else
        consume_parts_remove(consume, what->partitions);
}

static void report_rebalances(flow_consume *consume, flow_counters *count)
{
    static const char *const words[] = {"assigned", "revoked", "lost", "commit-failed"};
    kafka_rebalance *list = kafka_consumer_events(consume->consumer);
    for (kafka_rebalance *rebalance = list; rebalance; rebalance = rebalance->next) {
        for (int i = 0; i < rebalance->partitions->cnt; i++) {
            const rd_kafka_topic_partition_t *place = &rebalance->partitions->elems[i];
            flow_field fields[] = {{"topic", place->topic, 0},
                                   {"partition", NULL, place->partition},
                                   {"generation", NULL, rebalance->generation}};
            flow_emit(&consume->flow, words[rebalance->type], NULL, fields, 3);
        }
        if (rebalance->type == KAFKA_COMMIT_ERROR)
            continue;
        flow_add(count, rebalance->type == KAFKA_ASSIGN ? CONSUME_N_assigned : CONSUME_N_revoked,
                 rebalance->partitions->cnt);
        flow_add(count, CONSUME_N_rebalances, 1);
    }
    kafka_rebalance_free(list);
}

/* librdkafka reports the same error on each of many connections and attempts: of one code, one in a
 * while is enough. */
static bool is_news(flow_consume *consume, const rl_err *err)
{
    int64_t now = clock_ms();
    for (int i = 0; i < CONSUME_QUIET; i++)
        if (consume->quiet[i].code == err->code && consume->quiet[i].until > now)
            return false;
    consume->quiet[consume->next_quiet] = (consume_quiet){err->code, now + QUIET_MS};
    consume->next_quiet = (consume->next_quiet + 1) % CONSUME_QUIET;
    return true;
}

static void report_errors(flow_consume *consume)
{
    kafka_note *notes = mem_alloc(KAFKA_NOTES_MAX * sizeof *notes);
    int n = kafka_notes_take(kafka_consumer_notes(consume->consumer), notes);
    for (int i = 0; i < n; i++) {
        if (is_news(consume, notes[i].err))
            flow_emit(&consume->flow, "kafka-error", notes[i].err, NULL, 0);
        else
            err_free(notes[i].err);
    }
    free(notes);
}

static void poll_once(flow_consume *consume)
{
    kafka_batch batch;
    rl_err *err =
        kafka_consumer_poll(consume->consumer, POLL_MAX, POLL_MS, &consume->poll_stop, &batch);
    if (err) {
        flow_emit(&consume->flow, "kafka-error", err, NULL, 0);
        return;
    }
    if (consume_is_shared(consume))
        consume_shared_put(consume, &batch);
    kafka_batch_free(&batch);
}

static void consume_subscribe(flow_consume *consume)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(4);
    rd_kafka_topic_partition_list_add(topics, consume->opts.topic, RD_KAFKA_PARTITION_UA);
    for (int i = 0; i < consume->opts.ndelays && !consume->opts.sleep_retry; i++)
        if (!rd_kafka_topic_partition_list_find(topics, consume->opts.delays[i].topic,
                                                RD_KAFKA_PARTITION_UA))
            rd_kafka_topic_partition_list_add(topics, consume->opts.delays[i].topic,
                                              RD_KAFKA_PARTITION_UA);
    rl_err *err = kafka_consumer_subscribe(consume->consumer, topics);
    if (err)
        flow_emit(&consume->flow, "kafka-error", err, NULL, 0);
    rd_kafka_topic_partition_list_destroy(topics);
}

/* What is stored is committed while the group is still ours. */
static void leave_group(flow_consume *consume)
{
    consume_shared_clear(consume);
    consume_parts_clear(consume);
    if (consume->opts.commit == CONSUME_AFTER_WORK || consume_is_shared(consume))
        err_free(kafka_consumer_commit(consume->consumer, NULL, COMMIT_MS, NULL));
    kafka_consumer_close(consume->consumer);
    consume->consumer = NULL;
}

/* ---- a client that is dead ---- */

static rl_err *open_client(flow_consume *consume)
{
    kafka_consumer *consumer = NULL;
    rl_err *err = kafka_consumer_open(rd_kafka_conf_dup(consume->conf), consume_on_rebalance,
                                      consume, &consumer);
    if (!err)
        consume->consumer = consumer;
    return err;
}

static bool is_dead(const flow_consume *consume)
{
    return rd_kafka_fatal_error(kafka_consumer_rk(consume->consumer), NULL, 0) != 0;
}

static void remove_all_parts(flow_consume *consume)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    pthread_mutex_lock(&consume->lock);
    for (int i = 0; i < consume->nall; i++)
        rd_kafka_topic_partition_list_add(list, consume->all[i]->topic, consume->all[i]->partition);
    pthread_mutex_unlock(&consume->lock);
    consume_parts_remove(consume, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* The first one at once; each that follows soon waits twice as long, as two members of one name
 * would shut each other out for ever. */
static bool may_replace(flow_consume *consume)
{
    int64_t now = clock_ms();
    if (now < consume->next_client)
        return false;
    bool soon = consume->next_client && now < consume->next_client + CALM_MS;
    consume->client_pause =
        soon && consume->client_pause ? consume->client_pause * 2 : REOPEN_MIN_MS;
    if (consume->client_pause > REOPEN_MAX_MS)
        consume->client_pause = REOPEN_MAX_MS;
    consume->next_client = now + consume->client_pause;
    return true;
}

/* A client that the group has shut out (a static member is, when a commit of its lost session
 * comes late) never joins again: another takes its place. Workers and the probe may still look
 * at the dead one, so it is kept until they have ended. */
static void replace_client(flow_consume *consume)
{
    kafka_consumer *dead = consume->consumer;
    remove_all_parts(consume);
    if (!may_replace(consume)) {
        flow_sleep(&consume->flow, POLL_MS / 1e3);
        return;
    }
    rl_err *err = open_client(consume);
    if (!err) {
        consume->dead =
            mem_grow(consume->dead, (size_t)(consume->ndead + 1) * sizeof(kafka_consumer *));
        consume->dead[consume->ndead++] = dead;
        consume_subscribe(consume);
    }
    flow_emit(&consume->flow, "reopened", err, NULL, 0);
}

static void close_dead(flow_consume *consume)
{
    for (int i = 0; i < consume->ndead; i++) {
        kafka_consumer_close_within(consume->dead[i], 0);
        kafka_consumer_close(consume->dead[i]);
    }
    free(consume->dead);
    consume->dead = NULL;
    consume->ndead = 0;
}

static void consume_poller_main(void *arg)
{
    flow_consume *consume = arg;
    flow_counters *count = flow_counters_new(&consume->flow, CONSUME_N);
    consume_subscribe(consume);
    while (!flow_stopping(&consume->flow) || atomic_load(&consume->working) > 0) {
        poll_once(consume);
        report_rebalances(consume, count);
        report_errors(consume);
        if (is_dead(consume) && !flow_stopping(&consume->flow))
            replace_client(consume);
    }
    leave_group(consume);
}

/* ---- life ---- */

static void consume_interrupt(rl_flow *flow)
{
    flow_consume *consume = (flow_consume *)flow;
    consume_payload_stop(consume);
    my_conn_cancel(consume->probe_db);
    if (consume->probe_redis)
        keyspace_cancel(consume->probe_redis);
    for (int i = 0; i < consume->opts.workers; i++) {
        my_conn_cancel(consume->workers[i].db);
        keyspace_cancel(consume->workers[i].redis);
    }
    pthread_mutex_lock(&consume->lock);
    pthread_cond_broadcast(&consume->ask_change);
    pthread_mutex_unlock(&consume->lock);
}

static void consume_worker_open(flow_consume *consume, int i)
{
    consume_worker *w = &consume->workers[i];
    w->consume = consume;
    w->permit.flow = &consume->flow;
    w->index = i;
    w->db = my_conn_new(&consume->opts.mysql);
    w->redis = keyspace_new(&consume->opts.redis, consume->cluster);
    w->count = flow_counters_new(&consume->flow, CONSUME_N);
    for (int h = 0; h < CONSUME_H; h++)
        flow_hdr_open(&w->hist[h]);
    pthread_mutex_init(&w->lock, NULL);
    cond_init(&w->change);
    if (i == 0) {
        cond_init(&consume->shared.change);
        cond_init(&consume->ask_change);
    }
    rng_init(&w->rng, consume->opts.seed + (uint64_t)i);
}

static void consume_worker_close(consume_worker *w)
{
    if (w->producer)
        kafka_producer_close(w->producer);
    my_conn_free(w->db);
    keyspace_free(w->redis);
    for (int h = 0; h < CONSUME_H; h++)
        flow_hdr_close(&w->hist[h]);
    consume_sums_free(&w->sums);
    buf_free(&w->sql);
    buf_free(&w->json);
    pthread_cond_destroy(&w->change);
    pthread_mutex_destroy(&w->lock);
}

static void consume_free(flow_consume *consume)
{
    for (int i = 0; i < consume->opts.workers; i++)
        consume_worker_close(&consume->workers[i]);
    if (consume->consumer)
        kafka_consumer_close(consume->consumer);
    close_dead(consume);
    rd_kafka_conf_destroy(consume->conf);
    consume_probe_close(consume);
    consume_payload_close(consume);
    rd_kafka_conf_destroy(consume->opts.producer);
    free_texts(&consume->opts);
    cluster_free(consume->cluster);
    free(consume->workers);
    free(consume->all);
    pthread_cond_destroy(&consume->ask_change);
    pthread_cond_destroy(&consume->shared.change);
    pthread_mutex_destroy(&consume->shared.lock);
    pthread_mutex_destroy(&consume->lock);
    free(consume);
}

static rl_err *consume_start(flow_consume *consume)
{
    rl_err *err = NULL;
    for (int i = 0; !err && i < consume->opts.workers; i++) {
        err = flow_start(&consume->flow, "consume-work", consume_worker_main, &consume->workers[i]);
        if (!err)
            atomic_fetch_add(&consume->working, 1);
    }
    if (!err)
        err = flow_start(&consume->flow, "consume-probe", consume_probe, consume);
    if (!err)
        atomic_fetch_add(&consume->working, 1);
    return err ? err : flow_start(&consume->flow, "consume-poll", consume_poller_main, consume);
}

/* The binding has checked what the user wrote. */
static void assert_opts(const flow_consume_opts *opts)
{
    rl_assert(opts->topic && opts->consumer_name && opts->member);
    rl_assert(opts->workers >= 1 && opts->workers <= CONSUME_WORKERS_MAX);
    rl_assert(opts->batch >= 1 && opts->batch <= opts->fetch && opts->fetch <= CONSUME_BATCH_MAX);
    rl_assert(opts->ndelays >= 0 && opts->ndelays <= CONSUME_DELAYS_MAX && opts->tries >= 1);
    for (int i = 0; i < opts->ndelays; i++)
        rl_assert(opts->delays[i].topic && opts->delays[i].seconds >= 0);
}

rl_err *flow_consume_open(flow_consume_opts *opts, flow_consume **out)
{
    assert_opts(opts);
    flow_consume *consume = mem_zero(sizeof *consume);
    consume->opts = *opts;
    own_texts(&consume->opts);
    flow_init(&consume->flow);
    consume->flow.interrupt = consume_interrupt;
    pthread_mutex_init(&consume->lock, NULL);
    pthread_mutex_init(&consume->shared.lock, NULL);
    consume->cluster = keyspace_cluster(&consume->opts.redis, consume->opts.workers);
    consume->workers = mem_zero((size_t)consume->opts.workers * sizeof *consume->workers);
    for (int i = 0; i < consume->opts.workers; i++)
        consume_worker_open(consume, i);
    consume_probe_open(consume);
    kafka_conf_value(opts->consumer, "group.id", consume->group, sizeof consume->group);
    consume->conf = opts->consumer;
    rl_err *err = consume_payload_open(consume);
    if (!err)
        err = open_client(consume);
    if (!err)
        err = consume_start(consume);
    if (!err) {
        *out = consume;
        return NULL;
    }
    flow_consume_close(consume, 5);
    return err;
}

rl_flow *flow_consume_flow(flow_consume *consume)
{
    return &consume->flow;
}

bool flow_consume_close(flow_consume *consume, double seconds)
{
    if (!flow_close(&consume->flow, seconds))
        return false;
    consume_free(consume);
    return true;
}

/* ---- figures ---- */

static int64_t lag_of(const flow_consume *consume, const consume_part *part, int64_t position)
{
    int64_t low, high;
    if (position >= 0 && position == atomic_load(&part->eof))
        return 0;
    if (!consume->consumer ||
        rd_kafka_get_watermark_offsets(kafka_consumer_rk(consume->consumer), part->topic,
                                       part->partition, &low, &high))
        return -1;
    return consume_offsets_left(position, low, high);
}

static void describe_part(const flow_consume *consume, const consume_part *part,
                          flow_consume_partition *out)
{
    int64_t wake = atomic_load(&part->wake_ns), now = clock_ns();
    snprintf(out->topic, sizeof out->topic, "%s", part->topic);
    out->partition = part->partition;
    out->position = atomic_load(&part->position);
    out->lag = lag_of(consume, part, out->position);
    out->waits = wake > now ? (double)(wake - now) / 1e9 : 0;
}

int flow_consume_partitions(flow_consume *consume, flow_consume_partition *out, int max)
{
    pthread_mutex_lock(&consume->lock);
    int n = consume->nall;
    for (int i = 0; i < n && i < max; i++)
        describe_part(consume, consume->all[i], &out[i]);
    pthread_mutex_unlock(&consume->lock);
    return n;
}

void flow_consume_hist_add_to(flow_consume *consume, flow_consume_hist which,
                              struct hdr_histogram *sum)
{
    for (int i = 0; i < consume->opts.workers; i++)
        flow_hdr_add_to(&consume->workers[i].hist[which], sum);
}
