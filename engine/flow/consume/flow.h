/* The consumer: records of a topic and its retry topics become rows, each event once.
 *
 * Offers: consume, a flow of one polling thread and a pool of workers, each with its own MySQL (and
 * Redis) connection. A partition belongs to one worker, so its order is kept; with the pool modes
 * of `commit` the next free worker takes the next record instead. A batch becomes one transaction:
 * dedup rows, read model (aggregated per account), effects; then the cache, then the offset. A
 * record that fails is taken out of its batch by halving, and goes to the retry topic of its
 * attempt or to the DLQ (flow/dlq.h) before its offset is stored. Records of a partition that was
 * taken away are dropped before their transaction. Values are JSON, or Avro with the
 * writer's schema id in front; a registry that is away fails no record, its partition waits. Every
 * wrong practice is a value of an option here; the defaults of the binding are the right ones.
 * Uses: flow/core, kafka/consumer, kafka/producer, mysql, redis, registry, fault/point. Thread:
 * open and close in one; figures and health in any. */
#ifndef RL_FLOW_CONSUME_FLOW_H
#define RL_FLOW_CONSUME_FLOW_H

#include "flow/cache/scripts.h"
#include "flow/core.h"
#include "kafka/client.h"
#include "mysql/conn.h"
#include "redis/cluster/keyspace.h"

typedef struct flow_consume flow_consume;

typedef enum flow_consume_commit {
    CONSUME_AFTER_WORK,      /* store after the work, committed in the background */
    CONSUME_SYNC_AFTER_WORK, /* a commit after each batch */
    CONSUME_BEFORE_WORK,     /* a commit before each batch: loses what is under way */
    CONSUME_AUTO,            /* stored when it is handed over: loses likewise */
    CONSUME_POOL_MAX,        /* the highest finished offset: loses what is behind it */
    CONSUME_POOL_MIN,        /* up to the lowest unfinished one */
    CONSUME_MYSQL,           /* in consumer_offset, in the transaction of the effects */
} flow_consume_commit;

typedef enum flow_consume_dedup {
    CONSUME_DEDUP_PROCESSED, /* processed_event, by event id */
    CONSUME_DEDUP_NONE,
    CONSUME_DEDUP_REDIS,    /* SET NX before the transaction: a crash between the two loses */
    CONSUME_DEDUP_POSITION, /* processed_event, by topic/partition/offset: a retry is a new event */
} flow_consume_dedup;

/* After 1213 (deadlock) and 1205 (lock wait). */
typedef enum flow_consume_on_conflict {
    CONSUME_RETRY,            /* ROLLBACK and the whole once more, with backoff */
    CONSUME_DLQ,              /* ROLLBACK and to the DLQ at once */
    CONSUME_REPEAT_STATEMENT, /* the failed statement only */
    CONSUME_RESTART,          /* START TRANSACTION without ROLLBACK */
} flow_consume_on_conflict;

typedef enum flow_consume_undecodable {
    CONSUME_PARK, /* to the DLQ at once; without one it is tried on and on */
    CONSUME_PASS, /* wrong: passed over */
} flow_consume_undecodable;

enum { CONSUME_DELAYS_MAX = 8, CONSUME_BATCH_MAX = 10000, CONSUME_WORKERS_MAX = 64 };

typedef struct flow_consume_delay {
    double seconds;
    const char *topic;
} flow_consume_delay;

typedef struct flow_consume_opts {
    rd_kafka_conf_t *consumer, *producer; /* taken by flow_consume_open, also when it fails */
    my_opts mysql;
    keyspace_opts redis;
    const char *topic, *consumer_name, *member;
    const char *dlq; /* NULL: a record that fails for good is tried until it does not */
    flow_consume_delay delays[CONSUME_DELAYS_MAX]; /* of the first failure, the second, ... */
    int ndelays;
    int workers, batch, fetch; /* fetch: records taken from a partition at once, >= batch */
    flow_consume_commit commit;
    flow_consume_dedup dedup;
    cache_mode cache;
    bool cache_before; /* before the transaction: wrong */
    bool cache_again;  /* and so many seconds after it once more */
    double cache_again_after;
    const char *cache_prefix;
    double cache_wait; /* how long a batch waits for a Redis that is away before its records fail */
    double dedup_ttl;  /* of a dedup key in Redis */
    bool invalidate_seen; /* also when the event had been applied before */
    bool transactional;   /* false: each statement by itself */
    bool drop_lost;   /* false: work of a partition that was taken away is finished and committed */
    bool sleep_retry; /* waits in place of sending to a retry topic */
    bool
        /* accounts in the order of their ids; false: as the event has them, one statement each */
        lock_in_order;
    flow_consume_on_conflict on_deadlock, on_lock_wait;
    int tries; /* of a transaction in conflict */
    double backoff_min, backoff_max, lock_wait, revoke_wait;
    const char *amount; /* names of the field that holds it, by comma */
    bool missing_zero;  /* wrong: a field that is missing is 0 */
    flow_consume_undecodable undecodable;
    const char *reader_schema; /* the values are Avro, read by this schema; NULL: they are JSON */
    const char *registry;      /* where the writers' schemas are */
    double registry_timeout;
    bool asks; /* each batch is shown to the owner before it is applied: flow_consume_ask_take */
    uint64_t seed;
} flow_consume_opts;

