/* Lanes of a server's threads: what a thread's connections ask for in one turn is one batch, which the thread
 * sends and waits for by itself, as long as Redis answers at once. What takes longer or goes wrong is the
 * readers'. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "flow/cache/internal.h"

enum { AT_ONCE_MS = 1 };

static void lane_open(flow_cache *cache, cache_lane *lane, int i)
{
    rl_rng rng;
    char name[16] = "lane";
    memcpy(name + 4, &i, sizeof i);
    lane->cache = cache;
    lane->conn = redisc_new(&cache->opts.redis.conn);
    lane->batch = mem_alloc(CACHE_BATCH_MAX * sizeof *lane->batch);
    lane->replies = mem_alloc(CACHE_BATCH_MAX * sizeof(redisReply *));
    rng_init(&rng, cache->opts.seed);
    rng_split(&rng, name, sizeof name, &lane->rng);
}

void cache_lanes_open(flow_cache *cache)
{
    if (cache->cluster || cache->opts.redis.conn.tls.mode != REDISC_TLS_OFF)
        return;
    cache->lanes = mem_zero(CACHE_LANES * sizeof *cache->lanes);
    for (int i = 0; i < CACHE_LANES; i++)
        lane_open(cache, &cache->lanes[i], i);
}

/* ---- its thread ---- */

static cache_lane *lane_of(flow_cache *cache, unsigned thread)
{
    for (int i = 0; cache->lanes && i < CACHE_LANES; i++) {
        unsigned owner = atomic_load(&cache->lanes[i].thread);
        if (owner == thread)
            return &cache->lanes[i];
        if (!owner && atomic_compare_exchange_strong(&cache->lanes[i].thread, &owner, thread))
            return &cache->lanes[i];
    }
    return NULL;
}

static void call_reader(cache_lane *lane, cache_lane_state why)
{
    flow_cache *cache = lane->cache;
    atomic_store(&lane->state, why);
    cache_reader_call(cache, (int)(lane - cache->lanes) % cache->opts.redis_readers);
}

bool cache_lane_ask(flow_cache *cache, cache_lookup *lookup, unsigned thread)
{
    cache_lane *lane = lane_of(cache, thread);
    int state = lane ? atomic_load(&lane->state) : CACHE_LANE_TO_MEND;
    if (state == CACHE_LANE_FREE)
        call_reader(lane, CACHE_LANE_TO_MEND);
    if (state != CACHE_LANE_OWN)
        return false;
    cache_list_add(&lane->queue, &lookup->waiter);
    return true;
}

static void let_go(cache_lookup *lookup)
{
    if (lookup->let_go)
        lookup->let_go(lookup->arg);
    lookup->let_go = NULL;
}

/* The way of those who have no lane. */
static void ask_reader(flow_cache *cache, cache_lookup *lookup, bool lost)
{
    let_go(lookup);
    lookup->lost = lost;
    cache_readers_ask(cache, lookup);
}

static void take_batch(cache_lane *lane)
{
    lane->got = 0;
    for (lane->n = 0; lane->n < CACHE_BATCH_MAX && lane->queue.first; lane->n++)
        lane->batch[lane->n] = (cache_lookup *)cache_list_take(&lane->queue);
    memset(lane->replies, 0, (size_t)lane->n * sizeof *lane->replies);
    cache_batch_write(&lane->pipe, lane->cache, lane->batch, lane->n);
}

/* The end of the batch, by whoever has the lane. A connection that was lost before it said anything may have
 * lain idle while the server was restarted: a reader tries once more. */
static void batch_over(cache_lane *lane, rl_err *err)
{
    bool lost = lane->got == 0 && err_is(err, RL_REDIS, "CONNECTION_LOST");
    if (!lost) {
        cache_batch_over(lane->cache, lane->batch, lane->replies, lane->n, lane->got, err,
                         &lane->rng);
    } else {
        for (int i = 0; i < lane->n; i++)
            ask_reader(lane->cache, lane->batch[i], true);
        err_free(err);
    }
    lane->n = 0;
}

