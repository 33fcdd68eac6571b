/* The inside of the consumer, shared by the files of this folder only.
 *
 * Life of a record: a part (a partition while it is ours) fetches it, a worker takes it through the
 * steps of work.c: it is written (tx.c), the cache is invalidated (cache.c), or it is sent on
 * (route.c); then the part's offset moves (offset.c).
 * A part belongs to one worker; in the pool modes of `commit` to all, and its records pass through
 * the shared queue. A part that was taken away is freed by the last one who holds it. Locks: a
 * worker's lock is taken by librdkafka's callbacks, under librdkafka's own locks, so librdkafka is
 * never called with it held (kafka/leaf.h holds that); a part's lock and that of the shared queue are
 * not, and may be. */
#ifndef RL_FLOW_CONSUME_INTERNAL_H
#define RL_FLOW_CONSUME_INTERNAL_H

#include "base/buf.h"
#include "base/rng.h"
#include "fault/point/registry.h"
#include "flow/consume/flow.h"
#include "flow/consume/event.h"
#include "flow/consume/permit.h"
#include "flow/consume/sums.h"
#include "flow/consume/track.h"
#include "kafka/consumer.h"
#include "kafka/producer.h"
#include "mysql/query.h"
#include "registry/schemas.h"

typedef struct consume_item consume_item;
typedef struct consume_part consume_part;
typedef struct consume_worker consume_worker;

typedef enum consume_state {
    ITEM_NEW,
    ITEM_READY, /* to be applied */
    ITEM_SEEN,  /* had been applied before */
    ITEM_APPLIED,
    ITEM_SKIPPED, /* nothing to do */
    ITEM_FAILED,  /* err says why; not sent on yet */
    ITEM_SENT_ON, /* to a retry topic or the DLQ */
    ITEM_DROPPED, /* not done: its offset must not be passed */
} consume_state;  /* item.c says which may follow which */

struct consume_item {
    rd_kafka_message_t *msg;
    consume_part *part;
    consume_event event;
    consume_story story;
    consume_state state;
    rl_err *err;
    const char *error_class;
    bool invalidated; /* the cache was, for this record */
    bool final;       /* no retry topic, to the DLQ at once */
    bool stuck;       /* counted in its part's nstuck, see stuck.c */
    int64_t first_ms; /* wall clock of its first failure here; 0: none */
};

/* ---- items (item.c) ---- */

void consume_item_become(consume_item *item, consume_state state);
void consume_item_fail(consume_item *item, const char *error_class, rl_err *err); /* takes err */
/* Reaches a point in the context of the item; the error of an `error` action. */
rl_err *consume_item_hit(const consume_item *item, fail_point_id id);
/* Reaches consumer.conflict, which can change nothing: its transaction has failed already. */
void consume_item_conflict(const consume_item *item, int code);
void consume_item_clear(consume_item *item);

/* ---- parts (part.c) ---- */

struct consume_part {
    consume_part *next; /* of its worker */
    flow_consume *consume;
    consume_permit permit;
    consume_worker *worker; /* NULL in the pool modes */
    char *topic;
    int32_t partition;
    bool retry;           /* a retry topic: its records have a due time */
    pthread_mutex_t lock; /* of lost, against fetching */
    rd_kafka_queue_t *queue;
    atomic_bool lost;
    bool ready, busy,
        gone; /* under the worker's lock: may have records, is worked on, is to be freed */
    consume_item *held; /* the worker's: fetched, not done */
    int head, nheld;
    int64_t due_ns;                         /* monotonic: nothing to do before; 0: none */
    bool must_seek;                         /* CONSUME_MYSQL: the offset is not read yet */
    int64_t db_next;                        /* what consumer_offset holds; -1: no row */
    _Atomic int64_t position, eof, wake_ns; /* for figures */
    consume_track track;                    /* the pool modes, under the shared queue's lock: */
    int outstanding;
    int nstuck;      /* under the consumer's lock, see stuck.c */
    char *stuck_why; /* of the last one */
};

