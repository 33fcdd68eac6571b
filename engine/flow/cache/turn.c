/* Turns at the database: at most db_reads_max reads of it at once, fewer just after a recovery. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/cond.h"
#include "flow/cache/internal.h"

enum { TURN_MS = 20 };

void cache_turns_open(flow_cache *cache)
{
    pthread_mutex_init(&cache->turns.lock, NULL);
    cond_init(&cache->turns.room);
}

void cache_turns_close(flow_cache *cache)
{
    rl_assert(cache->turns.busy == 0);
    pthread_cond_destroy(&cache->turns.room);
    pthread_mutex_destroy(&cache->turns.lock);
}

rl_err *cache_turn_refusal(void)
{
    return cache_refusal("BUSY", "as many reads of the database are under way as may be");
}

int64_t cache_turn_end(flow_cache *cache, int64_t submitted_ns)
{
    double wait = cache->opts.db_wait;
    return wait > 0 ? submitted_ns + (int64_t)(wait * 1e9) : DEADLINE_NEVER;
}

int cache_turns_allowed(flow_cache *cache)
{
    return cache_ramp(cache->opts.db_reads_max, clock_ns() - atomic_load(&cache->recovered_ns),
                      (int64_t)(cache->opts.ramp * 1e9));
}

bool cache_turn_take(flow_cache *cache, int64_t submitted_ns)
{
    cache_turns *turns = &cache->turns;
    rl_deadline end = cache_turn_end(cache, submitted_ns);
    pthread_mutex_lock(&turns->lock);
    while (turns->busy >= cache_turns_allowed(cache) && !deadline_passed(end) &&
           !flow_aborted(&cache->flow)) {
        rl_deadline slice = deadline_in_ms(TURN_MS); /* a ramp wakes nobody */
        cond_wait_until(&turns->room, &turns->lock, slice < end ? slice : end);
    }
    bool in = turns->busy < cache_turns_allowed(cache);
    turns->busy += in;
    if (turns->busy > turns->peak)
        turns->peak = turns->busy;
    pthread_mutex_unlock(&turns->lock);
    flow_hdr_record(&cache->turn_wait, clock_ns() - submitted_ns, 1);
    return in;
}

void cache_turn_leave(flow_cache *cache)
{
    pthread_mutex_lock(&cache->turns.lock);
    rl_assert(cache->turns.busy > 0);
    cache->turns.busy--;
    pthread_mutex_unlock(&cache->turns.lock);
    pthread_cond_signal(&cache->turns.room);
}

void cache_turns_wake(flow_cache *cache)
{
    pthread_mutex_lock(&cache->turns.lock);
    pthread_cond_broadcast(&cache->turns.room);
    pthread_mutex_unlock(&cache->turns.lock);
}