static void batch_silent(cache_lane *lane)
{
    cache_batch_silent(lane->cache, lane->batch, lane->n, &lane->rng);
    lane->n = 0;
}

/* The reader waits in its place; what came meanwhile does not wait behind that. */
static void lend(cache_lane *lane)
{
    flow_cache *cache = lane->cache;
    for (int i = 0; i < lane->n; i++)
        let_go(lane->batch[i]);
    call_reader(lane, CACHE_LANE_TO_FINISH);
    for (cache_waiter *waiter; (waiter = cache_list_take(&lane->queue));)
        ask_reader(cache, (cache_lookup *)waiter, false);
}

static void run_batch(cache_lane *lane)
{
    rl_err *err = redisc_pipe_start(lane->conn, &lane->pipe);
    if (!err)
        err = redisc_pipe_some(lane->conn, &lane->pipe, lane->replies, &lane->got,
                               deadline_in_ms(AT_ONCE_MS));
    if (!err && lane->got < (size_t)lane->n) {
        lend(lane);
        return;
    }
    bool broken = err != NULL;
    batch_over(lane, err);
    if (broken)
        call_reader(lane, CACHE_LANE_TO_MEND);
}

void flow_cache_turn(flow_cache *cache, unsigned thread)
{
    cache_lane *lane = lane_of(cache, thread);
    rl_assert(lane);
    while (lane->queue.first) {
        if (atomic_load(&lane->state) != CACHE_LANE_OWN) {
            ask_reader(cache, (cache_lookup *)cache_list_take(&lane->queue), false);
            continue;
        }
        take_batch(lane);
        if (cache_breaker_allow(&cache->redis_breaker, clock_ns()))
            run_batch(lane);
        else
            batch_silent(lane);
    }
}

/* ---- a reader ---- */

/* Whose connection fails stays TO_MEND: the reader comes again when its own has been mended. */
static void mend(cache_lane *lane)
{
    rl_err *err = redisc_connect(lane->conn);
    if (!err)
        atomic_store(&lane->state, CACHE_LANE_OWN);
    err_free(err);
}

static void finish(cache_lane *lane)
{
    rl_err *err = redisc_pipe_rest(lane->conn, &lane->pipe, lane->replies, &lane->got);
    int after = err ? CACHE_LANE_TO_MEND : CACHE_LANE_OWN;
    batch_over(lane, err);
    atomic_store(&lane->state, after);
}

void cache_lanes_serve(flow_cache *cache, int reader, redisc_keyspace *mended)
{
    for (int i = reader; cache->lanes && i < CACHE_LANES; i += cache->opts.redis_readers) {
        int state = atomic_load(&cache->lanes[i].state);
        if (state == CACHE_LANE_TO_FINISH)
            finish(&cache->lanes[i]);
        else if (state == CACHE_LANE_TO_MEND && mended && keyspace_connected(mended))
            mend(&cache->lanes[i]);
    }
}

/* ---- the end ---- */

void cache_lanes_interrupt(flow_cache *cache)
{
    for (int i = 0; cache->lanes && i < CACHE_LANES; i++)
        redisc_cancel(cache->lanes[i].conn);
}

void cache_lanes_close(flow_cache *cache)
{
    for (int i = 0; cache->lanes && i < CACHE_LANES; i++) {
        cache_lane *lane = &cache->lanes[i];
        rl_assert(!lane->queue.first); /* its server has taken its front away */
        for (size_t j = 0; j < lane->got && lane->n; j++)
            freeReplyObject(lane->replies[j]);
        batch_silent(lane);
        redisc_free(lane->conn);
        redisc_pipe_free(&lane->pipe);
        free(lane->batch);
        free(lane->replies);
    }
    free(cache->lanes);
}