/* On the polling thread, from the rebalance. */
void consume_parts_add(flow_consume *consume, const rd_kafka_topic_partition_list_t *list);
void consume_parts_remove(flow_consume *consume, const rd_kafka_topic_partition_list_t *list);
void consume_parts_clear(flow_consume *consume); /* the workers have ended */
void consume_part_free(consume_part *part);

/* The next part with something to do, marked busy; NULL when there was none for a moment. */
consume_part *consume_part_take(consume_worker *w);
void consume_part_give_back(consume_worker *w, consume_part *part);

/* The records of the part that are due, at most a batch; fetches when none are held. */
consume_item *consume_part_batch(consume_part *part, int *n);
void consume_part_advance(consume_part *part, int n); /* frees the first n */
void consume_part_rewind(consume_part *part); /* what is held is dropped, for a seek follows */

/* ---- the queue that all workers share, in the pool modes (shared.c) ---- */

typedef struct consume_shared {
    pthread_mutex_t lock;
    pthread_cond_t change;
    consume_item *ring;
    int head, n, cap;
    bool paused; /* the poller's: there is no room, so nothing is fetched */
} consume_shared;

void consume_shared_put(flow_consume *consume, kafka_batch *batch); /* poller; takes the records */
bool consume_shared_take(flow_consume *consume,
                         consume_item *item); /* false: nothing came for a moment */
void consume_shared_done(consume_worker *w, consume_item *item);
void consume_shared_clear(flow_consume *consume);

/* ---- workers ---- */

struct consume_worker {
    flow_consume *consume;
    consume_permit permit; /* of what it does for no part */
    int index;
    my_conn *db;
    redisc_keyspace *redis;
    kafka_producer *producer; /* NULL until a record fails */
    flow_counters *count;
    flow_hdr hist[CONSUME_H];
    pthread_mutex_t lock;
    pthread_cond_t change;
    consume_part *parts, *served; /* served: the last one */
    int nparts;
    consume_sums sums;
    rl_buf sql, json; /* json: of the record that is decoded */
    rl_rng rng;
};

static inline void consume_count(consume_worker *w, flow_consume_counter which, int64_t n)
{
    flow_add(w->count, which, n);
}

/* link.c: connections that come back. false: it must not be tried again. */
bool consume_db(consume_worker *w, const consume_permit *permit);
void consume_db_failed(consume_worker *w, const rl_err *err);
rl_err *consume_redis(consume_worker *w);        /* connected, or the error of one attempt */
void consume_pause(consume_worker *w, int turn); /* with backoff, until the flow stops at most */

/* probe.c: a thread that watches the servers */
void consume_probe(void *consume);
void consume_probe_open(flow_consume *consume);
void consume_probe_close(flow_consume *consume);
bool consume_uses_redis(const flow_consume *consume);

/* payload.c: the item's event and story. The error is about the record, or DROPPED: the registry is
 * away and must not be asked again. */
rl_err *consume_payload_open(flow_consume *consume);
void consume_payload_stop(flow_consume *consume);
void consume_payload_close(flow_consume *consume);
rl_err *consume_payload_decode(consume_worker *w, consume_item *item);

/* work.c: all steps with n > 0 items of the part; how many of the first ones are done. */
int consume_work(consume_worker *w, consume_part *part, consume_item *items, int n);

/* ask.c: shows READY items to the owner and waits for the answer. */
void consume_ask(consume_worker *w, consume_item **list, int n);

/* stuck.c: shows in health that the item holds up its part, and why. It ends with the item at the latest. */
void consume_stuck(consume_item *item, const rl_err *why);
void consume_unstuck(consume_item *item);
void consume_stuck_tell(flow_consume *consume); /* under its lock, when a part has gone */

/* tx.c. Items that turn out to be known become SEEN, the rest APPLIED. DROPPED: the flow stops
 * or the part is lost. */
