/* Singleflight: at most one load of an account under way, whom the other callers join.
 *
 * Offers: cache_flights, a table of loads by account. The caller who finds none makes it and has to
 * see that it ends; who finds one waits with it.
 * Uses: base, flow/cache/list. Thread: any; one lock. A flight's list belongs to the table until
 * cache_flight_end. */
#ifndef RL_FLOW_CACHE_FLIGHT_H
#define RL_FLOW_CACHE_FLIGHT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "flow/cache/list.h"
#include "flow/cache/scripts.h"

enum { CACHE_FLIGHT_BUCKETS = 1024 };

/* NEW until it is submitted, QUEUED until somebody takes it out of the queue, TAKEN until it ends:
 * by its load, or because it waited too long. */
typedef enum cache_flight_state {
    CACHE_FLIGHT_NEW,
    CACHE_FLIGHT_QUEUED,
    CACHE_FLIGHT_TAKEN
} cache_flight_state;

typedef struct cache_flight {
    int64_t account;
    cache_list waiters; /* in the order in which they came */
    cache_flight_state state;
    bool shared;          /* in the table, so that others may join */
    bool background;      /* a refresh: began without anybody waiting */
    bool forced;          /* XFetch: a living entry does not end it */
    bool cacheless;       /* Redis is not to be asked */
    cache_entry seen;     /* what was in the cache before; CACHE_ABSENT: nothing */
    int64_t ahead_ms;     /* of forced: how long before the entry's end */
    int64_t submitted_ns; /* for who runs it */
    struct cache_flight *chain, *next;
} cache_flight;

typedef struct cache_flights {
    pthread_mutex_t lock;
    cache_flight *buckets[CACHE_FLIGHT_BUCKETS];
    int64_t count;
} cache_flights;

void cache_flights_init(cache_flights *all);
void cache_flights_close(cache_flights *all); /* must be empty */

/* A flight that nobody can join. */
cache_flight *cache_flight_alone(int64_t account, cache_waiter *waiter);

/* A new flight, which the caller has to run, or NULL: the waiter (may be NULL) has joined the
 * one that is there. */
cache_flight *cache_flight_join(cache_flights *all, int64_t account, cache_waiter *waiter);

/* Takes it out of the table; returns who waits and frees the flight. */
cache_waiter *cache_flight_end(cache_flights *all, cache_flight *flight);

/* How many wait with it now. */
int cache_flight_waiters(cache_flights *all, const cache_flight *flight);

#endif
