/* The inside of the relay, shared by the files of this folder only: what they offer each other.
 *
 * Life of a row: the reader reads it and claims it into a batch (read.c, batch.c), sends it (send.c),
 * and the marker marks it once its batch is acknowledged (mark.c); the keeper holds the leases of the
 * shards (keep.c).
 * Uses: flow/relay/flow, mysql/query, kafka/producer. Thread: see each section. */
#ifndef RL_FLOW_RELAY_INTERNAL_H
#define RL_FLOW_RELAY_INTERNAL_H

#include "flow/relay/flow.h"
#include "flow/relay/plan.h"
#include "kafka/producer.h"
#include "mysql/query.h"

enum { RELAY_OWNER_SIZE = 64 };

/* Columns of the rows that the reader reads. */
enum { COL_ID, COL_SHARD, COL_UNSENT, COL_EVENT_ID, COL_KEY, COL_PAYLOAD, COL_HEADERS, COL_TOPIC };

typedef enum relay_state {
    ROW_FLYING, /* between claim and report */
    ROW_ACKED,
    ROW_FAILED, /* to be sent again */
    ROW_POISON  /* to be parked; err says why */
} relay_state;

enum { RELAY_BAD_HEADERS = -20001, RELAY_NOT_SENT = -20002, RELAY_BAD_TOPIC = -20003 };

typedef struct relay_batch relay_batch;

typedef struct relay_row {
    relay_batch *batch;
    int64_t id;
    int err; /* rd_kafka_resp_err_t, or one of the above */
    uint16_t shard;
    uint8_t state;
    uint32_t at; /* its row in the result */
} relay_row;

struct relay_batch {
    relay_batch *next;
    int64_t number, began_ns;
    my_result *result;
    relay_row *rows;
    int n;
    bool alone; /* one row, and nothing else flies until it is done: a refusal is meant for it */
    bool done;  /* under the lock: every report is in */
    bool taken; /* the marker's: it is being marked */
    atomic_int flying;            /* rows without a report, and one for the sender */
    int64_t tokens[RELAY_SHARDS]; /* of the leases under which it was claimed */
};

typedef struct relay_failed {
    int64_t id; /* first */
    int shard;
} relay_failed;

/* How far the cursor of each shard may go: everything up to there is acknowledged. -1: the shard
 * is not ours. */
typedef struct relay_marks {
    int64_t position, upto[RELAY_SHARDS], tokens[RELAY_SHARDS];
} relay_marks;

/* ---- the relay ---- */

struct flow_relay {
    rl_flow flow; /* first */
    flow_relay_opts opts;
    char owner[RELAY_OWNER_SIZE]; /* in relay_lease: the name and a mark of this run */
    bool transactional;
    rd_kafka_conf_t *conf;
    kafka_producer *
        /* sent to by the reader, drained by the marker (transactional: both the reader) */
        producer;
    my_conn *reader_conn, *marker_conn, *keeper_conn;
    flow_counters *reader_count, *marker_count, *keeper_count;
    flow_hdr hdrs[RELAY_HDRS];
    atomic_bool reader_ended, marker_ended;
    bool limit_known, limit_given; /* the reader's, see limit.c: asked for; set by the user */
    char limit_topic[250];         /* whose limit was asked for last, and is known until then */
    int64_t limit_until;
    bool ready; /* transactional, the reader's: init_transactions is done */

    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t change;
    relay_batch *first, *last; /* in flight, in the order of their claims */
    int nbatches;
    int64_t batch_numbers;
    relay_shard shards[RELAY_SHARDS];
    int64_t lease_until_ns;
    bool reset,
        /* a failure: wait until nothing flies, (make a new producer,) begin again at what was
         * not acknowledged */
        replace;
    bool rewind; /* the reader begins at the start again */
    int64_t
        careful_to; /* up to this id rows are sent one by one, to find the one that is refused */
    relay_failed *failed; /* cursor: rows to be sent again, by id */
    int nfailed;
    int64_t read_to; /* cursor: the reader has taken everything up to here */
};

/* ---- waiting for each other (sync.c) ---- */

