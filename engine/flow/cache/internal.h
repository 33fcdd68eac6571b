/* What the files of flow.cache share and nobody else needs.
 *
 * Who calls whom, top to bottom; nothing calls upwards:
 *   flow.c     opens and closes all of it, and its figures
 *   enter.c    a caller comes in: armed failpoints, the copy in the process
 *   reader.c   reads Redis for many callers at once
 *   lane.c     a server's thread reads Redis for all of its callers of one turn
 *   queue.c    what readers have to do; a batch of lookups
 *   judge.c    what Redis said: an answer, or a load
 *   worker.c   the queue of loads and the threads that work it off
 *   load.c     one load: the lease, the database, the fill
 *   turn.c     how many read the database at once
 *   answer.c   every lookup's one answer
 *   health.c, points.c   what servers did, failpoints
 * Uses: flow/cache. Thread: as there. */
#ifndef RL_FLOW_CACHE_INTERNAL_H
#define RL_FLOW_CACHE_INTERNAL_H

#include <stdatomic.h>

#include "base/rng.h"
#include "flow/cache/flight.h"
#include "flow/cache/flow.h"
#include "flow/cache/list.h"
#include "flow/cache/local.h"
#include "mysql/query.h"
#include "redis/cluster/keyspace.h"

typedef struct cache_lookup {
    cache_waiter waiter; /* first */
    int64_t account, began_ns;
    cache_entry seen; /* what Redis said, when it shall be loaded all the same */
    bool cacheless;   /* Redis could not be asked */
    bool lost;        /* with a connection, before a reply came */
    flow_cache_done *done;
    void (*let_go)(
        void *arg); /* its caller waits for flow_cache_turn until it is called; or NULL */
    void *arg;
} cache_lookup;

typedef struct cache_reader {
    flow_cache *cache;
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool asleep, called; /* called: to look at its lanes */
    cache_list queue;
    redisc_keyspace *redis;
    redisc_pipe pipe;
    redisReply **replies; /* BATCH_MAX; NULL: none came */
    cache_lookup **batch;
    rl_rng rng;
} cache_reader;

/* OWN: its thread's. TO_MEND: it has no connection, one of the readers makes it one. TO_FINISH: Redis did not
 * answer at once, and the reader waits for it. */
typedef enum cache_lane_state {
    CACHE_LANE_FREE,
    CACHE_LANE_OWN,
    CACHE_LANE_TO_MEND,
    CACHE_LANE_TO_FINISH
} cache_lane_state;

typedef struct cache_lane {
    flow_cache *cache;
    atomic_uint thread; /* http_thread of its owner; 0: none */
    atomic_int state;   /* who may touch what follows */
    cache_list queue;   /* always its thread's */
    redisc_conn *conn;
    redisc_pipe pipe;
    redisReply **replies;
    cache_lookup **batch;
    int n;
    size_t got;
    rl_rng rng;
} cache_lane;

typedef struct cache_worker {
    flow_cache *cache;
    redisc_keyspace *redis;
    my_conn *db;
    uint64_t tokens;
    char name[64]; /* of its leases: process and worker */
} cache_worker;

/* Threads for those who enter while a failpoint is armed: a pause must not hold a reader. */
typedef struct cache_steps {
    pthread_mutex_t lock;
    pthread_cond_t more;
    cache_list queue;
    int threads, idle;
} cache_steps;

typedef struct cache_workers {
    pthread_mutex_t lock;
    pthread_cond_t more, waiting; /* a flight is there; the queue is no more empty */
    cache_flight *first, *last;
    int queued, started, idle;
    cache_worker *list; /* opts.workers of them, the first `started` with a thread */
} cache_workers;

typedef struct cache_turns {
    pthread_mutex_t lock;
    pthread_cond_t room; /* a read has ended */
    int busy, peak;
} cache_turns;

struct flow_cache {
    rl_flow flow; /* first */
    flow_cache_opts opts;
    redisc_cluster *cluster; /* NULL: one Redis */
    cache_reader *readers;
    cache_lane *lanes; /* CACHE_LANES; NULL: none of a cluster, nor through TLS */
    atomic_uint next_reader;
    cache_steps steps;
    cache_workers workers;
    cache_turns turns;
    cache_flights flights;
    cache_local *local; /* NULL: neither local nor stale answers */
    cache_breaker redis_breaker, write_breaker, db_breaker;
    flow_counters *counters; /* shared: readers, workers and callers all count */
    flow_hdr latency[CACHE_SOURCE_COUNT], turn_wait, ahead;
    _Atomic int64_t recovered_ns; /* when a breaker closed last */
    _Atomic int64_t open_lookups; /* not answered yet */
    atomic_bool db_up;            /* as the last read said */
    my_conn *probe;               /* asks while it is not */
};

static inline void cache_count_up(flow_cache *cache, flow_cache_count which, int64_t n)
{
    flow_add_shared(cache->counters, which, n);
}

