/* The queue of loads, and the workers that work it off; workers are started when they are needed.
 * Beside them: who ends loads that waited too long, and who asks MySQL while it is away. */
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/cond.h"
#include "flow/cache/internal.h"

enum { SLICE_MS = 250 };

/* ---- the queue ---- */

/* Under the lock. */
static cache_flight *take_flight(cache_workers *workers)
{
    cache_flight *flight = workers->first;
    if (!flight)
        return NULL;
    workers->first = flight->next;
    if (!workers->first)
        workers->last = NULL;
    workers->queued--;
    rl_assert(flight->state == CACHE_FLIGHT_QUEUED && workers->queued >= 0);
    flight->state = CACHE_FLIGHT_TAKEN;
    return flight;
}

static cache_flight *next_flight(cache_worker *worker)
{
    flow_cache *cache = worker->cache;
    cache_workers *workers = &cache->workers;
    pthread_mutex_lock(&workers->lock);
    workers->idle++;
    while (!workers->first && !flow_stopping(&cache->flow))
        cond_wait_until(&workers->more, &workers->lock, deadline_in_ms(SLICE_MS));
    workers->idle--;
    cache_flight *flight = take_flight(workers);
    pthread_mutex_unlock(&workers->lock);
    return flight;
}

static void worker_main(void *arg)
{
    cache_worker *worker = arg;
    for (cache_flight *flight; (flight = next_flight(worker));)
        cache_load(worker, flight);
}

/* Under the lock. */
static void start_worker(flow_cache *cache)
{
    cache_workers *workers = &cache->workers;
    rl_assert(flow_lock_held(&workers->lock));
    if (workers->queued <= workers->idle || workers->started == cache->opts.workers)
        return;
    rl_err *err =
        flow_start(&cache->flow, "cache-load", worker_main, &workers->list[workers->started]);
    if (!err)
        workers->started++;
    err_free(err); /* the others have to do */
}

void cache_workers_submit(flow_cache *cache, cache_flight *flight)
{
    cache_workers *workers = &cache->workers;
    rl_assert(flight->state == CACHE_FLIGHT_NEW);
    flight->state = CACHE_FLIGHT_QUEUED;
    flight->submitted_ns = clock_ns();
    flight->next = NULL;
    pthread_mutex_lock(&workers->lock);
    if (workers->last)
        workers->last->next = flight;
    else
        workers->first = flight;
    workers->last = flight;
    bool first = workers->queued++ == 0;
    start_worker(cache);
    pthread_mutex_unlock(&workers->lock);
    pthread_cond_signal(&workers->more);
    if (first)
        pthread_cond_signal(&workers->waiting);
}

/* ---- loads that waited too long for a worker ---- */

/* Waits until the oldest has waited too long, or for the next to come. Under the lock. */
static void await_overdue(flow_cache *cache)
{
    cache_workers *workers = &cache->workers;
    rl_deadline until = deadline_in_ms(SLICE_MS);
    if (workers->first && cache_turn_end(cache, workers->first->submitted_ns) < until)
        until = cache_turn_end(cache, workers->first->submitted_ns);
    cond_wait_until(&workers->waiting, &workers->lock, until);
}

static cache_flight *take_overdue(flow_cache *cache)
{
    cache_workers *workers = &cache->workers;
    cache_flight *flight = NULL;
    pthread_mutex_lock(&workers->lock);
    if (workers->first && deadline_passed(cache_turn_end(cache, workers->first->submitted_ns)))
        flight = take_flight(workers);
    else
        await_overdue(cache);
    pthread_mutex_unlock(&workers->lock);
    return flight;
}

static void sweep_main(void *arg)
{
    flow_cache *cache = arg;
    while (!flow_stopping(&cache->flow)) {
        cache_flight *flight = take_overdue(cache);
        if (flight)
            cache_answer_flight(cache, flight, CACHE_FROM_NOBODY, NULL, cache_turn_refusal(), true);
    }
}

/* Health shows the server and not the last caller's luck: while it is away somebody asks. */
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

/* ---- life ---- */

static void worker_open(flow_cache *cache, cache_worker *worker, int i)
{
    worker->cache = cache;
    worker->redis = keyspace_new(&cache->opts.redis, cache->cluster);
    worker->db = my_conn_new(&cache->opts.mysql);
    snprintf(worker->name, sizeof worker->name, "%d-%llx-%d", (int)getpid(),
             (unsigned long long)clock_unix_ns(), i);
}

rl_err *cache_workers_open(flow_cache *cache)
{
    cache_workers *workers = &cache->workers;
    pthread_mutex_init(&workers->lock, NULL);
    cond_init(&workers->more);
    cond_init(&workers->waiting);
    workers->list = mem_zero((size_t)cache->opts.workers * sizeof *workers->list);
    for (int i = 0; i < cache->opts.workers; i++)
        worker_open(cache, &workers->list[i], i);
    my_opts probe = cache->opts.mysql;
    if (probe.connect_timeout <= 0)
        probe.connect_timeout = 1;
    cache->probe = my_conn_new(&probe);
    rl_err *err = flow_start(&cache->flow, "cache-probe", probe_main, cache);
    if (!err && cache->opts.db_wait > 0)
        err = flow_start(&cache->flow, "cache-sweep", sweep_main, cache);
    return err;
}

void cache_workers_interrupt(flow_cache *cache)
{
    for (int i = 0; i < cache->opts.workers; i++) {
        keyspace_cancel(cache->workers.list[i].redis);
        my_conn_cancel(cache->workers.list[i].db);
    }
    my_conn_cancel(cache->probe);
}

void cache_workers_wake(flow_cache *cache)
{
    pthread_mutex_lock(&cache->workers.lock);
    pthread_cond_broadcast(&cache->workers.more);
    pthread_cond_broadcast(&cache->workers.waiting);
    pthread_mutex_unlock(&cache->workers.lock);
}

void cache_workers_close(flow_cache *cache)
{
    cache_workers *workers = &cache->workers;
    for (cache_flight *flight; (flight = take_flight(workers));)
        cache_answer_flight(cache, flight, CACHE_FROM_NOBODY, NULL,
                            cache_refusal("STOPPING", "the service is stopping"), true);
    for (int i = 0; i < cache->opts.workers; i++) {
        keyspace_free(workers->list[i].redis);
        my_conn_free(workers->list[i].db);
    }
    free(workers->list);
    my_conn_free(cache->probe);
    pthread_cond_destroy(&workers->more);
    pthread_cond_destroy(&workers->waiting);
    pthread_mutex_destroy(&workers->lock);
}
