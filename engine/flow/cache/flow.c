#include "flow/cache/flow.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "flow/cache/internal.h"

const char *const flow_cache_single_names[] = {"none", "process", "lease", NULL};
const char *const flow_cache_fill_names[] = {"plain", "lease", "versioned", NULL};
const char *const flow_cache_breaks_names[] = {"failures", "connects", NULL};
const char *const flow_cache_source_names[] = {"cache", "stale", "db", "negative", "l1", "error"};

const char *const flow_cache_count_names[CACHE_N_COUNT] = {
#define COUNT(id, name) name,
    CACHE_COUNTS(COUNT)
#undef COUNT
};

/* ---- life ---- */

/* The other texts are used while it is opened only. */
static void own_options(flow_cache *cache, const flow_cache_opts *opts)
{
    keyspace_opts *redis = &cache->opts.redis;
    cache->opts = *opts;
    cache->opts.prefix = mem_strdup(opts->prefix);
    redis->conn.timeout = redis->conn.connect_timeout = opts->redis_timeout;
    redis->rest_after = opts->breaker_failures;
    redis->rest = opts->breaker_pause;
    cache->opts.mysql.read_timeout = opts->db_timeout;
    cache->opts.mysql.connect_timeout = opts->db_timeout;
    cache->opts.mysql.write_timeout = 0;
}

static void wake_all(flow_cache *cache)
{
    cache_readers_wake(cache);
    cache_workers_wake(cache);
    cache_turns_wake(cache);
    cache_steps_wake(cache);
}

static void cache_interrupt(rl_flow *flow)
{
    flow_cache *cache = (flow_cache *)flow;
    cache_readers_interrupt(cache);
    cache_lanes_interrupt(cache);
    cache_workers_interrupt(cache);
    cache_points_resume();
    wake_all(cache);
}

static void open_breakers(flow_cache *cache)
{
    cache_breaker *const breakers[] = {&cache->redis_breaker, &cache->write_breaker,
                                       &cache->db_breaker};
    for (size_t i = 0; i < sizeof breakers / sizeof *breakers; i++)
        cache_breaker_init(breakers[i], cache->opts.breaker_failures,
                           (int64_t)(cache->opts.breaker_pause * 1e9));
}

static void close_breakers(flow_cache *cache)
{
    cache_breaker_close(&cache->redis_breaker);
    cache_breaker_close(&cache->write_breaker);
    cache_breaker_close(&cache->db_breaker);
}

static void open_hdrs(flow_cache *cache)
{
    for (int i = 0; i < CACHE_SOURCE_COUNT; i++)
        flow_hdr_open(&cache->latency[i]);
    flow_hdr_open(&cache->turn_wait);
    flow_hdr_open(&cache->ahead);
}

static void close_hdrs(flow_cache *cache)
{
    for (int i = 0; i < CACHE_SOURCE_COUNT; i++)
        flow_hdr_close(&cache->latency[i]);
    flow_hdr_close(&cache->turn_wait);
    flow_hdr_close(&cache->ahead);
}

rl_err *flow_cache_open(const flow_cache_opts *opts, flow_cache **out)
{
    flow_cache *cache = mem_zero(sizeof *cache);
    flow_init(&cache->flow);
    atomic_init(&cache->recovered_ns, clock_ns() - (int64_t)(opts->ramp * 1e9));
    cache->flow.interrupt = cache_interrupt;
    own_options(cache, opts);
    cache->cluster =
        keyspace_cluster(&cache->opts.redis, cache->opts.redis_readers + cache->opts.workers);
    cache_flights_init(&cache->flights);
    open_breakers(cache);
    open_hdrs(cache);
    if (opts->local_ms > 0 || opts->stale_ms > 0)
        cache->local = cache_local_new(opts->local_size);
    cache->counters = flow_counters_shared(&cache->flow, CACHE_N_COUNT);
    cache_steps_open(cache);
    cache_turns_open(cache);
    cache_lanes_open(cache);
    rl_err *err = cache_workers_open(cache);
    if (!err)
        err = cache_readers_open(cache);
    if (!err)
        *out = cache;
    else
        flow_cache_close(cache, 5);
    return err;
}

rl_flow *flow_cache_flow(flow_cache *cache)
{
    return &cache->flow;
}

static bool end_threads(flow_cache *cache, double seconds)
{
    rl_deadline until = deadline_in(seconds);
    flow_stop(&cache->flow);
    wake_all(cache);
    bool ended = flow_join(&cache->flow, seconds / 2);
    while (!ended && !deadline_passed(until)) {
        flow_abort(&cache->flow);
        ended = flow_join(&cache->flow, 0.1);
    }
    return ended;
}

bool flow_cache_close(flow_cache *cache, double seconds)
{
    if (!end_threads(cache, seconds))
        return false;
    cache->flow.interrupt = NULL; /* nothing is left to interrupt */
    cache_steps_close(cache);     /* each gives what it still has to the next */
    cache_lanes_close(cache);
    cache_readers_close(cache);
    cache_workers_close(cache);
    cache_turns_close(cache);
    rl_assert(atomic_load(&cache->open_lookups) == 0);
    flow_close(&cache->flow, seconds);
    cache_flights_close(&cache->flights);
    close_breakers(cache);
    close_hdrs(cache);
    cache_local_free(cache->local);
    cluster_free(cache->cluster);
    free((char *)cache->opts.prefix);
    free(cache);
    return true;
}

/* ---- figures ---- */

int64_t flow_cache_counted(flow_cache *cache, flow_cache_count which)
{
    return flow_total(&cache->flow, which);
}

void flow_cache_add_latency(flow_cache *cache, flow_cache_source source, struct hdr_histogram *sum)
{
    flow_hdr_add_to(&cache->latency[source], sum);
}

void flow_cache_add_turn_wait(flow_cache *cache, struct hdr_histogram *sum)
{
    flow_hdr_add_to(&cache->turn_wait, sum);
}

void flow_cache_add_ahead(flow_cache *cache, struct hdr_histogram *sum)
{
    flow_hdr_add_to(&cache->ahead, sum);
}

void flow_cache_measure(flow_cache *cache, flow_cache_gauges *out)
{
    out->redis = cache_breaker_state_of(&cache->redis_breaker);
    out->redis_writes = cache_breaker_state_of(&cache->write_breaker);
    out->db = cache_breaker_state_of(&cache->db_breaker);
    out->redis_opens = cache_breaker_opens(&cache->redis_breaker);
    out->redis_writes_opens = cache_breaker_opens(&cache->write_breaker);
    out->db_opens = cache_breaker_opens(&cache->db_breaker);
    pthread_mutex_lock(&cache->workers.lock);
    out->queued = cache->workers.queued;
    pthread_mutex_unlock(&cache->workers.lock);
    pthread_mutex_lock(&cache->turns.lock);
    out->db_busy = cache->turns.busy;
    out->db_peak = cache->turns.peak;
    pthread_mutex_unlock(&cache->turns.lock);
    out->db_allowed = cache_turns_allowed(cache);
}

void flow_cache_forget_peak(flow_cache *cache)
{
    pthread_mutex_lock(&cache->turns.lock);
    cache->turns.peak = cache->turns.busy;
    pthread_mutex_unlock(&cache->turns.lock);
}
