/* Threads of flow.cache that may block: workers, which load, and steps, which wait at armed
 * failpoints. Both are started when they are needed. */
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/cond.h"
#include "fault/point/registry.h"
#include "flow/cache/internal.h"

enum { SLICE_MS = 250, TURN_MS = 20, STEPS_MAX = 512 };

rl_err *cache_refusal(const char *name, const char *why)
{
    rl_err *err = err_lab(name, "%s", why);
    err->retriable = true;
    return err;
}

static rl_err *out_of_turn(void)
{
    return cache_refusal("BUSY", "as many reads of the database are under way as may be");
}

/* ---- the queue of loads ---- */

static rl_deadline deadline_of(const flow_cache *cache, int64_t submitted_ns)
{
    double wait = cache->opts.db_wait;
    return wait > 0 ? submitted_ns + (int64_t)(wait * 1e9) : DEADLINE_NEVER;
}

static cache_flight *take_flight(cache_pool *pool)
{
    cache_flight *f = pool->first;
    if (!f)
        return NULL;
    pool->first = f->next;
    if (!pool->first)
        pool->last = NULL;
    pool->queued--;
    return f;
}

static cache_flight *next_flight(cache_worker *worker)
{
    flow_cache *cache = worker->cache;
    cache_pool *pool = &cache->pool;
    pthread_mutex_lock(&pool->lock);
    pool->idle++;
    while (!pool->first && !flow_stopping(&cache->flow)) {
        cond_wait_until(&pool->more, &pool->lock, deadline_in_ms(SLICE_MS));
    }
    pool->idle--;
    cache_flight *f = take_flight(pool);
    pthread_mutex_unlock(&pool->lock);
    return f;
}

static void worker_main(void *arg)
{
    cache_worker *worker = arg;
    for (cache_flight *f; (f = next_flight(worker));)
        cache_load(worker, f);
}

/* Under the lock. */
static void start_worker(flow_cache *cache)
{
    cache_pool *pool = &cache->pool;
    if (pool->queued <= pool->idle || pool->started == cache->opts.workers)
        return;
    rl_err *err =
        flow_start(&cache->flow, "cache-load", worker_main, &pool->workers[pool->started]);
    if (!err)
        pool->started++;
    err_free(err); /* the others have to do */
}

void cache_pool_submit(flow_cache *cache, cache_flight *flight)
{
    cache_pool *pool = &cache->pool;
    flight->submitted_ns = clock_ns();
    flight->next = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->last)
        pool->last->next = flight;
    else
        pool->first = flight;
    pool->last = flight;
    bool first = pool->queued++ == 0;
    start_worker(cache);
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_signal(&pool->more);
    if (first)
        pthread_cond_signal(&pool->waiting);
}

/* ---- turns at the database ---- */

int cache_pool_allowed(flow_cache *cache)
{
    return cache_ramp(cache->opts.db_pool, clock_ns() - atomic_load(&cache->recovered_ns),
                      (int64_t)(cache->opts.ramp * 1e9));
}

bool cache_pool_enter(flow_cache *cache, int64_t submitted_ns)
{
    cache_pool *pool = &cache->pool;
    rl_deadline until = deadline_of(cache, submitted_ns);
    pthread_mutex_lock(&pool->lock);
    while (pool->busy >= cache_pool_allowed(cache) && !deadline_passed(until) &&
           !flow_aborted(&cache->flow)) {
        rl_deadline slice = deadline_in_ms(TURN_MS); /* a ramp wakes nobody */
        cond_wait_until(&pool->room, &pool->lock, slice < until ? slice : until);
    }
    bool in = pool->busy < cache_pool_allowed(cache);
    pool->busy += in;
    if (pool->busy > pool->peak)
        pool->peak = pool->busy;
    pthread_mutex_unlock(&pool->lock);
    flow_hdr_record(&cache->pool_wait, clock_ns() - submitted_ns, 1);
    return in;
}

void cache_pool_leave(flow_cache *cache)
{
    pthread_mutex_lock(&cache->pool.lock);
    cache->pool.busy--;
    pthread_mutex_unlock(&cache->pool.lock);
    pthread_cond_signal(&cache->pool.room);
}

/* ---- loads that waited too long for a worker ---- */

/* Waits until the oldest has waited too long, or for the next to come. Under the lock. */
static void await_overdue(flow_cache *cache)
{
    cache_pool *pool = &cache->pool;
    rl_deadline at = deadline_in_ms(SLICE_MS);
    if (pool->first && deadline_of(cache, pool->first->submitted_ns) < at)
        at = deadline_of(cache, pool->first->submitted_ns);
    cond_wait_until(&pool->waiting, &pool->lock, at);
}

static cache_flight *take_overdue(flow_cache *cache)
{
    cache_pool *pool = &cache->pool;
    cache_flight *f = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->first && deadline_passed(deadline_of(cache, pool->first->submitted_ns)))
        f = take_flight(pool);
    else
        await_overdue(cache);
    pthread_mutex_unlock(&pool->lock);
    return f;
}

static void sweep_main(void *arg)
{
    flow_cache *cache = arg;
    while (!flow_stopping(&cache->flow)) {
        cache_flight *f = take_overdue(cache);
        if (f)
            cache_land(cache, f, CACHE_FROM_NOBODY, NULL, out_of_turn(), true);
    }
}

