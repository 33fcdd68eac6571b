#include "flow/cache/flight.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"

void cache_flights_init(cache_flights *all)
{
    *all = (cache_flights){.count = 0};
    pthread_mutex_init(&all->lock, NULL);
}

void cache_flights_close(cache_flights *all)
{
    rl_assert(all->count == 0);
    pthread_mutex_destroy(&all->lock);
}

static cache_flight **bucket(cache_flights *all, int64_t account)
{
    uint64_t h = (uint64_t)account * UINT64_C(0x9e3779b97f4a7c15);
    _Static_assert(CACHE_FLIGHT_BUCKETS == 1 << 10, "the bucket is the hash's upper 10 bits");
    return &all->buckets[h >> 54];
}

cache_flight *cache_flight_alone(int64_t account, cache_waiter *waiter)
{
    cache_flight *flight = mem_zero(sizeof *flight);
    flight->account = account;
    if (waiter)
        cache_list_add(&flight->waiters, waiter);
    return flight;
}

static cache_flight *find(cache_flight *flight, int64_t account)
{
    while (flight && flight->account != account)
        flight = flight->chain;
    return flight;
}

cache_flight *cache_flight_join(cache_flights *all, int64_t account, cache_waiter *waiter)
{
    cache_flight *made = NULL, **head = bucket(all, account);
    pthread_mutex_lock(&all->lock);
    cache_flight *flight = find(*head, account);
    if (!flight) {
        made = cache_flight_alone(account, waiter);
        made->shared = true;
        made->background = !waiter;
        made->chain = *head;
        *head = made;
        all->count++;
    } else if (waiter) {
        cache_list_add(&flight->waiters, waiter);
    }
    pthread_mutex_unlock(&all->lock);
    return made;
}

static void take_out(cache_flights *all, cache_flight *flight)
{
    cache_flight **at = bucket(all, flight->account);
    while (*at != flight) {
        rl_assert(*at); /* a shared flight stands in the table until its one end */
        at = &(*at)->chain;
    }
    *at = flight->chain;
    all->count--;
    rl_assert(all->count >= 0);
}

cache_waiter *cache_flight_end(cache_flights *all, cache_flight *flight)
{
    pthread_mutex_lock(&all->lock);
    if (flight->shared)
        take_out(all, flight);
    cache_waiter *waiters = flight->waiters.first;
    pthread_mutex_unlock(&all->lock);
    free(flight);
    return waiters;
}

int cache_flight_waiters(cache_flights *all, const cache_flight *flight)
{
    pthread_mutex_lock(&all->lock);
    int n = flight->waiters.count;
    pthread_mutex_unlock(&all->lock);
    return n;
}
