#include "flow/cache/local.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/buf.h"

enum { STRIPES = 64 };

typedef struct slot {
    int64_t account, put_ms;
    cache_entry entry; /* CACHE_ABSENT: free */
} slot;

struct cache_local {
    size_t mask;
    pthread_mutex_t locks[STRIPES];
    slot slots[];
};

cache_local *cache_local_new(int64_t entries)
{
    size_t n = STRIPES;
    while ((int64_t)n < entries)
        n *= 2;
    cache_local *local = mem_zero(sizeof *local + n * sizeof(slot));
    local->mask = n - 1;
    for (int i = 0; i < STRIPES; i++)
        pthread_mutex_init(&local->locks[i], NULL);
    return local;
}

void cache_local_free(cache_local *local)
{
    if (!local)
        return;
    for (int i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&local->locks[i]);
    free(local);
}

static size_t place(const cache_local *local, int64_t account)
{
    uint64_t h = (uint64_t)account * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 20) & local->mask;
}

void cache_local_put(cache_local *local, int64_t account, const cache_entry *entry, int64_t now_ms)
{
    size_t i = place(local, account);
    pthread_mutex_lock(&local->locks[i % STRIPES]);
    slot *s = &local->slots[i];
    bool older =
        s->account == account && s->entry.state == CACHE_VALUE && s->entry.version > entry->version;
    if (!older)
        *s = (slot){.account = account, .put_ms = now_ms, .entry = *entry};
    pthread_mutex_unlock(&local->locks[i % STRIPES]);
}

bool cache_local_get(cache_local *local, int64_t account, int64_t now_ms, int64_t at_most_ms,
                     cache_entry *out)
{
    size_t i = place(local, account);
    pthread_mutex_lock(&local->locks[i % STRIPES]);
    const slot *s = &local->slots[i];
    bool found =
        s->account == account && s->entry.state != CACHE_ABSENT && now_ms - s->put_ms <= at_most_ms;
    if (found)
        *out = s->entry;
    pthread_mutex_unlock(&local->locks[i % STRIPES]);
    return found;
}

void cache_local_drop(cache_local *local, int64_t account)
{
    size_t i = place(local, account);
    pthread_mutex_lock(&local->locks[i % STRIPES]);
    if (local->slots[i].account == account)
        local->slots[i].entry.state = CACHE_ABSENT;
    pthread_mutex_unlock(&local->locks[i % STRIPES]);
}