void relay_sync_open(flow_relay *relay);
void relay_sync_close(flow_relay *relay);
void relay_wait(flow_relay *relay,
                double seconds);      /* under the lock, for a change of what it guards */
void relay_signal(flow_relay *relay); /* under the lock */

/* ---- connections (db.c) ---- */

typedef struct relay_backoff {
    double seconds;
} relay_backoff;

/* Connects a broken connection. false: it could not; the caller's thread has slept, or the flow
 * ends. */
bool relay_connected(flow_relay *relay, my_conn *conn, flow_counters *count,
                     relay_backoff *backoff);
/* Seconds of silence after which MySQL ends a session that may hold locks on relay_lease: a little
 * more than a lease. */
double relay_silence(const flow_relay *relay);
/* What to do with an error of MySQL: shows it in health, rolls back, sleeps. Frees err. */
void relay_mysql_failed(flow_relay *relay, my_conn *conn, rl_err *err, relay_backoff *backoff);
rl_err *relay_rows(my_conn *conn, const rl_buf *sql, my_result **result);
rl_err *relay_exec(my_conn *conn, const rl_buf *sql);
rl_err *relay_snapshot(my_conn *conn); /* what is read until COMMIT is of one instant */
int64_t relay_int(const my_result *result, size_t row, int col); /* NULL is 0 */
/* " AND shard IN (...)" of the wanted ones; nothing when all are. */
void relay_put_shards(rl_buf *sql, const bool wanted[RELAY_SHARDS]);

/* ---- threads ---- */

void relay_reader(void *relay);
void relay_marker(void *relay);
void relay_keeper(void *relay);

/* ---- batches (batch.c) ---- */

/* Takes result. NULL when no row of it is to be sent. Puts the batch in flight. */
relay_batch *relay_claim(flow_relay *relay, my_result *result, int max);
void relay_row_done(flow_relay *relay, relay_row *row, relay_state state, int err);
void relay_batch_sent(flow_relay *relay, relay_batch *batch); /* the sender is through with it */
/* The marker's: the done ones (an array that the caller frees), which stay in flight until
 * relay_settle takes them out and frees them. */
relay_batch **relay_take_done(flow_relay *relay, int *n);
void relay_settle(flow_relay *relay, relay_batch **done, int n);
void relay_position(flow_relay *relay, relay_marks *marks);
void relay_forget_failed(flow_relay *relay, int shard); /* under the lock */
bool relay_in_flight(flow_relay *relay, int64_t id);    /* under the lock */
void relay_batch_free(relay_batch *batch);

/* ---- sending (send.c), the reader's ---- */

bool relay_limit_known(flow_relay *relay); /* false: not yet; the thread has slept */
/* After the client has refused a row: whether it is to be sent again, since its topic takes more than the
 * client knew (which is made anew), or nobody could tell. */
bool relay_limit_grows(flow_relay *relay, const char *topic);
bool relay_sender_ready(flow_relay *relay); /* false: not yet; the thread has slept */
void relay_send(flow_relay *relay, relay_batch *batch);
rl_err *relay_producer_open(flow_relay *relay); /* in the place of the one that is there */
/* Once nothing flies any more: a new producer where that is needed, and the reader begins again.
 * By the thread that drains. */
void relay_end_reset(flow_relay *relay);

/* ---- gaps (gap.c), the reader's ---- */

typedef struct relay_gap {
    int64_t settled;  /* no open transaction can fill an id up to here */
    int64_t target;   /* what will be settled once the writers have ended; 0: nothing asked */
    int64_t asked_ns; /* when target was read */
    bool seen;        /* writers is the list of then */
    uint64_t *writers;
    int nwriters;
    bool refused; /* the list of transactions needs the privilege PROCESS */
    int64_t nonce, look_ns;
    int64_t hole; /* RELAY_GAPS_WAIT: the first one seen, and when */
    int64_t hole_ns;
} relay_gap;

/* One step towards it; does not wait. */
rl_err *relay_gap_settle(flow_relay *relay, my_conn *conn, relay_gap *gap);
int64_t relay_gap_settled(flow_relay *relay, relay_gap *gap, const int64_t *ids, int n,
                          int64_t after);

#endif
