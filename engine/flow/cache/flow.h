/* flow.cache: the read path. Account by account from Redis, where they are kept as scripts.h says,
 * else from MySQL's account_view.
 *
 * Offers: flow_cache, a flow whose readers (one thread and one pipelined Redis connection each) look
 * up what many callers ask for at once (a server's threads do so for their own callers while one Redis
 * answers at once), and whose workers (a thread, a MySQL and a Redis connection
 * each, started when needed) load what is missing. Redis is one server or a cluster, whose client all
 * of them share; a node that fails costs the accounts of its slots. Every protection is a switch of
 * flow_cache_opts: lifetimes with jitter, soft TTL, XFetch, singleflight in the process and across
 * processes, negative entries, three ways to fill, timeouts, circuit breakers, stale answers on errors,
 * a copy in the process, and a cap on concurrent database reads. A load that fails while others wait
 * with it is tried once more.
 * Failpoints: query.enter, query.db_load, query.before_fill with the account; they block threads of
 * their own or a worker, never a reader.
 * Uses: flow, redis, mysql, fault. Thread: flow_cache_get from any; `done` is called on any, must
 * not block, and may come before flow_cache_get returns. */
#ifndef RL_FLOW_CACHE_FLOW_H
#define RL_FLOW_CACHE_FLOW_H

#include "flow/cache/policy.h"
#include "flow/cache/scripts.h"
#include "flow/core.h"
#include "mysql/conn.h"

typedef enum flow_cache_single {
    CACHE_SINGLE_NONE,    /* each miss loads */
    CACHE_SINGLE_PROCESS, /* one load a process and account */
    CACHE_SINGLE_LEASE    /* one load an account: who has the lease in Redis */
} flow_cache_single;

typedef enum flow_cache_fill {
    CACHE_FILL_PLAIN,
    CACHE_FILL_LEASE,
    CACHE_FILL_VERSIONED
} flow_cache_fill;

/* What Redis' breaker counts. CONNECTS is wrong: a server that stands still takes connections. */
typedef enum flow_cache_breaks { CACHE_BREAKS_FAILURES, CACHE_BREAKS_CONNECTS } flow_cache_breaks;

extern const char *const flow_cache_single_names[],
    *const flow_cache_fill_names[], *const flow_cache_breaks_names[]; /* NULL-terminated */

typedef struct flow_cache_opts {
    keyspace_opts
        redis;     /* its timeouts are set from redis_timeout, a node's rest from the breaker's */
    my_opts mysql; /* likewise, from db_timeout */
    const char *prefix;
    int64_t ttl_ms, soft_ttl_ms, negative_ttl_ms; /* soft, negative 0: off */
    double jitter;                                /* 0..1: ttl * (1 +- jitter) */
    double beta;                                  /* XFetch; 0: off */
    uint64_t seed;
    flow_cache_single single;
    flow_cache_fill fill;
    int64_t lease_ms;                 /* how long a lease lives, and how long others wait for it */
    double redis_timeout, db_timeout; /* seconds; 0: for ever */
    int redis_readers, workers;
    int db_reads_max;     /* at once */
    double db_wait;       /* how long a load waits for its turn; 0: for ever */
    int breaker_failures; /* 0: no breaker */
    flow_cache_breaks breaks;
    double breaker_pause;
    double ramp;      /* after a breaker closed db_reads_max is reached in that time; 0: at once */
    int retries;      /* of a load that failed while others wait with it */
    int64_t local_ms; /* answered from this process; 0: off */
    int64_t stale_ms; /* answered from this process when a server fails; 0: off */
    int64_t local_size; /* entries */
} flow_cache_opts;

typedef enum flow_cache_source {
    CACHE_FROM_CACHE,
    CACHE_FROM_STALE, /* the soft TTL is over, or a server fails */
    CACHE_FROM_DB,
    CACHE_FROM_NEGATIVE, /* known not to exist */
    CACHE_FROM_LOCAL,
    CACHE_FROM_NOBODY, /* no answer: see failure */
    CACHE_SOURCE_COUNT
} flow_cache_source;

extern const char
    *const flow_cache_source_names[]; /* "cache", "stale", "db", "negative", "l1", "error" */