/* Connects in the background. */
rl_err *flow_consume_open(flow_consume_opts *opts, flow_consume **out);
rl_flow *flow_consume_flow(flow_consume *consume); /* also &consume->flow: it is the first member */

/* flow_stop ends the workers after their batches, commits and leaves the group. */

/* false: a thread hangs; nothing was freed. */
bool flow_consume_close(flow_consume *consume, double seconds);

/* ---- figures ---- */

#define CONSUME_COUNTERS(X)                                                            \
    X(polled, "records taken from partitions")                                         \
    X(applied, "events applied")                                                       \
    X(seen, "records whose event had been applied before")                             \
    X(skipped, "records for another group")                                            \
    X(passed_over, "records passed over because they could not be decoded")            \
    X(dropped, "records dropped because their partition was taken away")               \
    X(failed, "attempts that failed")                                                  \
    X(retried, "records sent to a retry topic")                                        \
    X(parked, "records sent to the DLQ")                                               \
    X(batches, "transactions committed")                                               \
    X(split, "batches halved to find a record that fails")                             \
    X(deadlocks, "transactions ended by 1213")                                         \
    X(lock_waits, "statements ended by 1205")                                          \
    X(repeats, "transactions done once more")                                          \
    X(reconnects, "connections to MySQL made")                                         \
    X(invalidated, "cache keys invalidated or set")                                    \
    X(invalidations_failed, "invalidations that failed")                               \
    X(store_refused, "offsets that could not be stored, as the partition is not ours") \
    X(commits, "synchronous commits")                                                  \
    X(rebalances, "changes of our share of the group's partitions")                    \
    X(assigned, "partitions assigned")                                                 \
    X(revoked, "partitions taken away")

typedef enum flow_consume_counter {
#define COUNTER(name, help) CONSUME_N_##name,
    CONSUME_COUNTERS(COUNTER)
#undef COUNTER
        CONSUME_N
} flow_consume_counter;

typedef struct flow_consume_partition {
    char topic[250];
    int32_t partition;
    int64_t position; /* next to do; -1: nothing done yet */
    int64_t lag;      /* -1: unknown */
    double waits;     /* seconds until its next record is due; 0: not waiting */
} flow_consume_partition;

/* Partitions held now; writes at most max, returns how many there are. */
int flow_consume_partitions(flow_consume *consume, flow_consume_partition *out, int max);

typedef enum flow_consume_hist {
    CONSUME_H_TRANSACTION, /* START to the answer of COMMIT */
    CONSUME_H_DELAY,       /* record's timestamp to its commit in MySQL */
    CONSUME_H_LATENESS,    /* after a retry was due */
    CONSUME_H
} flow_consume_hist;
void flow_consume_hist_add_to(flow_consume *consume, flow_consume_hist which,
                              struct hdr_histogram *sum);

/* ---- a handler of the owner's ---- */

typedef struct flow_consume_view {
    const char *topic, *key, *value;
    size_t key_len, value_len;
    int32_t partition;
    int64_t offset, timestamp;
    const rd_kafka_headers_t *headers; /* NULL: none */
    int attempt;
    const char *event_id;
    int64_t account, amount, balance, version;
} flow_consume_view;

typedef enum flow_consume_verdict { CONSUME_GO, CONSUME_SKIP, CONSUME_REFUSE } flow_consume_verdict;

/* With `asks`, a worker shows each batch and waits; an event "batch" announces it.
 * Takes the oldest that nobody has taken: its number, and how many records it has; 0: there is none. */
int64_t flow_consume_ask_take(flow_consume *consume, int *n);
/* Shows record i (0..n-1) of a batch that was taken to `see`; what it is shown is good during the
 * call. false: the batch is gone, for it was answered or its worker has ended. */
bool flow_consume_ask_look(flow_consume *consume, int64_t number, int i,
                           void (*see)(void *arg, const flow_consume_view *record), void *arg);
/* Of one record of a batch that was taken; `why` (of REFUSE) is copied. The first verdict counts. A
 * batch that is gone, and a record that it does not have, are passed over. */
void flow_consume_ask_verdict(flow_consume *consume, int64_t number, int64_t i,
                              flow_consume_verdict verdict, const char *why);
void flow_consume_ask_done(flow_consume *consume, int64_t number); /* the worker goes on */
/* In place of it, when the handler's answer is none: the batch is shown again after a moment, and health
 * says `why` (copied) until it has an answer. */
void flow_consume_ask_again(flow_consume *consume, int64_t number, const char *why);

#endif
