/* flow.relay: publishes the outbox.
 *
 * Offers: a flow that reads outbox_event in batches, sends each row, to its own topic where it
 * names one, with an idempotent (or transactional) producer and marks what was acknowledged, and
 * only that: by setting published_at, by deleting the row, or by moving a cursor that stops at
 * ids which an open transaction may still fill. At least once, in the order of the ids of a key.
 * Several instances share the 64 shards by leases whose token fences the marks of a stale one.
 * What can never be sent is parked with its reason. No row is locked while a broker is waited
 * for. MySQL and Kafka may be absent, frozen or restarted: it waits and says so (health).
 * Threads: a reader (claims and sends), a marker (delivery reports, marks) and a keeper (leases,
 * figures, clean-up), each with a connection of its own. Order after a failure: the rows in
 * flight are waited for, then everything that was not acknowledged is sent again in order. With
 * the default message.timeout.ms=0 a row waits for its broker without end and nothing overtakes
 * it; with a finite one a later row of the same key that librdkafka still got through comes
 * first. A parked row leaves its key behind: the rows after it go on, and the event "parked"
 * reports it. The topic's max.message.bytes is asked once, so that the client refuses the one
 * record; where a broker refuses a batch nevertheless (compressed, or lowered since), its rows
 * are sent one by one, and other batches may have overtaken them.
 * Uses: flow/core, mysql, kafka/producer, fault/point. Thread: open and close anywhere; the rest
 * see flow/core. */
#ifndef RL_FLOW_RELAY_FLOW_H
#define RL_FLOW_RELAY_FLOW_H

#include "flow/core.h"
#include "kafka/client.h"
#include "mysql/conn.h"

enum { RELAY_BATCH_MAX = 10000, RELAY_IN_FLIGHT_MAX = 64 };

typedef struct flow_relay flow_relay; /* begins with its rl_flow */

typedef enum flow_relay_mark { RELAY_UPDATE, RELAY_DELETE, RELAY_CURSOR } flow_relay_mark;

/* What a cursor does at a hole in the ids. */
typedef enum flow_relay_gaps {
    RELAY_GAPS_SAFE,   /* stops until no transaction that was open then can fill it */
    RELAY_GAPS_IGNORE, /* wrong: passes */
    RELAY_GAPS_WAIT    /* wrong: passes after gap_wait */
} flow_relay_gaps;

/* Who publishes where several run. */
typedef enum flow_relay_leader {
    RELAY_BY_LEASE, /* the shards are shared out by leases, whose token fences a stale one */
    RELAY_BY_LOCK   /* wrong: who got GET_LOCK once, all of it, and never asks again */
} flow_relay_leader;

typedef struct flow_relay_opts {
    const char *name; /* of the instance: letters, digits, _ . - ; 40 at most */
    const char *topic;
    my_opts mysql;
    flow_relay_mark mark;
    flow_relay_gaps gaps;
    double gap_wait;
    int batch, in_flight;  /* rows of a batch, batches between claim and mark */
    double poll, poll_max; /* seconds between polls that find nothing: from, up to */
    flow_relay_leader leader;
    double lease;       /* seconds */
    bool fence;         /* false is wrong: marks whatever became of the lease */
    double cleanup_age; /* published rows older than that are deleted; < 0: never */
    int cleanup_chunk;  /* rows at once */
    double figures;     /* seconds between two looks at backlog and age */
} flow_relay_opts;

#define RELAY_COUNTERS        \
    COUNTER(polls)            \
    COUNTER(read)             \
    COUNTER(late)             \
    COUNTER(batches)          \
    COUNTER(sent)             \
    COUNTER(acked)            \
    COUNTER(marked)           \
    COUNTER(retries)          \
    COUNTER(parked)           \
    COUNTER(fenced)           \
    COUNTER(resets)           \
    COUNTER(aborts)           \
    COUNTER(gap_waits)        \
    COUNTER(cleaned)          \
    COUNTER(reconnects)       \
    COUNTER(in_flight)        \
    COUNTER(leases)           \
    COUNTER(backlog)          \
    COUNTER(backlog_exact)    \
    COUNTER(oldest_unsent_us) \
    COUNTER(position)

enum flow_relay_counter {
#define COUNTER(name) RELAY_N_##name,
    RELAY_COUNTERS
#undef COUNTER
        RELAY_N
};

extern const char *const flow_relay_counter_names[RELAY_N];

typedef enum flow_relay_hdr {
    RELAY_HDR_READ,
    RELAY_HDR_ACK,
    RELAY_HDR_MARK,
    RELAY_HDRS
} flow_relay_hdr;

/* Takes conf also when it fails; a transactional.id in it makes the publishing transactional:
 * then one instance holds all shards and the others stand by. Errors are those of a wrong
 * configuration; servers are not waited for. */
rl_err *flow_relay_open(const flow_relay_opts *opts, rd_kafka_conf_t *conf, flow_relay **out);
rl_flow *flow_relay_flow(flow_relay *relay);
flow_hdr *flow_relay_hdr_of(
    flow_relay *relay,
    flow_relay_hdr which);          /* ns: a poll that found rows, claim to last report, a mark */
void flow_relay_close(void *relay); /* after flow_stop for an end in order */

#endif
