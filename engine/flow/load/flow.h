/* A load generator that does not flatter.
 *
 * Offers: a load on HTTP or Kafka from a thread of its own. Open: requests start at intended times
 * (a constant rate or seeded Poisson arrivals) whatever the system does; latency counts from the
 * intended start, so a stall of the system shows in every request that it held up (no coordinated
 * omission). Closed: N readers released together, each with its next request after its last reply.
 * Bounded: requests in flight, requests or seconds in all, rows kept. What could not start in time
 * is counted as late, what waited longer than the time limit is dropped and counted. A request
 * whose outcome nobody knows (a timeout, a connection lost after it was sent) is `unknown`, never
 * failed, and nothing is ever sent twice. Only this machine is accepted as a target.
 * Uses: flow/core, flow/load/plan, flow/load/text, kafka/producer, evidence/history. Thread:
 * any; the work is done in the generator's own. */
#ifndef RL_FLOW_LOAD_FLOW_H
#define RL_FLOW_LOAD_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "evidence/history.h"
#include "flow/core.h"
#include "kafka/client.h"

typedef struct flow_load flow_load;

enum { LOAD_IN_FLIGHT_HTTP = 64, LOAD_IN_FLIGHT_KAFKA = 10000, LOAD_IN_FLIGHT_MAX = 100000 };

typedef struct flow_load_pair {
    const char *name, *value;
} flow_load_pair;

/* One kind of request; texts are templates (text.h), NULL where there is none. Several take
 * turns. */
typedef struct flow_load_shape {
    const char *id;
    const char *method, *path, *body; /* HTTP */
    const char *topic, *key, *value;  /* Kafka */
    int32_t partition;                /* Kafka: RD_KAFKA_PARTITION_UA by the partitioner */
    const flow_load_pair *headers;
    size_t nheaders;
} flow_load_shape;

typedef struct flow_load_opts {
    const char *url;        /* http://127.0.0.1:PORT; NULL: Kafka */
    rd_kafka_conf_t *kafka; /* taken, also when opening fails; NULL: HTTP */
    const flow_load_shape *shapes;
    size_t nshapes;
    double rate; /* open: per second */
    bool poisson;
    int readers;     /* closed: that many; 0: open */
    int64_t count;   /* requests in all (closed: of each reader); 0: no limit */
    double duration; /* seconds in which requests start; 0: no limit. One of the two is needed. */
    double timeout;  /* seconds for one request, from its start */
    double late;     /* seconds behind the intended start from which a start counts as late */
    int in_flight;   /* at most; 0: as above */
    int64_t rows;    /* rows kept until they are taken; 0: none */
    size_t body;     /* bytes of each reply that a row keeps */
    uint64_t seed;
    rl_history *history;  /* kept open while the load lives; NULL: none */
    const char *name, *f; /* of the actor and of the operation in the history */
} flow_load_opts;

typedef enum flow_load_outcome { LOAD_OK, LOAD_FAIL, LOAD_UNKNOWN, LOAD_DROPPED } flow_load_outcome;

typedef struct flow_load_row {
    int64_t n, intended, started, ended; /* times are clock_ns; started 0: never */
    flow_load_outcome outcome;
    int reader;        /* closed: which, from 1 */
    int status;        /* HTTP; 0: no reply */
    int32_t partition; /* Kafka: where it was acknowledged, else -1 */
    int64_t offset;
    char *id, *body, *error; /* NULL where there is none; freed by flow_load_row_free */
    size_t body_len;
} flow_load_row;

typedef struct flow_load_stats {
    int64_t planned, started, ok, failed, unknown, dropped; /* planned: those whose time has come */
    int64_t late, in_flight, most_in_flight, connects, bytes;
    int64_t status[6];       /* replies by their first digit */
    int64_t rows, rows_lost; /* waiting to be taken; had no room */
    int64_t began, ended;    /* clock_ns; 0: not yet */
    bool released; /* closed: every reader was connected when the first request went out */
} flow_load_stats;

typedef enum flow_load_hdr { LOAD_LATENCY, LOAD_SERVICE, LOAD_LATENESS, LOAD_HDRS } flow_load_hdr;

/* Wrong options are USAGE errors. Starts at once. A load begins with its rl_flow: flow_stop
 * starts nothing more, flow_abort makes what is in flight unknown. */
rl_err *flow_load_open(const flow_load_opts *opts, flow_load **out);
rl_flow *flow_load_flow(flow_load *load);

flow_load_stats flow_load_stats_of(flow_load *load);
/* Of ns: latency from the intended start (closed: from the start), service from the start,
 * lateness of each start. */
flow_hdr *flow_load_hdr_of(flow_load *load, flow_load_hdr which);

/* Moves up to n rows, oldest first; how many. */
size_t flow_load_take(flow_load *load, flow_load_row *rows, size_t n);
void flow_load_row_free(flow_load_row *row);

/* A copy of why it ended early; NULL: it did not. */
rl_err *flow_load_failure(flow_load *load);

/* Aborts, waits for the thread, frees; when the thread hangs nothing is freed. */
void flow_load_close(flow_load *load);

/* Whether a host is this machine and nothing else. */
bool flow_load_is_local(const char *host, size_t len);

#endif
