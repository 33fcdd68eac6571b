/* What the files of flow.cache share and nobody else needs. Uses: flow/cache. Thread: as there. */
#ifndef RL_FLOW_CACHE_INTERNAL_H
#define RL_FLOW_CACHE_INTERNAL_H

#include <stdatomic.h>

#include "base/rng.h"
#include "flow/cache/flow.h"
#include "flow/cache/flight.h"
#include "flow/cache/local.h"
#include "mysql/query.h"
#include "redis/pipe.h"

typedef struct cache_lookup {
    cache_waiter waiter; /* first */
    int64_t account, began_ns;
    cache_entry seen; /* what Redis said, when it shall be loaded all the same */
    bool cacheless;   /* Redis could not be asked */
    flow_cache_done *done;
    void *arg;
} cache_lookup;

/* A list that threads hand on. */
typedef struct cache_list {
    cache_waiter *first, *last;
    int count;
} cache_list;

void cache_list_add(cache_list *list, cache_waiter *w);
cache_waiter *cache_list_take(cache_list *list);

typedef struct cache_lane {
    flow_cache *cache;
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool asleep;
    cache_list queue;
    redisc_conn *conn;
    redisc_pipe pipe;
    redisReply **replies;
    cache_lookup **batch;
    rl_rng rng;
} cache_lane;

typedef struct cache_worker {
    flow_cache *cache;
    redisc_conn *redis;
    my_conn *db;
    uint64_t tokens;
    char name[64]; /* of its leases: process and worker */
} cache_worker;

/* Threads for those who enter while a failpoint is armed: a pause must not hold a lane. */
typedef struct cache_steps {
    pthread_mutex_t lock;
    pthread_cond_t more;
    cache_list queue;
    int threads, idle;
} cache_steps;

typedef struct cache_pool {
    pthread_mutex_t lock;
    pthread_cond_t more, room,
        waiting; /* a flight is there; a read has ended; the queue is no more empty */
    cache_flight *first, *last;
    int queued, started, idle, busy, peak;
    cache_worker *workers;
} cache_pool;

struct flow_cache {
    rl_flow flow; /* first */
    flow_cache_opts opts;
    cache_lane *lanes;
    atomic_uint next_lane;
    cache_steps steps;
    cache_pool pool;
    cache_flights flights;
    cache_local *local; /* NULL: neither local nor stale answers */
    cache_breaker redis_breaker, db_breaker;
    _Atomic int64_t counts[CACHE_N_COUNT];
    flow_hdr latency[CACHE_SOURCE_COUNT], pool_wait, ahead;
    _Atomic int64_t recovered_ns; /* when a breaker closed last */
    atomic_bool db_up;            /* as the last read said */
    my_conn *probe;               /* asks while it is not */
};

static inline void cache_count_up(flow_cache *cache, flow_cache_count which, int64_t n)
{
    atomic_fetch_add_explicit(&cache->counts[which], n, memory_order_relaxed);
}

/* ---- flow.c: what is decided ---- */

void cache_begin(flow_cache *cache, cache_lookup *lookup);
/* What Redis said; reply NULL: it could not be asked. */
void cache_judge(flow_cache *cache, cache_lookup *lookup, const redisReply *reply, rl_rng *rng);
void cache_finish(flow_cache *cache, cache_lookup *lookup, flow_cache_source source,
                  const cache_entry *entry);
void cache_fail(flow_cache *cache, cache_lookup *lookup, const rl_err *why, bool refused);
/* The outcome of a load for all who waited; err (freed here) or an entry. */
void cache_land(flow_cache *cache, cache_flight *flight, flow_cache_source source,
                const cache_entry *entry, rl_err *err, bool refused);
void cache_recovered(flow_cache *cache, const char *need); /* its breaker has closed */
void cache_redis_good(flow_cache *cache);
void cache_redis_bad(flow_cache *cache, const rl_err *why);

/* ---- lane.c ---- */

rl_err *cache_lanes_open(flow_cache *cache);
void cache_lanes_ask(flow_cache *cache, cache_lookup *lookup);
void cache_lanes_interrupt(flow_cache *cache);
void cache_lanes_close(flow_cache *cache);
/* Wakes all who sleep in the lanes, so that they see the end. */
void cache_lanes_wake(flow_cache *cache);

/* ---- pool.c: threads for loads and for armed failpoints ---- */

rl_err *cache_pool_open(flow_cache *cache);
void cache_pool_submit(flow_cache *cache, cache_flight *flight);
/* A turn at the database; false: it did not come in time. */
bool cache_pool_enter(flow_cache *cache, int64_t submitted_ns);
void cache_pool_leave(flow_cache *cache);
int cache_pool_allowed(flow_cache *cache); /* how many turns there are just now */
void cache_pool_interrupt(flow_cache *cache);
void cache_pool_wake(flow_cache *cache);
void cache_pool_close(flow_cache *cache);

void cache_steps_open(flow_cache *cache);
void cache_steps_enter(flow_cache *cache, cache_lookup *lookup);
void cache_steps_wake(flow_cache *cache);
void cache_steps_close(flow_cache *cache);

/* ---- load.c ---- */

void cache_load(cache_worker *worker, cache_flight *flight);
rl_err *cache_refusal(const char *name, const char *why);
rl_err *cache_point(int id, int64_t account); /* a failpoint; the error that it asks for, or NULL */

#endif
