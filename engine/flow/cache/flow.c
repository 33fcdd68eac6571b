#include "flow/cache/flow.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "fault/point/registry.h"
#include "flow/cache/internal.h"

const char *const flow_cache_single_names[] = {"none", "process", "lease", NULL};
const char *const flow_cache_fill_names[] = {"plain", "lease", "versioned", NULL};
const char *const flow_cache_source_names[] = {"cache", "stale", "db", "negative", "l1", "error"};

const char *const flow_cache_count_names[CACHE_N_COUNT] = {
#define COUNT(id, name) name,
    CACHE_COUNTS(COUNT)
#undef COUNT
};

/* ---- answers ---- */

static void answer(flow_cache *cache, cache_lookup *lookup, flow_cache_result *result)
{
    result->account = lookup->account;
    flow_hdr_record(&cache->latency[result->source], clock_ns() - lookup->began_ns, 1);
    cache_count_up(cache, CACHE_N_FROM_CACHE + (flow_cache_count)result->source, 1);
    if (result->refused)
        cache_count_up(cache, CACHE_N_REFUSED, 1);
    lookup->done(result, lookup->arg);
    free(lookup);
}

void cache_finish(flow_cache *cache, cache_lookup *lookup, flow_cache_source source,
                  const cache_entry *entry)
{
    flow_cache_result result = {.source = source, .entry = *entry};
    int64_t age = clock_unix_ms() - entry->stored;
    result.age_ms = age > 0 && source != CACHE_FROM_DB ? age : 0;
    answer(cache, lookup, &result);
}

/* What may be said when a server fails: the last that this process has seen, or what Redis had
 * before its soft TTL was over. */
static bool stale_copy(flow_cache *cache, const cache_lookup *lookup, cache_entry *out)
{
    const flow_cache_opts *o = &cache->opts;
    if (o->stale_ms <= 0)
        return false;
    if (cache_local_get(cache->local, lookup->account, clock_unix_ms(), o->stale_ms, out))
        return true;
    *out = lookup->seen;
    return out->state == CACHE_VALUE;
}

void cache_fail(flow_cache *cache, cache_lookup *lookup, const rl_err *why, bool refused)
{
    cache_entry copy;
    if (stale_copy(cache, lookup, &copy))
        cache_finish(cache, lookup, CACHE_FROM_STALE, &copy);
    else
        answer(
            cache, lookup,
            &(flow_cache_result){.source = CACHE_FROM_NOBODY, .refused = refused, .failure = why});
}

void cache_land(flow_cache *cache, cache_flight *flight, flow_cache_source source,
                const cache_entry *entry, rl_err *err, bool refused)
{
    for (cache_waiter *w = cache_flight_end(&cache->flights, flight), *next; w; w = next) {
        next = w->next;
        if (err)
            cache_fail(cache, (cache_lookup *)w, err, refused);
        else
            cache_finish(cache, (cache_lookup *)w, source, entry);
    }
    err_free(err);
}

/* ---- what Redis said ---- */

void cache_recovered(flow_cache *cache, const char *need)
{
    atomic_store(&cache->recovered_ns, clock_ns());
    flow_emit(&cache->flow, "breaker-closed", NULL, &(flow_field){.key = "need", .text = need}, 1);
}

void cache_redis_good(flow_cache *cache)
{
    flow_up(&cache->flow, "redis");
    if (cache_breaker_good(&cache->redis_breaker))
        cache_recovered(cache, "redis");
}

void cache_redis_bad(flow_cache *cache, const rl_err *why)
{
    cache_count_up(cache, CACHE_N_REDIS_ERRORS, 1);
    flow_down(&cache->flow, "redis", why);
    if (cache_breaker_bad(&cache->redis_breaker, clock_ns()))
        flow_emit(&cache->flow, "breaker-open", NULL, &(flow_field){.key = "need", .text = "redis"},
                  1);
}

static void keep_local(flow_cache *cache, int64_t account, const cache_entry *entry)
{
    if (cache->local)
        cache_local_put(cache->local, account, entry, clock_unix_ms());
}

static void load(flow_cache *cache, cache_lookup *lookup, bool forced)
{
    cache_flight *flight;
    cache_entry seen = lookup->seen;
    bool cacheless = lookup->cacheless;
    if (cache->opts.single == CACHE_SINGLE_NONE)
        flight = cache_flight_alone(lookup->account, &lookup->waiter);
    else
        flight = cache_flight_join(&cache->flights, lookup->account, &lookup->waiter);
    if (!flight) {
        cache_count_up(cache, CACHE_N_JOINS, 1);
        return;
    }
    flight->forced = forced;
    flight->ahead_ms = forced ? seen.expires - clock_unix_ms() : 0;
    flight->cacheless = cacheless;
    flight->seen = seen;
    cache_pool_submit(cache, flight);
}

