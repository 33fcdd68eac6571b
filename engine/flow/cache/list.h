/* A list of those who wait, which threads hand on.
 *
 * Offers: cache_waiter, the link that whoever waits makes its first member, and cache_list, first
 * in, first out.
 * Uses: nothing. Thread: plain memory, one owner (or a lock of the owner's). */
#ifndef RL_FLOW_CACHE_LIST_H
#define RL_FLOW_CACHE_LIST_H

#include <stddef.h>

typedef struct cache_waiter {
    struct cache_waiter *next;
} cache_waiter;

typedef struct cache_list {
    cache_waiter *first, *last;
    int count;
} cache_list;

static inline void cache_list_add(cache_list *list, cache_waiter *waiter)
{
    waiter->next = NULL;
    *(list->last ? &list->last->next : &list->first) = waiter;
    list->last = waiter;
    list->count++;
}

/* The oldest; NULL: nobody waits. */
static inline cache_waiter *cache_list_take(cache_list *list)
{
    cache_waiter *waiter = list->first;
    if (!waiter)
        return NULL;
    list->first = waiter->next;
    if (!list->first)
        list->last = NULL;
    list->count--;
    waiter->next = NULL;
    return waiter;
}

#endif
