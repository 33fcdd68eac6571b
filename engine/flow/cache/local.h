/* A small cache in the process.
 *
 * Offers: cache_local, a table of fixed size from account to entry; what shares a place pushes the
 * older one out. The caller decides how old a copy may be.
 * Uses: flow/cache/scripts. Thread: any; locks by stripes. */
#ifndef RL_FLOW_CACHE_LOCAL_H
#define RL_FLOW_CACHE_LOCAL_H

#include "flow/cache/scripts.h"

typedef struct cache_local cache_local;

cache_local *cache_local_new(int64_t entries); /* rounded up to a power of two */
void cache_local_free(cache_local *local);

/* Keeps a copy, unless a newer version is there. */
void cache_local_put(cache_local *local, int64_t account, const cache_entry *entry, int64_t now_ms);
/* Whether one was put no longer than at_most_ms ago. */
bool cache_local_get(cache_local *local, int64_t account, int64_t now_ms, int64_t at_most_ms,
                     cache_entry *out);
void cache_local_drop(cache_local *local, int64_t account);

#endif