/* One refresh at a time also where misses load each for themselves: nobody waits for it. */
static void refresh(flow_cache *cache, int64_t account, const cache_entry *seen)
{
    cache_flight *flight = cache_flight_join(&cache->flights, account, NULL);
    if (!flight)
        return;
    cache_count_up(cache, CACHE_N_REFRESHES, 1);
    flight->seen = *seen;
    cache_pool_submit(cache, flight);
}

static void judge_value(flow_cache *cache, cache_lookup *lookup, const cache_entry *entry,
                        rl_rng *rng)
{
    const flow_cache_opts *o = &cache->opts;
    int64_t now = clock_unix_ms();
    if (o->soft_ttl_ms > 0 && entry->soft && now >= entry->soft) {
        int64_t account = lookup->account;
        cache_finish(cache, lookup, CACHE_FROM_STALE, entry);
        refresh(cache, account, entry);
        return;
    }
    if (o->beta > 0 &&
        cache_early(now, entry->expires, entry->cost, o->beta, 1 - rng_double(rng))) {
        lookup->seen = *entry;
        load(cache, lookup, true);
        return;
    }
    keep_local(cache, lookup->account, entry);
    cache_finish(cache, lookup, CACHE_FROM_CACHE, entry);
}

static void judge_silence(flow_cache *cache, cache_lookup *lookup)
{
    cache_entry copy;
    lookup->cacheless = true;
    if (stale_copy(cache, lookup, &copy))
        cache_finish(cache, lookup, CACHE_FROM_STALE, &copy);
    else
        load(cache, lookup, false);
}

static void read_entry(flow_cache *cache, const redisReply *reply, cache_entry *entry)
{
    if (!cache_entry_parse(reply, entry))
        cache_count_up(cache, CACHE_N_BAD_ENTRIES, 1);
}

void cache_judge(flow_cache *cache, cache_lookup *lookup, const redisReply *reply, rl_rng *rng)
{
    cache_entry entry;
    if (!reply) {
        judge_silence(cache, lookup);
        return;
    }
    read_entry(cache, reply, &entry);
    if (entry.state == CACHE_VALUE) {
        judge_value(cache, lookup, &entry, rng);
    } else if (entry.state == CACHE_NEGATIVE && cache->opts.negative_ttl_ms > 0) {
        cache_finish(cache, lookup, CACHE_FROM_NEGATIVE, &entry);
    } else {
        cache_count_up(cache, CACHE_N_MISSES, 1);
        load(cache, lookup, false);
    }
}

/* ---- readers come ---- */

void cache_begin(flow_cache *cache, cache_lookup *lookup)
{
    cache_entry entry;
    if (flow_stopping(&cache->flow)) {
        rl_err *err = cache_refusal("STOPPING", "the service is stopping");
        cache_fail(cache, lookup, err, true);
        err_free(err);
    } else if (cache->opts.local_ms > 0 &&
               cache_local_get(cache->local, lookup->account, clock_unix_ms(), cache->opts.local_ms,
                               &entry)) {
        cache_finish(cache, lookup,
                     entry.state == CACHE_NEGATIVE ? CACHE_FROM_NEGATIVE : CACHE_FROM_LOCAL,
                     &entry);
    } else {
        cache_lanes_ask(cache, lookup);
    }
}

void flow_cache_get(flow_cache *cache, int64_t account, flow_cache_done *done, void *arg)
{
    cache_lookup *lookup = mem_zero(sizeof *lookup);
    lookup->account = account;
    lookup->began_ns = clock_ns();
    lookup->done = done;
    lookup->arg = arg;
    if (atomic_load_explicit(&fail_armed, memory_order_relaxed))
        cache_steps_enter(cache, lookup);
    else
        cache_begin(cache, lookup);
}

/* ---- life ---- */

