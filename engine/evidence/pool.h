/* Byte strings kept once.
 *
 * Offers: a pool that gives each distinct byte string a number, 0, 1, 2, ... in the order of first
 * appearance, in linear time and with 20 bytes a string beside the bytes themselves. Memory is one
 * arena and three arrays; nothing is freed before the whole.
 * Uses: base/buf. Thread: plain memory, one owner. */
#ifndef RL_EVIDENCE_POOL_H
#define RL_EVIDENCE_POOL_H

#include <stddef.h>
#include <stdint.h>

enum { POOL_NONE = 0xffffffffu };

typedef struct rl_pool {
    char *bytes;
    size_t len, cap;
    uint64_t *at; /* n + 1 offsets */
    uint64_t
        *slots; /* open addressing: hash above, number + 1 below, 0 is free; one miss a search */
    uint32_t mask, n, room;
} rl_pool;

uint32_t pool_put(rl_pool *pool, const char *s, size_t len);        /* its number, new or known */
uint32_t pool_find(const rl_pool *pool, const char *s, size_t len); /* POOL_NONE: not there */
void pool_which(const rl_pool *pool, const rl_pool *other,
                unsigned char *known); /* known[i]: string i of other is here */
const char *pool_get(const rl_pool *pool, uint32_t i, size_t *len);
size_t pool_memory(const rl_pool *pool);             /* bytes held */
size_t pool_growth(const rl_pool *pool, size_t len); /* bytes more that a put may take */
void pool_free(rl_pool *pool);

#endif
