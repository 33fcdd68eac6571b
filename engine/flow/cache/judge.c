/* What Redis said decides: an answer at once, or a load. */
#include "base/clock.h"
#include "base/units.h"
#include "flow/cache/internal.h"

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
    if (!flight) { /* from here on the lookup is the flight's */
        cache_count_up(cache, CACHE_N_JOINS, 1);
        return;
    }
    flight->forced = forced;
    flight->ahead_ms = forced ? units_minus(seen.expires, clock_unix_ms()) : 0;
    flight->cacheless = cacheless;
    flight->seen = seen;
    cache_workers_submit(cache, flight);
}

/* One refresh at a time also where misses load each for themselves: nobody waits for it. */
static void refresh(flow_cache *cache, int64_t account, const cache_entry *seen)
{
    cache_flight *flight = cache_flight_join(&cache->flights, account, NULL);
    if (!flight)
        return;
    cache_count_up(cache, CACHE_N_REFRESHES, 1);
    flight->seen = *seen;
    cache_workers_submit(cache, flight);
}

static void judge_value(flow_cache *cache, cache_lookup *lookup, const cache_entry *entry,
                        rl_rng *rng)
{
    const flow_cache_opts *opts = &cache->opts;
    int64_t now = clock_unix_ms();
    if (opts->soft_ttl_ms > 0 && entry->soft && now >= entry->soft) {
        int64_t account = lookup->account;
        cache_answer(cache, lookup, CACHE_FROM_STALE, entry);
        refresh(cache, account, entry);
        return;
    }
    if (opts->beta > 0 &&
        cache_early(now, entry->expires, entry->cost, opts->beta, 1 - rng_double(rng))) {
        lookup->seen = *entry;
        load(cache, lookup, true);
        return;
    }
    keep_local(cache, lookup->account, entry);
    cache_answer(cache, lookup, CACHE_FROM_CACHE, entry);
}

static void judge_silence(flow_cache *cache, cache_lookup *lookup)
{
    cache_entry copy;
    lookup->cacheless = true;
    if (cache_stale_copy(cache, lookup, &copy))
        cache_answer(cache, lookup, CACHE_FROM_STALE, &copy);
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
        cache_answer(cache, lookup, CACHE_FROM_NEGATIVE, &entry);
    } else {
        cache_count_up(cache, CACHE_N_MISSES, 1);
        load(cache, lookup, false);
    }
}