static char *copied(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

static void own_options(flow_cache *cache, const flow_cache_opts *opts)
{
    cache->opts = *opts;
    cache->opts.prefix = mem_strdup(opts->prefix);
    cache->opts.redis.timeout = cache->opts.redis.connect_timeout = opts->redis_timeout;
    cache->opts.redis.host = copied(opts->redis.host);
    cache->opts.redis.user = copied(opts->redis.user);
    cache->opts.redis.password = copied(opts->redis.password);
    cache->opts.redis.client_name = copied(opts->redis.client_name);
    cache->opts.mysql.read_timeout = opts->db_timeout;
    cache->opts.mysql.connect_timeout = opts->db_timeout;
    cache->opts.mysql.write_timeout = 0;
}

static void free_options(flow_cache_opts *o)
{
    const char *texts[] = {o->prefix, o->redis.host, o->redis.user, o->redis.password,
                           o->redis.client_name};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free((char *)texts[i]);
}

static void let_go_of_pauses(void)
{
    fail_resume(fail_point_names[FAIL_POINT_QUERY_ENTER]);
    fail_resume(fail_point_names[FAIL_POINT_QUERY_DB_LOAD]);
    fail_resume(fail_point_names[FAIL_POINT_QUERY_BEFORE_FILL]);
}

static void wake_all(flow_cache *cache)
{
    cache_lanes_wake(cache);
    cache_pool_wake(cache);
    cache_steps_wake(cache);
}

static void interrupt(rl_flow *flow)
{
    flow_cache *cache = (flow_cache *)flow;
    cache_lanes_interrupt(cache);
    cache_pool_interrupt(cache);
    let_go_of_pauses();
    wake_all(cache);
}

rl_err *flow_cache_open(const flow_cache_opts *opts, flow_cache **out)
{
    flow_cache *cache = mem_zero(sizeof *cache);
    flow_init(&cache->flow);
    atomic_init(&cache->recovered_ns, clock_ns() - (int64_t)(opts->ramp * 1e9));
    cache->flow.interrupt = interrupt;
    own_options(cache, opts);
    cache_flights_init(&cache->flights);
    cache_breaker_init(&cache->redis_breaker, opts->breaker_failures,
                       (int64_t)(opts->breaker_pause * 1e9));
    cache_breaker_init(&cache->db_breaker, opts->breaker_failures,
                       (int64_t)(opts->breaker_pause * 1e9));
    for (int i = 0; i < CACHE_SOURCE_COUNT; i++)
        flow_hdr_open(&cache->latency[i]);
    flow_hdr_open(&cache->pool_wait);
    flow_hdr_open(&cache->ahead);
    if (opts->local_ms > 0 || opts->stale_ms > 0)
        cache->local = cache_local_new(opts->local_size);
    cache_steps_open(cache);
    rl_err *err = cache_pool_open(cache);
    if (!err)
        err = cache_lanes_open(cache);
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

const flow_cache_opts *flow_cache_options(const flow_cache *cache)
{
    return &cache->opts;
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
    cache_steps_close(cache);     /* each hands what it still has to the next */
    cache_lanes_close(cache);
    cache_pool_close(cache);
    flow_close(&cache->flow, seconds);
    cache_flights_close(&cache->flights);
    cache_breaker_close(&cache->redis_breaker);
    cache_breaker_close(&cache->db_breaker);
    for (int i = 0; i < CACHE_SOURCE_COUNT; i++)
        flow_hdr_close(&cache->latency[i]);
    flow_hdr_close(&cache->pool_wait);
    flow_hdr_close(&cache->ahead);
    cache_local_free(cache->local);
    free_options(&cache->opts);
    free(cache);
    return true;
}

/* ---- figures ---- */

int64_t flow_cache_counted(flow_cache *cache, flow_cache_count which)
{
    return atomic_load_explicit(&cache->counts[which], memory_order_relaxed);
}

void flow_cache_add_latency(flow_cache *cache, flow_cache_source source, struct hdr_histogram *sum)
{
    flow_hdr_add_to(&cache->latency[source], sum);
}

void flow_cache_add_pool_wait(flow_cache *cache, struct hdr_histogram *sum)
{
    flow_hdr_add_to(&cache->pool_wait, sum);
}

void flow_cache_add_ahead(flow_cache *cache, struct hdr_histogram *sum)
{
    flow_hdr_add_to(&cache->ahead, sum);
}

void flow_cache_measure(flow_cache *cache, flow_cache_gauges *out)
{
    cache_pool *pool = &cache->pool;
    out->redis = cache_breaker_state_of(&cache->redis_breaker);
    out->db = cache_breaker_state_of(&cache->db_breaker);
    out->redis_opens = cache->redis_breaker.opens;
    out->db_opens = cache->db_breaker.opens;
    pthread_mutex_lock(&pool->lock);
    out->db_busy = pool->busy;
    out->db_peak = pool->peak;
    out->queued = pool->queued;
    pthread_mutex_unlock(&pool->lock);
    out->db_allowed = cache_pool_allowed(cache);
}

void flow_cache_forget_peak(flow_cache *cache)
{
    pthread_mutex_lock(&cache->pool.lock);
    cache->pool.peak = cache->pool.busy;
    pthread_mutex_unlock(&cache->pool.lock);
}
