/* What all flows share.
 *
 * Offers: rl_flow, the first member of every flow: its threads and how they come to an end
 * (flow_stop: finish what is under way; flow_abort: at once, out of blocked calls too), a bounded
 * queue of events for whoever opened the flow, the state of the servers it needs (health), counters
 * that each thread writes for itself (or all of them, where it says so) and anybody reads merged,
 * and histograms.
 * Uses: base, HdrHistogram. Thread: any, where nothing else is said. Flow threads see no Lua and
 * no signals. */
#ifndef RL_FLOW_CORE_H
#define RL_FLOW_CORE_H

#include <hdr/hdr_histogram.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/err.h"

enum { FLOW_EVENTS_MAX = 256, FLOW_FIELDS_MAX = 8, FLOW_NEEDS_MAX = 8 };

typedef struct rl_flow rl_flow;

/* ---- events ---- */

typedef struct flow_field {
    const char *key;  /* static text */
    const char *text; /* NULL: the number counts */
    int64_t number;
} flow_field;

typedef struct flow_event {
    const char *what; /* static text: "down", "up", "parked", ... */
    int64_t at_ms;    /* wall clock */
    rl_err *err;      /* why; NULL when it is no failure */
    flow_field fields[FLOW_FIELDS_MAX];
    int nfields;
    struct flow_event *next;
} flow_event;

/* Takes err (may be NULL), copies the fields' texts; n is at most FLOW_FIELDS_MAX. When
 * FLOW_EVENTS_MAX wait already, the event is dropped and counted. */
void flow_emit(rl_flow *flow, const char *what, rl_err *err, const flow_field *fields, int n);
flow_event *flow_take_event(rl_flow *flow); /* the oldest, the caller's to free; NULL: none */
bool flow_has_news(rl_flow *flow);          /* an event waits, or all threads have ended */
void flow_event_free(flow_event *event);
int64_t flow_dropped(rl_flow *flow);

/* Called whenever there is news (an event, the end of the last thread), from any thread and
 * under a lock: it only wakes somebody. NULL ends that; no call is under way when this returns. */
void flow_on_news(rl_flow *flow, void (*wake)(void *arg), void *arg);

/* ---- counters ---- */

/* Plain stores of one thread, without a locked instruction; or, shared, atomic additions of any. */
typedef struct flow_counters {
    struct flow_counters *next;
    int n;
    bool shared;
    _Atomic uintptr_t writer; /* the one thread, looked at by assertions alone; 0: nobody yet */
    _Alignas(64) _Atomic int64_t at[];
} flow_counters;

/* Both are freed with the flow. */
flow_counters *flow_counters_new(rl_flow *flow, int n); /* for the first thread that writes */
flow_counters *flow_counters_shared(rl_flow *flow, int n);
int64_t flow_total(rl_flow *flow, int i); /* over all of them */

/* Whether the caller is the one writer; the first to ask becomes it. */
bool flow_counters_mine(flow_counters *count);

static inline void flow_set(flow_counters *count, int i, int64_t value)
{
    rl_assert(i >= 0 && i < count->n && !count->shared && flow_counters_mine(count));
    atomic_store_explicit(&count->at[i], value, memory_order_relaxed);
}

static inline void flow_add(flow_counters *count, int i, int64_t n)
{
    flow_set(count, i, atomic_load_explicit(&count->at[i], memory_order_relaxed) + n);
}

static inline void flow_add_shared(flow_counters *count, int i, int64_t n)
{
    rl_assert(i >= 0 && i < count->n && count->shared);
    atomic_fetch_add_explicit(&count->at[i], n, memory_order_relaxed);
}

/* A histogram of ns up to an hour; any thread records and copies, under its lock. */
typedef struct flow_hdr {
    pthread_mutex_t lock;
    struct hdr_histogram *h;
} flow_hdr;

void flow_hdr_open(flow_hdr *hdr);
void flow_hdr_close(flow_hdr *hdr);
void flow_hdr_record(flow_hdr *hdr, int64_t ns, int64_t count);
void flow_hdr_add_to(flow_hdr *hdr, struct hdr_histogram *sum);

/* ---- health ---- */

/* `need` is static text: "mysql", "kafka", "redis", ...; a flow has at most FLOW_NEEDS_MAX. A change
 * is an event, "down" (with the error) or "up"; that nothing changed costs a lock. */
void flow_down(rl_flow *flow, const char *need, const rl_err *why);
void flow_up(rl_flow *flow, const char *need);
bool flow_is_down(rl_flow *flow, const char *need);
/* NULL when every server that was spoken of is up, else one line that the caller frees: "mysql:
 * ...; kafka: ...". */
char *flow_ill(rl_flow *flow);

/* ---- life ---- */

struct rl_flow {
    atomic_bool stopping, aborted;
    void (*interrupt)(rl_flow *flow); /* flow_abort calls it: cancel the connections; may be NULL */
    pthread_mutex_t lock;
    pthread_cond_t change;
    struct flow_thread *threads;
    int running;
    flow_event *first, *last;
    int nevents;
    int64_t dropped;
    flow_counters *counters;
    struct {
        const char *name;
        char *why; /* NULL: up */
    } needs[FLOW_NEEDS_MAX];
    int nneeds;
    void (*wake)(void *arg);
    void *wake_arg;
};

/* Whether somebody holds the lock: what a function that is called under it asserts. */
static inline bool flow_lock_held(pthread_mutex_t *lock)
{
    if (pthread_mutex_trylock(lock) != 0)
        return true;
    pthread_mutex_unlock(lock);
    return false;
}

void flow_init(rl_flow *flow);
/* The name has at most 15 bytes, as Linux wants it. */
rl_err *flow_start(rl_flow *flow, const char *name, void (*run)(void *arg), void *arg);

void flow_stop(rl_flow *flow);  /* threads see flow_stopping */
void flow_abort(rl_flow *flow); /* stop, and interrupt */
static inline bool flow_stopping(rl_flow *flow)
{
    return atomic_load_explicit(&flow->stopping, memory_order_relaxed);
}
static inline bool flow_aborted(rl_flow *flow)
{
    return atomic_load_explicit(&flow->aborted, memory_order_relaxed);
}

/* Both return true at once when it is time to end, or as soon as it is: flow_sleep from
 * flow_stop on, flow_pause (for those who still finish their work) from flow_abort on. */
bool flow_sleep(rl_flow *flow, double seconds);
bool flow_pause(rl_flow *flow, double seconds);

/* Waits at most that long; true: all threads have ended. */
bool flow_join(rl_flow *flow, double seconds);
bool flow_ended(rl_flow *flow);

/* Aborts, waits at most that long, frees what flow_init and the rest made (not `flow` itself).
 * false: a thread hangs, so nothing was freed and nothing may be. */
bool flow_close(rl_flow *flow, double seconds);

#endif
