/* Lanes: what readers ask for while a batch is under way makes the next one, so that a busy reader
 * spends one round trip on many of them. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/cond.h"
#include "flow/cache/internal.h"

static rl_err *run_once(cache_reader *reader, size_t *got)
{
    *got = 0;
    rl_err *err = keyspace_connected(reader->redis) ? NULL : keyspace_connect(reader->redis);
    return err ? err : keyspace_run(reader->redis, &reader->pipe, reader->replies, got);
}

static bool was_lost(const cache_reader *reader, int n)
{
    bool lost = false;
    for (int i = 0; i < n; i++)
        lost = lost || reader->batch[i]->lost;
    return lost;
}

/* A connection that lay idle while the server was restarted is lost at its next use: that alone
 * is no failure of the server. */
static rl_err *run_batch(cache_reader *reader, int n, size_t *got)
{
    bool again = was_lost(reader, n), fresh = again || !keyspace_connected(reader->redis);
    cache_batch_write(&reader->pipe, reader->cache, reader->batch, n);
    rl_err *err = again ? keyspace_connect(reader->redis) : NULL;
    if (!err)
        err = run_once(reader, got);
    if (fresh || *got || !err_is(err, RL_REDIS, "CONNECTION_LOST"))
        return err;
    err_free(err);
    return run_once(reader, got);
}

static void look_up(cache_reader *reader, int n)
{
    flow_cache *cache = reader->cache;
    size_t got = 0;
    memset(reader->replies, 0, (size_t)n * sizeof *reader->replies);
    if (!cache_breaker_allow(&cache->redis_breaker, clock_ns())) {
        cache_batch_silent(cache, reader->batch, n, &reader->rng);
        return;
    }
    rl_err *err = run_batch(reader, n, &got);
    cache_batch_over(cache, reader->batch, reader->replies, n, got, err, &reader->rng);
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

static int reader_number(const cache_reader *reader)
{
    return (int)(reader - reader->cache->readers);
}

static void reader_main(void *arg)
{
    cache_reader *reader = arg;
    rl_flow *flow = &reader->cache->flow;
    mend_idle(reader);
    for (;;) {
        int n = cache_reader_take(reader);
        if (n > 0)
            look_up(reader, n);
        else if (flow_stopping(flow))
            break;
        else if (!keyspace_whole(reader->redis))
            mend_idle(reader);
        cache_lanes_serve(reader->cache, reader_number(reader), reader->redis);
    }
    cache_lanes_serve(reader->cache, reader_number(reader), NULL);
}

static void reader_open(flow_cache *cache, cache_reader *reader, int i)
{
    rl_rng rng;
    reader->cache = cache;
    pthread_mutex_init(&reader->lock, NULL);
    cond_init(&reader->more);
    reader->redis = keyspace_new(&cache->opts.redis, cache->cluster);
    reader->batch = mem_alloc(CACHE_BATCH_MAX * sizeof *reader->batch);
    reader->replies = mem_alloc(CACHE_BATCH_MAX * sizeof(redisReply *));
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

void cache_readers_interrupt(flow_cache *cache)
{
    for (int i = 0; i < cache_readers_count(cache); i++)
        keyspace_cancel(cache->readers[i].redis);
}

void cache_readers_close(flow_cache *cache)
{
    for (int i = 0; i < cache_readers_count(cache); i++) {
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
