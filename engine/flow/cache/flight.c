#include "flow/cache/flight.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"

void cache_flights_init(cache_flights *all)
{
    *all = (cache_flights){.count = 0};
    pthread_mutex_init(&all->lock, NULL);
}

void cache_flights_close(cache_flights *all)
{
    assert(all->count == 0);
    pthread_mutex_destroy(&all->lock);
}

static cache_flight **bucket(cache_flights *all, int64_t account)
{
    uint64_t h = (uint64_t)account * UINT64_C(0x9e3779b97f4a7c15);
    return &all->buckets[h >> 54];
}

static void add_waiter(cache_flight *f, cache_waiter *w)
{
    if (!w)
        return;
    w->next = NULL;
    *(f->last ? &f->last->next : &f->first) = w;
    f->last = w;
    f->waiters++;
}

cache_flight *cache_flight_alone(int64_t account, cache_waiter *waiter)
{
    cache_flight *f = mem_zero(sizeof *f);
    f->account = account;
    add_waiter(f, waiter);
    return f;
}

static cache_flight *find(cache_flight *f, int64_t account)
{
    while (f && f->account != account)
        f = f->chain;
    return f;
}

cache_flight *cache_flight_join(cache_flights *all, int64_t account, cache_waiter *waiter)
{
    cache_flight *made = NULL, **head = bucket(all, account);
    pthread_mutex_lock(&all->lock);
    cache_flight *f = find(*head, account);
    if (f) {
        add_waiter(f, waiter);
    } else {
        made = cache_flight_alone(account, waiter);
        made->shared = true;
        made->background = !waiter;
        made->chain = *head;
        *head = made;
        all->count++;
    }
    pthread_mutex_unlock(&all->lock);
    return made;
}

static void take_out(cache_flights *all, cache_flight *flight)
{
    cache_flight **at = bucket(all, flight->account);
    while (*at != flight)
        at = &(*at)->chain;
    *at = flight->chain;
    all->count--;
}

cache_waiter *cache_flight_end(cache_flights *all, cache_flight *flight)
{
    pthread_mutex_lock(&all->lock);
    if (flight->shared)
        take_out(all, flight);
    cache_waiter *waiters = flight->first;
    pthread_mutex_unlock(&all->lock);
    free(flight);
    return waiters;
}

int cache_flight_waiters(cache_flights *all, const cache_flight *flight)
{
    pthread_mutex_lock(&all->lock);
    int n = flight->waiters;
    pthread_mutex_unlock(&all->lock);
    return n;
}
