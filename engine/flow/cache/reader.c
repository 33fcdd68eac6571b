/* Lanes: what readers ask for while a batch is under way makes the next one, so that a busy reader
 * spends one round trip on many of them. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/cond.h"
#include "flow/cache/internal.h"

enum { BATCH_MAX = 512, RECONNECT_MS = 250 };

void cache_readers_ask(flow_cache *cache, cache_lookup *lookup)
{
    unsigned n = atomic_fetch_add_explicit(&cache->next_reader, 1, memory_order_relaxed);
    cache_reader *reader = &cache->readers[n % (unsigned)cache->opts.redis_readers];
    pthread_mutex_lock(&reader->lock);
    cache_list_add(&reader->queue, &lookup->waiter);
    bool wake = reader->asleep;
    reader->asleep = false;
    pthread_mutex_unlock(&reader->lock);
    if (wake)
        pthread_cond_signal(&reader->more);
}

/* Waits a while for work. Returns how many lookups were taken. */
static int take_batch(cache_reader *reader)
{
    rl_deadline until = deadline_in_ms(RECONNECT_MS);
    bool in_time = true;
    int n = 0;
    pthread_mutex_lock(&reader->lock);
    while (!reader->queue.first && in_time && !flow_stopping(&reader->cache->flow)) {
        reader->asleep = true;
        in_time = cond_wait_until(&reader->more, &reader->lock, until);
    }
    reader->asleep = false;
    for (cache_waiter *waiter; n < BATCH_MAX && (waiter = cache_list_take(&reader->queue)); n++)
        reader->batch[n] = (cache_lookup *)waiter;
    pthread_mutex_unlock(&reader->lock);
    return n;
}

static void write_batch(cache_reader *reader, int n)
{
    char key[CACHE_KEY_MAX];
    reader->pipe.count = 0;
    buf_reset(&reader->pipe.bytes);
    for (int i = 0; i < n; i++) {
        size_t len = cache_key(key, reader->cache->opts.prefix, CACHE_KEY_ACCOUNT,
                               reader->batch[i]->account);
        redisc_pipe_begin(&reader->pipe, 2);
        redisc_pipe_arg(&reader->pipe, "HGETALL", 7);
        redisc_pipe_arg(&reader->pipe, key, len);
    }
}

static rl_err *run_once(cache_reader *reader, size_t *got)
{
    *got = 0;
    rl_err *err = keyspace_connected(reader->redis) ? NULL : keyspace_connect(reader->redis);
    return err ? err : keyspace_run(reader->redis, &reader->pipe, reader->replies, got);
}

/* A connection that lay idle while the server was restarted is lost at its next use: that alone
 * is no failure of the server. */
static rl_err *run_batch(cache_reader *reader, int n, size_t *got)
{
    bool fresh = !keyspace_connected(reader->redis);
    write_batch(reader, n);
    rl_err *err = run_once(reader, got);
    if (fresh || *got || !err_is(err, RL_REDIS, "CONNECTION_LOST"))
        return err;
    err_free(err);
    return run_once(reader, got);
}

/* The first reply by which the server says that it cannot be asked just now; NULL: there is none. */
static rl_err *refusal_in(redisReply *const *replies, int n)
{
    for (int i = 0; i < n; i++)
        if (replies[i] && cache_is_refusal(replies[i]))
            return redisc_reply_err(replies[i]);
    return NULL;
}

/* Asks Redis for the batch. */
static void ask(cache_reader *reader, int n)
{
    flow_cache *cache = reader->cache;
    size_t got = 0;
    if (!cache_breaker_allow(&cache->redis_breaker, clock_ns()))
        return;
    rl_err *err = run_batch(reader, n, &got);
    rl_assert(got <= (size_t)n);
    if (!err)
        err = refusal_in(reader->replies, n);
    cache_count_up(cache, CACHE_N_REDIS_BATCHES, 1);
    cache_count_up(cache, CACHE_N_REDIS_LOOKUPS, (int64_t)got);
    if (err)
        cache_redis_bad(cache, err);
    else
        cache_redis_good(cache);
    err_free(err);
}

static void look_up(cache_reader *reader, int n)
{
    memset(reader->replies, 0, (size_t)n * sizeof *reader->replies);
    ask(reader, n);
    for (int i = 0; i < n; i++) {
        redisReply *reply = reader->replies[i];
        bool said = reply && !cache_is_refusal(reply);
        cache_judge(reader->cache, reader->batch[i], said ? reply : NULL, &reader->rng);
        freeReplyObject(reply);
    }
}

/* An idle reader mends its connection by itself, so that health shows the server and not the last
 * caller's luck. */
static void mend_idle(cache_reader *reader)
{
    rl_err *err = keyspace_check(reader->redis);
    if (err)
        flow_down(&reader->cache->flow, "redis", err);
    else
        flow_up(&reader->cache->flow, "redis");
    err_free(err);
}

static void reader_main(void *arg)
{
    cache_reader *reader = arg;
    rl_flow *flow = &reader->cache->flow;
    mend_idle(reader);
    for (;;) {
        int n = take_batch(reader);
        if (n > 0)
            look_up(reader, n);
        else if (flow_stopping(flow))
            return;
        else if (!keyspace_whole(reader->redis))
            mend_idle(reader);
    }
}

static void reader_open(flow_cache *cache, cache_reader *reader, int i)
{
    rl_rng rng;
    reader->cache = cache;
    pthread_mutex_init(&reader->lock, NULL);
    cond_init(&reader->more);
    reader->redis = keyspace_new(&cache->opts.redis, cache->cluster);
    reader->batch = mem_alloc(BATCH_MAX * sizeof *reader->batch);
    reader->replies = mem_alloc(BATCH_MAX * sizeof(redisReply *));
    rng_init(&rng, cache->opts.seed);
    rng_split(&rng, (const char *)&i, sizeof i, &reader->rng);
}

rl_err *cache_readers_open(flow_cache *cache)
{
    cache->readers = mem_zero((size_t)cache->opts.redis_readers * sizeof *cache->readers);
    for (int i = 0; i < cache->opts.redis_readers; i++)
        reader_open(cache, &cache->readers[i], i);
    for (int i = 0; i < cache->opts.redis_readers; i++) {
        rl_err *err = flow_start(&cache->flow, "cache-reader", reader_main, &cache->readers[i]);
        if (err)
            return err;
    }
    return NULL;
}

/* None when the cache could not be opened. */
static int reader_count(const flow_cache *cache)
{
    return cache->readers ? cache->opts.redis_readers : 0;
}

void cache_readers_wake(flow_cache *cache)
{
    for (int i = 0; i < reader_count(cache); i++) {
        pthread_mutex_lock(&cache->readers[i].lock);
        pthread_cond_broadcast(&cache->readers[i].more);
        pthread_mutex_unlock(&cache->readers[i].lock);
    }
}

void cache_readers_interrupt(flow_cache *cache)
{
    for (int i = 0; i < reader_count(cache); i++)
        keyspace_cancel(cache->readers[i].redis);
}

void cache_readers_close(flow_cache *cache)
{
    for (int i = 0; i < reader_count(cache); i++) {
        cache_reader *reader = &cache->readers[i];
        for (cache_waiter *waiter; (waiter = cache_list_take(&reader->queue));)
            cache_judge(cache, (cache_lookup *)waiter, NULL, &reader->rng);
        keyspace_free(reader->redis);
        redisc_pipe_free(&reader->pipe);
        free(reader->batch);
        free(reader->replies);
        pthread_cond_destroy(&reader->more);
        pthread_mutex_destroy(&reader->lock);
    }
    free(cache->readers);
}
