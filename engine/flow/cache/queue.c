/* What the readers have to do: lookups, and lanes that want them; and a batch of lookups, theirs or a lane's:
 * what Redis is asked, and what came of it. */
#include "base/assert.h"
#include "base/buf.h"
#include "base/cond.h"
#include "flow/cache/internal.h"

enum { RECONNECT_MS = 250 };

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

void cache_reader_call(flow_cache *cache, int i)
{
    cache_reader *reader = &cache->readers[i];
    pthread_mutex_lock(&reader->lock);
    reader->called = true;
    pthread_mutex_unlock(&reader->lock);
    pthread_cond_signal(&reader->more);
}

int cache_reader_take(cache_reader *reader)
{
    rl_deadline until = deadline_in_ms(RECONNECT_MS);
    bool in_time = true;
    int n = 0;
    pthread_mutex_lock(&reader->lock);
    while (!reader->queue.first && !reader->called && in_time &&
           !flow_stopping(&reader->cache->flow)) {
        reader->asleep = true;
        in_time = cond_wait_until(&reader->more, &reader->lock, until);
    }
    reader->asleep = reader->called = false;
    for (cache_waiter *waiter; n < CACHE_BATCH_MAX && (waiter = cache_list_take(&reader->queue));
         n++)
        reader->batch[n] = (cache_lookup *)waiter;
    pthread_mutex_unlock(&reader->lock);
    return n;
}

int cache_readers_count(const flow_cache *cache)
{
    return cache->readers ? cache->opts.redis_readers : 0;
}

void cache_readers_wake(flow_cache *cache)
{
    for (int i = 0; i < cache_readers_count(cache); i++) {
        pthread_mutex_lock(&cache->readers[i].lock);
        pthread_cond_broadcast(&cache->readers[i].more);
        pthread_mutex_unlock(&cache->readers[i].lock);
    }
}

/* ---- a batch ---- */

void cache_batch_write(redisc_pipe *pipe, const flow_cache *cache, cache_lookup *const *batch,
                       int n)
{
    char key[CACHE_KEY_MAX];
    pipe->count = 0;
    buf_reset(&pipe->bytes);
    for (int i = 0; i < n; i++) {
        size_t len = cache_key(key, cache->opts.prefix, CACHE_KEY_ACCOUNT, batch[i]->account);
        redisc_pipe_begin(pipe, 2);
        redisc_pipe_arg(pipe, "HGETALL", 7);
        redisc_pipe_arg(pipe, key, len);
    }
}

/* The first reply by which the server says that it cannot be asked just now; NULL: there is none. */
static rl_err *refusal_in(redisReply *const *replies, int n)
{
    for (int i = 0; i < n; i++)
        if (replies[i] && cache_is_refusal(replies[i]))
            return redisc_reply_err(replies[i]);
    return NULL;
}

static void count(flow_cache *cache, redisReply *const *replies, int n, size_t got, rl_err *err)
{
    rl_assert(got <= (size_t)n);
    if (!err)
        err = refusal_in(replies, n);
    cache_count_up(cache, CACHE_N_REDIS_BATCHES, 1);
    cache_count_up(cache, CACHE_N_REDIS_LOOKUPS, (int64_t)got);
    if (err)
        cache_redis_bad(cache, err);
    else
        cache_redis_good(cache);
    err_free(err);
}

static void judge(flow_cache *cache, cache_lookup *lookup, const redisReply *reply, rl_rng *rng)
{
    if (lookup->let_go)
        lookup->let_go(lookup->arg);
    lookup->let_go = NULL;
    cache_judge(cache, lookup, reply, rng);
}

void cache_batch_over(flow_cache *cache, cache_lookup *const *batch, redisReply *const *replies,
                      int n, size_t got, rl_err *err, rl_rng *rng)
{
    count(cache, replies, n, got, err);
    for (int i = 0; i < n; i++) {
        redisReply *reply = replies[i];
        bool said = reply && !cache_is_refusal(reply);
        judge(cache, batch[i], said ? reply : NULL, rng);
        freeReplyObject(reply);
    }
}

void cache_batch_silent(flow_cache *cache, cache_lookup *const *batch, int n, rl_rng *rng)
{
    for (int i = 0; i < n; i++)
        judge(cache, batch[i], NULL, rng);
}