/* Health tells of the server and not of the last reader: while it is away somebody asks. */
static void probe_main(void *arg)
{
    flow_cache *cache = arg;
    do {
        if (atomic_load(&cache->db_up))
            continue;
        rl_err *err = my_conn_connect(cache->probe);
        atomic_store(&cache->db_up, !err);
        if (err)
            flow_down(&cache->flow, "mysql", err);
        else
            flow_up(&cache->flow, "mysql");
        err_free(err);
    } while (!flow_sleep(&cache->flow, SLICE_MS / 1e3));
}

/* ---- life of the pool ---- */

static void worker_open(flow_cache *cache, cache_worker *worker, int i)
{
    worker->cache = cache;
    worker->redis = redisc_new(&cache->opts.redis);
    worker->db = my_conn_new(&cache->opts.mysql);
    snprintf(worker->name, sizeof worker->name, "%d-%llx-%d", (int)getpid(),
             (unsigned long long)clock_unix_ns(), i);
}

rl_err *cache_pool_open(flow_cache *cache)
{
    cache_pool *pool = &cache->pool;
    pthread_mutex_init(&pool->lock, NULL);
    cond_init(&pool->more);
    cond_init(&pool->room);
    cond_init(&pool->waiting);
    pool->workers = mem_zero((size_t)cache->opts.workers * sizeof *pool->workers);
    for (int i = 0; i < cache->opts.workers; i++)
        worker_open(cache, &pool->workers[i], i);
    my_opts probe = cache->opts.mysql;
    if (probe.connect_timeout <= 0)
        probe.connect_timeout = 1;
    cache->probe = my_conn_new(&probe);
    rl_err *err = flow_start(&cache->flow, "cache-probe", probe_main, cache);
    if (!err && cache->opts.db_wait > 0)
        err = flow_start(&cache->flow, "cache-sweep", sweep_main, cache);
    return err;
}

void cache_pool_interrupt(flow_cache *cache)
{
    for (int i = 0; i < cache->opts.workers; i++) {
        redisc_cancel(cache->pool.workers[i].redis);
        my_conn_cancel(cache->pool.workers[i].db);
    }
    my_conn_cancel(cache->probe);
}

static void wake(pthread_mutex_t *lock, pthread_cond_t *cond)
{
    pthread_mutex_lock(lock);
    pthread_cond_broadcast(cond);
    pthread_mutex_unlock(lock);
}

void cache_pool_wake(flow_cache *cache)
{
    wake(&cache->pool.lock, &cache->pool.more);
    wake(&cache->pool.lock, &cache->pool.room);
    wake(&cache->pool.lock, &cache->pool.waiting);
}

void cache_pool_close(flow_cache *cache)
{
    cache_pool *pool = &cache->pool;
    for (cache_flight *f; (f = take_flight(pool));)
        cache_land(cache, f, CACHE_FROM_NOBODY, NULL,
                   cache_refusal("STOPPING", "the service is stopping"), true);
    for (int i = 0; i < cache->opts.workers; i++) {
        redisc_free(pool->workers[i].redis);
        my_conn_free(pool->workers[i].db);
    }
    free(pool->workers);
    my_conn_free(cache->probe);
    pthread_cond_destroy(&pool->more);
    pthread_cond_destroy(&pool->room);
    pthread_cond_destroy(&pool->waiting);
    pthread_mutex_destroy(&pool->lock);
}

/* ---- steps ---- */

rl_err *cache_point(int id, int64_t account)
{
    char text[24];
    fail_value value;
    fail_kv ctx[] = {{"account", text, true}, {"key", text, false}};
    snprintf(text, sizeof text, "%lld", (long long)account);
    fail_outcome outcome = fail_point((fail_point_id)id, ctx, 2, &value);
    if (outcome == FAIL_GO_ON)
        return NULL;
    rl_err *err = NULL;
    if (outcome == FAIL_FAILED)
        err = err_lab(value.text ? value.text : "INJECTED", "the failpoint %s says so",
                      fail_point_names[id]);
    free(value.text);
    return err;
}

static void step(flow_cache *cache, cache_lookup *lookup)
{
    rl_err *err = cache_point(FAIL_POINT_QUERY_ENTER, lookup->account);
    if (err)
        cache_fail(cache, lookup, err, false);
    else
        cache_begin(cache, lookup);
    err_free(err);
}

static void step_main(void *arg)
{
    flow_cache *cache = arg;
    cache_steps *steps = &cache->steps;
    for (;;) {
        pthread_mutex_lock(&steps->lock);
        steps->idle++;
        while (!steps->queue.first && !flow_stopping(&cache->flow)) {
            cond_wait_until(&steps->more, &steps->lock, deadline_in_ms(SLICE_MS));
        }
        steps->idle--;
        cache_waiter *w = cache_list_take(&steps->queue);
        pthread_mutex_unlock(&steps->lock);
        if (!w)
            return;
        step(cache, (cache_lookup *)w);
    }
}

void cache_steps_enter(flow_cache *cache, cache_lookup *lookup)
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
    wake(&cache->steps.lock, &cache->steps.more);
}

void cache_steps_close(flow_cache *cache)
{
    for (cache_waiter *w; (w = cache_list_take(&cache->steps.queue));)
        cache_begin(cache, (cache_lookup *)w);
    pthread_cond_destroy(&cache->steps.more);
    pthread_mutex_destroy(&cache->steps.lock);
}