/* ---- points.c ---- */

rl_err *cache_point(int id, int64_t account); /* a failpoint; the error that it asks for, or NULL */
void cache_points_resume(void);               /* whoever pauses at one goes on */

/* ---- health.c: what came of asking a server ---- */

void cache_redis_good(flow_cache *cache);
void cache_redis_bad(flow_cache *cache, const rl_err *why);
/* Redis answers but takes no writes (full, read-only, ...): it is read on, and neither leases nor
 * fills are tried while its breaker is open. */
void cache_writes_good(flow_cache *cache);
void cache_writes_bad(flow_cache *cache, const rl_err *why);
/* An error reply that is about the server and not about the key or the command; by its first word. */
bool cache_is_refusal(const redisReply *reply);
bool cache_is_refusal_name(const char *name);
void cache_db_good(flow_cache *cache);
void cache_db_bad(flow_cache *cache, const rl_err *why);

/* ---- answer.c: each lookup is given to exactly one of these, once ---- */

void cache_answer(flow_cache *cache, cache_lookup *lookup, flow_cache_source source,
                  const cache_entry *entry);
void cache_answer_failed(flow_cache *cache, cache_lookup *lookup, const rl_err *why, bool refused);
/* The outcome of a load for all who waited; err (freed here) or an entry. */
void cache_answer_flight(flow_cache *cache, cache_flight *flight, flow_cache_source source,
                         const cache_entry *entry, rl_err *err, bool refused);
/* What may be said when a server fails: the last that this process has seen, or what Redis had
 * before its soft TTL was over. */
bool cache_stale_copy(flow_cache *cache, const cache_lookup *lookup, cache_entry *out);
rl_err *cache_refusal(const char *name, const char *why);

/* ---- turn.c ---- */

void cache_turns_open(flow_cache *cache);
/* A turn at the database; false: it did not come in time. */
bool cache_turn_take(flow_cache *cache, int64_t submitted_ns);
void cache_turn_leave(flow_cache *cache);
int cache_turns_allowed(flow_cache *cache); /* how many turns there are just now */
int64_t cache_turn_end(flow_cache *cache, int64_t submitted_ns); /* until when a load may wait */
rl_err *cache_turn_refusal(void);
void cache_turns_wake(flow_cache *cache);
void cache_turns_close(flow_cache *cache);

/* ---- load.c ---- */

void cache_load(cache_worker *worker, cache_flight *flight); /* ends the flight */

/* ---- worker.c ---- */

rl_err *cache_workers_open(flow_cache *cache);
void cache_workers_submit(flow_cache *cache, cache_flight *flight);
void cache_workers_interrupt(flow_cache *cache);
void cache_workers_wake(flow_cache *cache);
void cache_workers_close(flow_cache *cache);

/* ---- judge.c ---- */

/* What Redis said; reply NULL: it could not be asked. */
void cache_judge(flow_cache *cache, cache_lookup *lookup, const redisReply *reply, rl_rng *rng);

/* ---- queue.c ---- */

void cache_readers_ask(flow_cache *cache, cache_lookup *lookup);
void cache_reader_call(flow_cache *cache, int reader); /* cache_lanes_serve is wanted */
/* Waits a while for work. Returns how many lookups were taken. */
int cache_reader_take(cache_reader *reader);
int cache_readers_count(const flow_cache *cache); /* none when the cache could not be opened */
void cache_readers_wake(flow_cache *cache);       /* so that who sleeps sees the end */

void cache_batch_write(redisc_pipe *pipe, const flow_cache *cache, cache_lookup *const *batch,
                       int n);
/* What came of a batch: counted, told to the breaker, and each lookup judged; err is freed. */
void cache_batch_over(flow_cache *cache, cache_lookup *const *batch, redisReply *const *replies,
                      int n, size_t got, rl_err *err, rl_rng *rng);
/* Of one that was not asked. */
void cache_batch_silent(flow_cache *cache, cache_lookup *const *batch, int n, rl_rng *rng);

/* ---- lane.c ---- */

enum { CACHE_LANES = 64, CACHE_BATCH_MAX = 512 };

void cache_lanes_open(flow_cache *cache);
/* false: its thread has no lane that is ready */
bool cache_lane_ask(flow_cache *cache, cache_lookup *lookup, unsigned thread);
/* By a reader, what is its to do. mended: its own connection; NULL: it makes none for others. */
void cache_lanes_serve(flow_cache *cache, int reader, redisc_keyspace *mended);
void cache_lanes_interrupt(flow_cache *cache);
void cache_lanes_close(flow_cache *cache);

/* ---- reader.c ---- */

rl_err *cache_readers_open(flow_cache *cache);
void cache_readers_interrupt(flow_cache *cache);
void cache_readers_close(flow_cache *cache);

/* ---- enter.c ---- */

void cache_steps_open(flow_cache *cache);
void cache_steps_wake(flow_cache *cache);
void cache_steps_close(flow_cache *cache);

#endif