rl_err *consume_tx(consume_worker *w, consume_part *part, consume_item **list, int n);
/* Moves consumer_offset alone. */
rl_err *consume_tx_offset(consume_worker *w, consume_part *part, int64_t next);
rl_err *consume_tx_load(consume_worker *w, consume_part *part, int64_t *next);

/* sql.c */
void consume_sql_dedup(consume_worker *w, consume_item **list, int n);
void consume_sql_known(consume_worker *w, consume_item **list, int n);
void consume_sql_views(consume_worker *w, const consume_sum *sums, int n);
void consume_sql_effects(consume_worker *w, consume_item **list, int n);
void consume_sql_offset(consume_worker *w, const consume_part *part, int64_t next);
void consume_sql_load(consume_worker *w, const consume_part *part);

/* cache.c. before: of the READY items, else of those that were applied. */
void consume_dedup_redis(consume_worker *w, const consume_permit *permit, consume_item *items,
                         int n);
void consume_cache_invalidate(consume_worker *w, const consume_permit *permit, consume_item *items,
                              int n, bool before);

/* route.c: a FAILED item becomes SENT_ON, NEW (once more in place) or DROPPED. */
void consume_route(consume_worker *w, consume_item *item);

/* headers.c */
/* How much of a record its copy has. What is too large for the topic that it goes to is cut: the
 * copy says so, and where the original is. */
typedef enum consume_whole {
    COPY_WHOLE,
    COPY_HEAD,  /* the beginning of the value */
    COPY_STORY, /* key, event id and our own headers */
} consume_whole;

typedef struct consume_failure {
    const char *group, *error_class, *message;
    int attempt;
    int64_t now_ms, due_ms; /* due 0: for the DLQ */
    int64_t first_ms;       /* 0: now */
    consume_whole whole;
} consume_failure;
rd_kafka_headers_t *consume_headers(const rd_kafka_message_t *msg, const consume_failure *failure);

/* offset.c. left: what is between a position (negative: none yet) and the end, -1 where that is not
 * known; records below `low` were removed. */
int64_t consume_offsets_left(int64_t position, int64_t low, int64_t high);
void consume_offset_before(consume_worker *w, consume_part *part, const consume_item *last);
void consume_offset_after(consume_worker *w, consume_part *part, const rd_kafka_message_t *last,
                          int64_t next);
bool consume_offset_seek(consume_worker *w, consume_part *part);

enum { CONSUME_QUIET = 8 };

typedef struct consume_quiet {
    int code;
    int64_t until; /* ms */
} consume_quiet;

struct flow_consume {
    rl_flow flow;           /* first */
    flow_consume_opts opts; /* its texts are owned */
    char group[256];
    kafka_consumer
        *_Atomic consumer; /* set by the poller; others may look at the one before for a moment */
    kafka_consumer **dead; /* closed at the end: see there */
    int ndead;
    rd_kafka_conf_t *conf; /* of the next one */
    int64_t next_client;   /* ms: not before */
    int client_pause;      /* ms */
    pthread_mutex_t lock;  /* of all, and of the workers' connections against interrupt */
    consume_part **all;    /* those that are ours now */
    int nall;
    consume_worker *workers;
    atomic_int working; /* threads besides the poller */
    my_conn *probe_db;
    redisc_cluster *cluster;      /* NULL: one Redis */
    redisc_keyspace *probe_redis; /* NULL: nothing needs Redis */
    consume_shared shared;
    registry_schemas *schemas; /* NULL: the values are JSON */
    avro_form *reader;
    kafka_stop poll_stop;
    pthread_cond_t ask_change; /* with lock: */
    struct consume_ask *asks;
    int64_t ask_number;
    consume_quiet quiet[CONSUME_QUIET]; /* the poller's: errors that were reported just now */
    int next_quiet;
};

static inline bool consume_is_shared(const flow_consume *consume)
{
    return consume->opts.commit == CONSUME_POOL_MAX || consume->opts.commit == CONSUME_POOL_MIN;
}

#endif