typedef struct flow_cache_result {
    flow_cache_source source;
    cache_entry entry; /* CACHE_VALUE, or CACHE_NEGATIVE: no such account */
    int64_t account, age_ms;
    bool refused;          /* of NOBODY: by our own cap, breaker or end; else a server failed */
    const rl_err *failure; /* of NOBODY; valid during the call */
} flow_cache_result;

typedef struct flow_cache flow_cache;
typedef void flow_cache_done(const flow_cache_result *result, void *arg);

rl_err *flow_cache_open(const flow_cache_opts *opts,
                        flow_cache **out); /* connects in the background */
rl_flow *flow_cache_flow(flow_cache *cache);
void flow_cache_get(flow_cache *cache, int64_t account, flow_cache_done *done,
                    void *arg); /* exactly one done */

/* The same by a thread with a number of its own (from 1), which comes back: true, the lookup waits for the
 * thread's flow_cache_turn, which asks Redis for all of them at once, on the thread's own connection, and
 * calls let_go for each before it has its answer or goes another way. false: it goes that way already. */
bool flow_cache_get_kept(flow_cache *cache, int64_t account, unsigned thread, flow_cache_done *done,
                         void (*let_go)(void *arg), void *arg);
void flow_cache_turn(flow_cache *cache, unsigned thread); /* blocks for a moment at most */

/* Ends what is under way, with an error where it must; false: a thread hangs and the memory
 * stays. */
bool flow_cache_close(flow_cache *cache, double seconds);

/* ---- figures ---- */

/* COUNT(id, name): what is counted, and its name in stats(). */
#define CACHE_COUNTS(COUNT)               \
    COUNT(FROM_CACHE, "from_cache")       \
    COUNT(FROM_STALE, "from_stale")       \
    COUNT(FROM_DB, "from_db")             \
    COUNT(FROM_NEGATIVE, "from_negative") \
    COUNT(FROM_LOCAL, "from_l1")          \
    COUNT(FROM_NOBODY, "failed")          \
    COUNT(REFUSED, "refused")             \
    COUNT(MISSES, "misses")               \
    COUNT(JOINS, "joins")                 \
    COUNT(EARLY, "early")                 \
    COUNT(REFRESHES, "refreshes")         \
    COUNT(LEASE_WAITS, "lease_waits")     \
    COUNT(LEASE_HITS, "lease_hits")       \
    COUNT(DB_READS, "db_reads")           \
    COUNT(DB_ERRORS, "db_errors")         \
    COUNT(RETRIES, "retries")             \
    COUNT(FILLS, "fills")                 \
    COUNT(FILLS_REFUSED, "fills_refused") \
    COUNT(FILL_ERRORS, "fill_errors")     \
    COUNT(REDIS_BATCHES, "redis_batches") \
    COUNT(REDIS_LOOKUPS, "redis_lookups") \
    COUNT(REDIS_ERRORS, "redis_errors")   \
    COUNT(BAD_ENTRIES, "bad_entries")

typedef enum flow_cache_count {
#define COUNT(id, name) CACHE_N_##id,
    CACHE_COUNTS(COUNT)
#undef COUNT
        CACHE_N_COUNT
} flow_cache_count;

extern const char *const flow_cache_count_names[CACHE_N_COUNT];

int64_t flow_cache_counted(flow_cache *cache, flow_cache_count which);
void flow_cache_add_latency(flow_cache *cache, flow_cache_source source,
                            struct hdr_histogram *sum);                      /* ns */
void flow_cache_add_turn_wait(flow_cache *cache, struct hdr_histogram *sum); /* ns */
void flow_cache_add_ahead(flow_cache *cache,
                          struct hdr_histogram *sum); /* ns that XFetch came before the end */

typedef struct flow_cache_gauges {
    cache_breaker_state redis, redis_writes, db;
    int64_t redis_opens, redis_writes_opens, db_opens;
    int db_busy, db_peak; /* reads at once, now and at most */
    int db_allowed;       /* of db_reads_max, just now */
    int queued;           /* loads that wait for a worker */
} flow_cache_gauges;

void flow_cache_measure(flow_cache *cache, flow_cache_gauges *out);
void flow_cache_forget_peak(flow_cache *cache); /* db_peak begins anew */

#endif
