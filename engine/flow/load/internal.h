/* Inside the load generator: what its files share.
 *
 * Offers: the state of a load, a request in flight, the table of a driver. flow.c takes a slot
 * (slots.c) and starts its request by a driver (http.c, kafka.c), which renders it by form.c and
 * reports its end to tally.c, which gives the slot back; target.c says what may be asked at all.
 * Nothing calls upwards.
 * Uses: flow/load. Thread: the generator's, but for what the tally's lock guards. */
#ifndef RL_FLOW_LOAD_INTERNAL_H
#define RL_FLOW_LOAD_INTERNAL_H

#include <pthread.h>

#include "base/deadline.h"
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
    int slot;  /* 0..in_flight-1; of a reader when there are some */
    bool open; /* begun and not ended: between load_begin and load_end */
    rl_buf id;
} load_request;

typedef struct load_reply {
    flow_load_outcome outcome;
    int status;
    int32_t partition;
    int64_t offset;
    const char *body, *error;
    size_t body_len;
} load_reply;

/* What is counted and kept; the lock guards all of it. */
typedef struct load_tally {
    pthread_mutex_t lock;
    flow_load_stats stats;
    flow_load_row *rows; /* a ring */
    size_t cap, head;
    int64_t *process; /* in the history, by slot: of what is in flight there */
} load_tally;

/* What may be in flight: in_flight requests, each the beginning of what its driver keeps for it. */
typedef struct load_slots {
    char *memory;
    load_request *
        *free; /* a stack: the one used last is taken first, so that a light load needs few */
    int nfree;
} load_slots;

typedef struct load_driver {
    size_t slot_size; /* of a struct that begins with a load_request, zeroed at first */
    rl_err *(*open)(flow_load *load);
    rl_err *(*ready)(flow_load *load); /* closed: every reader connected; may be NULL */
    void (*start)(flow_load *load, load_request *r);  /* ends it by load_end, at once or later */
    void (*wait)(flow_load *load, rl_deadline until); /* handles what comes */
    void (*abandon)(flow_load *load);                 /* ends what is in flight as unknown */
    void (*close)(flow_load *load);
} load_driver;

struct flow_load {
    rl_flow flow; /* first */
    flow_load_opts opts;
    char *host, *name, *f;
    int port;
    load_form *forms;
    int wake; /* eventfd: it was aborted */
    int64_t began;
    load_plan plan;
    rl_rng content;
    load_slots slots;
    load_tally tally;
    flow_hdr hdrs[LOAD_HDRS];
    rl_err *failure; /* under the tally's lock */
    const load_driver *driver;
    void *state; /* the driver's */
};

extern const load_driver load_http, load_kafka;

void load_tally_open(load_tally *t, const flow_load_opts *opts);
void load_tally_close(load_tally *t);
void load_tally_planned(flow_load *load);
void load_tally_connected(flow_load *load);

void load_slots_open(flow_load *load);
void load_slots_close(flow_load *load);
load_request *load_slot(flow_load *load, int i);
load_request *load_slot_take(flow_load *load, int reader); /* NULL: none; reader -1: any */
void load_slot_give(flow_load *load, load_request *r);

void load_begin(flow_load *load, load_request *r); /* sets r->started */
/* Exactly once; gives the slot back. */
void load_end(flow_load *load, load_request *r, const load_reply *reply);
void load_drop(flow_load *load, int64_t n, int64_t intended);

rl_err *load_form_open(const flow_load_shape *shape, bool http, load_form *form);
void load_form_close(load_form *form);
/* Renders one text of a request; a NULL text renders nothing. */
void load_render(flow_load *load, const load_request *r, const load_text *t, rl_buf *out);

rl_err *load_target_url(flow_load *load, const char *url); /* sets its host and port */
rl_err *load_target_brokers(rd_kafka_conf_t *conf);

#endif
