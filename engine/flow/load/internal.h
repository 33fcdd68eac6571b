/* Inside the load generator: what flow.c shares with its tally and its two drivers.
 *
 * Offers: the state of a load, a request in flight, the table of a driver.
 * Uses: flow/load. Thread: the generator's, but for what the tally's lock guards. */
#ifndef RL_FLOW_LOAD_INTERNAL_H
#define RL_FLOW_LOAD_INTERNAL_H

#include <pthread.h>

#include "flow/load/flow.h"
#include "flow/load/plan.h"
#include "flow/load/text.h"

typedef struct load_form {
    load_text *id, *path, *body, *key, *value;
    char *method, *topic;
    char **names;
    load_text **values;
    size_t nheaders;
    int32_t partition;
    bool effect; /* it changes something: without a reply its outcome is unknown */
} load_form;

typedef struct load_request {
    int64_t n, intended, started;
    const load_form *form;
    int slot; /* 0..in_flight-1 */
    rl_buf id;
} load_request;

typedef struct load_reply {
    load_outcome outcome;
    int status;
    int32_t partition;
    int64_t offset;
    const char *body, *error;
    size_t body_len;
} load_reply;

/* What is counted and kept; the lock guards all of it. */
typedef struct load_tally {
    pthread_mutex_t lock;
    load_stats stats;
    load_row *rows; /* a ring */
    size_t cap, head;
    int64_t *process; /* in the history, by slot: a new one after an unknown outcome */
} load_tally;

typedef struct load_driver {
    rl_err *(*open)(load *l);
    rl_err *(*ready)(load *l); /* closed: every reader connected; may be NULL */
    load_request *(*free_slot)(load *l, int reader); /* NULL: none; reader -1: any */
    void (*start)(load *l, load_request *r);         /* ends it by load_end, at once or later */
    void (*wait)(load *l, int64_t until);            /* clock_ns; handles what comes */
    void (*abandon)(load *l);                        /* ends what is in flight as unknown */
    void (*close)(load *l);
} load_driver;

struct load {
    rl_flow flow; /* first */
    load_opts o;
    char *host, *name, *f;
    int port;
    load_form *forms;
    int wake; /* eventfd: it was aborted */
    int64_t began;
    load_plan plan;
    rl_rng content;
    load_tally tally;
    flow_hdr hists[LOAD_HISTS];
    rl_err *failure; /* under the tally's lock */
    const load_driver *driver;
    void *state; /* the driver's */
};

extern const load_driver load_http, load_kafka;

void tally_open(load_tally *t, const load_opts *o);
void tally_close(load_tally *t);
void tally_planned(load *l);
void tally_connected(load *l);

void load_begin(load *l, load_request *r); /* sets r->started */
void load_end(load *l, load_request *r, const load_reply *reply);
void load_drop(load *l, int64_t n, int64_t intended);

/* Renders one text of a request; a NULL text renders nothing. */
void load_render(load *l, const load_request *r, const load_text *t, rl_buf *out);

#endif
