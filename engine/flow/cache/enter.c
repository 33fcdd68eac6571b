/* A caller comes in: at once, or over a thread of its own while a failpoint is armed, since the
 * point may pause it. */
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/cond.h"
#include "fault/point/registry.h"
#include "flow/cache/internal.h"

enum { SLICE_MS = 250, STEPS_MAX = 512 };

/* thread: of the caller, when its lane is wanted; else 0. True: the lookup waits there. */
static bool begin(flow_cache *cache, cache_lookup *lookup, unsigned thread)
{
    const flow_cache_opts *opts = &cache->opts;
    cache_entry entry;
    if (flow_stopping(&cache->flow)) {
        rl_err *err = cache_refusal("STOPPING", "the service is stopping");
        cache_answer_failed(cache, lookup, err, true);
        err_free(err);
    } else if (opts->local_ms > 0 && cache_local_get(cache->local, lookup->account, clock_unix_ms(),
                                                     opts->local_ms, &entry)) {
        cache_answer(cache, lookup,
                     entry.state == CACHE_NEGATIVE ? CACHE_FROM_NEGATIVE : CACHE_FROM_LOCAL,
                     &entry);
    } else if (thread && cache_lane_ask(cache, lookup, thread)) {
        return true;
    } else {
        lookup->let_go = NULL;
        cache_readers_ask(cache, lookup);
    }
    return false;
}

/* ---- steps ---- */

static void step(flow_cache *cache, cache_lookup *lookup)
{
    rl_err *err = cache_point(FAIL_POINT_QUERY_ENTER, lookup->account);
    if (err)
        cache_answer_failed(cache, lookup, err, false);
    else
        begin(cache, lookup, 0);
    err_free(err);
}

static void step_main(void *arg)
{
    flow_cache *cache = arg;
    cache_steps *steps = &cache->steps;
    for (;;) {
        pthread_mutex_lock(&steps->lock);
        steps->idle++;
        while (!steps->queue.first && !flow_stopping(&cache->flow))
            cond_wait_until(&steps->more, &steps->lock, deadline_in_ms(SLICE_MS));
        steps->idle--;
        cache_waiter *waiter = cache_list_take(&steps->queue);
        pthread_mutex_unlock(&steps->lock);
        if (!waiter)
            return;
        step(cache, (cache_lookup *)waiter);
    }
}

static void enter_by_step(flow_cache *cache, cache_lookup *lookup)
{
    cache_steps *steps = &cache->steps;
    pthread_mutex_lock(&steps->lock);
    cache_list_add(&steps->queue, &lookup->waiter);
    if (steps->queue.count > steps->idle && steps->threads < STEPS_MAX) {
        rl_err *err = flow_start(&cache->flow, "cache-step", step_main, cache);
        steps->threads += !err;
        err_free(err);
    }
    pthread_mutex_unlock(&steps->lock);
    pthread_cond_signal(&steps->more);
}

void cache_steps_open(flow_cache *cache)
{
    pthread_mutex_init(&cache->steps.lock, NULL);
    cond_init(&cache->steps.more);
}

void cache_steps_wake(flow_cache *cache)
{
    pthread_mutex_lock(&cache->steps.lock);
    pthread_cond_broadcast(&cache->steps.more);
    pthread_mutex_unlock(&cache->steps.lock);
}

void cache_steps_close(flow_cache *cache)
{
    for (cache_waiter *waiter; (waiter = cache_list_take(&cache->steps.queue));)
        begin(cache, (cache_lookup *)waiter, 0);
    pthread_cond_destroy(&cache->steps.more);
    pthread_mutex_destroy(&cache->steps.lock);
}

static cache_lookup *enter(flow_cache *cache, int64_t account, flow_cache_done *done, void *arg)
{
    rl_assert(done);
    cache_lookup *lookup = mem_zero(sizeof *lookup);
    lookup->account = account;
    lookup->began_ns = clock_ns();
    lookup->done = done;
    lookup->arg = arg;
    atomic_fetch_add_explicit(&cache->open_lookups, 1, memory_order_relaxed);
    if (!atomic_load_explicit(&fail_armed, memory_order_relaxed))
        return lookup;
    enter_by_step(cache, lookup);
    return NULL;
}

void flow_cache_get(flow_cache *cache, int64_t account, flow_cache_done *done, void *arg)
{
    cache_lookup *lookup = enter(cache, account, done, arg);
    if (lookup)
        begin(cache, lookup, 0);
}

bool flow_cache_get_kept(flow_cache *cache, int64_t account, unsigned thread, flow_cache_done *done,
                         void (*let_go)(void *arg), void *arg)
{
    rl_assert(thread && let_go);
    cache_lookup *lookup = enter(cache, account, done, arg);
    if (lookup)
        lookup->let_go = let_go;
    return lookup && begin(cache, lookup, thread);
}
