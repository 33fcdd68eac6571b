/* Lanes: what readers ask for while a batch is under way makes the next one, so that a busy lane
 * spends one round trip on many of them. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/cond.h"
#include "flow/cache/internal.h"

enum { BATCH_MAX = 512, RECONNECT_MS = 250 };

void cache_list_add(cache_list *list, cache_waiter *w)
{
    w->next = NULL;
    *(list->last ? &list->last->next : &list->first) = w;
    list->last = w;
    list->count++;
}

cache_waiter *cache_list_take(cache_list *list)
{
    cache_waiter *w = list->first;
    if (!w)
        return NULL;
    list->first = w->next;
    if (!list->first)
        list->last = NULL;
    list->count--;
    w->next = NULL;
    return w;
}

void cache_lanes_ask(flow_cache *cache, cache_lookup *lookup)
{
    unsigned n = atomic_fetch_add_explicit(&cache->next_lane, 1, memory_order_relaxed);
    cache_lane *lane = &cache->lanes[n % (unsigned)cache->opts.lanes];
    pthread_mutex_lock(&lane->lock);
    cache_list_add(&lane->queue, &lookup->waiter);
    bool wake = lane->asleep;
    lane->asleep = false;
    pthread_mutex_unlock(&lane->lock);
    if (wake)
        pthread_cond_signal(&lane->more);
}

/* Waits a while for work. Returns how many lookups were taken. */
static int take_batch(cache_lane *lane)
{
    rl_deadline until = deadline_in_ms(RECONNECT_MS);
    int n = 0;
    bool in_time = true;
    pthread_mutex_lock(&lane->lock);
    while (!lane->queue.first && in_time && !flow_stopping(&lane->cache->flow)) {
        lane->asleep = true;
        in_time = cond_wait_until(&lane->more, &lane->lock, until);
    }
    lane->asleep = false;
    for (cache_waiter *w; n < BATCH_MAX && (w = cache_list_take(&lane->queue)); n++)
        lane->batch[n] = (cache_lookup *)w;
    pthread_mutex_unlock(&lane->lock);
    return n;
}

static void write_batch(cache_lane *lane, int n)
{
    char key[CACHE_KEY_MAX];
    lane->pipe.count = 0;
    buf_reset(&lane->pipe.bytes);
    for (int i = 0; i < n; i++) {
        size_t len =
            cache_key(key, lane->cache->opts.prefix, CACHE_KEY_ACCOUNT, lane->batch[i]->account);
        redisc_pipe_begin(&lane->pipe, 2);
        redisc_pipe_arg(&lane->pipe, "HGETALL", 7);
        redisc_pipe_arg(&lane->pipe, key, len);
    }
}

static rl_err *run_once(cache_lane *lane, size_t *got)
{
    *got = 0;
    rl_err *err = redisc_broken(lane->conn) ? redisc_connect(lane->conn) : NULL;
    return err ? err : redisc_pipe_run(lane->conn, &lane->pipe, lane->replies, got);
}

/* A connection that lay idle while the server was restarted is lost at its next use: that alone
 * is no failure of the server. */
static rl_err *run_batch(cache_lane *lane, int n, size_t *got)
{
    bool fresh = redisc_broken(lane->conn) != NULL;
    write_batch(lane, n);
    rl_err *err = run_once(lane, got);
    if (fresh || *got || !err_is(err, RL_REDIS, "CONNECTION_LOST"))
        return err;
    err_free(err);
    return run_once(lane, got);
}

static void look_up(cache_lane *lane, int n)
{
    flow_cache *cache = lane->cache;
    size_t got = 0;
    if (cache_breaker_allow(&cache->redis_breaker, clock_ns())) {
        rl_err *err = run_batch(lane, n, &got);
        cache_count_up(cache, CACHE_N_REDIS_BATCHES, 1);
        cache_count_up(cache, CACHE_N_REDIS_LOOKUPS, (int64_t)got);
        if (err)
            cache_redis_bad(cache, err);
        else
            cache_redis_good(cache);
        err_free(err);
    }
    for (int i = 0; i < n; i++) {
        cache_judge(cache, lane->batch[i], (size_t)i < got ? lane->replies[i] : NULL, &lane->rng);
        if ((size_t)i < got)
            freeReplyObject(lane->replies[i]);
    }
}

/* An idle lane mends its connection by itself, so that health tells of the server and not of the
 * last reader. */
static void connect_idle(cache_lane *lane)
{
    rl_err *err = redisc_connect(lane->conn);
    if (err)
        flow_down(&lane->cache->flow, "redis", err);
    else
        flow_up(&lane->cache->flow, "redis");
    err_free(err);
}

static void lane_main(void *arg)
{
    cache_lane *lane = arg;
    rl_flow *flow = &lane->cache->flow;
    connect_idle(lane);
    for (;;) {
        int n = take_batch(lane);
        if (n > 0)
            look_up(lane, n);
        else if (flow_stopping(flow))
            return;
        else if (redisc_broken(lane->conn))
            connect_idle(lane);
    }
}

static void lane_open(flow_cache *cache, cache_lane *lane, int i)
{
    rl_rng rng;
    lane->cache = cache;
    pthread_mutex_init(&lane->lock, NULL);
    cond_init(&lane->more);
    lane->conn = redisc_new(&cache->opts.redis);
    lane->batch = mem_alloc(BATCH_MAX * sizeof *lane->batch);
    lane->replies = mem_alloc(BATCH_MAX * sizeof(redisReply *));
    rng_init(&rng, cache->opts.seed);
    rng_split(&rng, (const char *)&i, sizeof i, &lane->rng);
}

rl_err *cache_lanes_open(flow_cache *cache)
{
    cache->lanes = mem_zero((size_t)cache->opts.lanes * sizeof *cache->lanes);
    for (int i = 0; i < cache->opts.lanes; i++)
        lane_open(cache, &cache->lanes[i], i);
    for (int i = 0; i < cache->opts.lanes; i++) {
        rl_err *err = flow_start(&cache->flow, "cache-lane", lane_main, &cache->lanes[i]);
        if (err)
            return err;
    }
    return NULL;
}

void cache_lanes_wake(flow_cache *cache)
{
    for (int i = 0; i < cache->opts.lanes; i++) {
        pthread_mutex_lock(&cache->lanes[i].lock);
        pthread_cond_broadcast(&cache->lanes[i].more);
        pthread_mutex_unlock(&cache->lanes[i].lock);
    }
}

void cache_lanes_interrupt(flow_cache *cache)
{
    for (int i = 0; i < cache->opts.lanes; i++)
        redisc_cancel(cache->lanes[i].conn);
}

void cache_lanes_close(flow_cache *cache)
{
    for (int i = 0; i < cache->opts.lanes; i++) {
        cache_lane *lane = &cache->lanes[i];
        for (cache_waiter *w; (w = cache_list_take(&lane->queue));)
            cache_judge(cache, (cache_lookup *)w, NULL, &lane->rng);
        redisc_free(lane->conn);
        redisc_pipe_free(&lane->pipe);
        free(lane->batch);
        free(lane->replies);
        pthread_cond_destroy(&lane->more);
        pthread_mutex_destroy(&lane->lock);
    }
    free(cache->lanes);
}
