/* The answer that every lookup gets, exactly once. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/units.h"
#include "flow/cache/internal.h"

rl_err *cache_refusal(const char *name, const char *why)
{
    rl_err *err = err_lab(name, "%s", why);
    err->retriable = true;
    return err;
}

static void answer(flow_cache *cache, cache_lookup *lookup, flow_cache_result *result)
{
    rl_assert((result->source == CACHE_FROM_NOBODY) == (result->failure != NULL));
    int64_t open = atomic_fetch_sub_explicit(&cache->open_lookups, 1, memory_order_relaxed);
    rl_assert(open > 0);
    (void)open;
    result->account = lookup->account;
    flow_hdr_record(&cache->latency[result->source], clock_ns() - lookup->began_ns, 1);
    cache_count_up(cache, CACHE_N_FROM_CACHE + (flow_cache_count)result->source, 1);
    if (result->refused)
        cache_count_up(cache, CACHE_N_REFUSED, 1);
    lookup->done(result, lookup->arg);
    free(lookup);
}

void cache_answer(flow_cache *cache, cache_lookup *lookup, flow_cache_source source,
                  const cache_entry *entry)
{
    flow_cache_result result = {.source = source, .entry = *entry};
    int64_t age = units_minus(clock_unix_ms(), entry->stored);
    result.age_ms = age > 0 && source != CACHE_FROM_DB ? age : 0;
    answer(cache, lookup, &result);
}

bool cache_stale_copy(flow_cache *cache, const cache_lookup *lookup, cache_entry *out)
{
    const flow_cache_opts *opts = &cache->opts;
    if (opts->stale_ms <= 0)
        return false;
    if (cache_local_get(cache->local, lookup->account, clock_unix_ms(), opts->stale_ms, out))
        return true;
    *out = lookup->seen;
    return out->state == CACHE_VALUE;
}

void cache_answer_failed(flow_cache *cache, cache_lookup *lookup, const rl_err *why, bool refused)
{
    cache_entry copy;
    if (cache_stale_copy(cache, lookup, &copy))
        cache_answer(cache, lookup, CACHE_FROM_STALE, &copy);
    else
        answer(
            cache, lookup,
            &(flow_cache_result){.source = CACHE_FROM_NOBODY, .refused = refused, .failure = why});
}

void cache_answer_flight(flow_cache *cache, cache_flight *flight, flow_cache_source source,
                         const cache_entry *entry, rl_err *err, bool refused)
{
    rl_assert(flight->state == CACHE_FLIGHT_TAKEN);
    rl_assert(err || entry);
    for (cache_waiter *waiter = cache_flight_end(&cache->flights, flight), *next; waiter;
         waiter = next) {
        next = waiter->next;
        if (err)
            cache_answer_failed(cache, (cache_lookup *)waiter, err, refused);
        else
            cache_answer(cache, (cache_lookup *)waiter, source, entry);
    }
    err_free(err);
}
