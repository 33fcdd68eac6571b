#include "evidence/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { FIRST_ROOM = 16, FIRST_SLOTS = 32, FIRST_BYTES = 256 };

/* Multiplications by an odd constant with the high half folded back: eight bytes a step, every
 * bit of the result usable. */
static uint32_t hash_of(const char *s, size_t len)
{
    const uint64_t k = 0x9e3779b97f4a7c15u;
    uint64_t h = len * k + 1, v;
    for (; len >= 8; s += 8, len -= 8) {
        memcpy(&v, s, 8);
        h = (h ^ v) * k;
        h ^= h >> 29;
    }
    v = 0;
    memcpy(&v, s, len);
    h = (h ^ v) * k;
    h ^= h >> 32;
    h *= k;
    return (uint32_t)(h >> 32);
}

const char *pool_get(const rl_pool *p, uint32_t i, size_t *len)
{
    *len = (size_t)(p->at[i + 1] - p->at[i]);
    return p->bytes + p->at[i];
}

static uint64_t slot_value(uint32_t hash, uint32_t i)
{
    return (uint64_t)hash << 32 | (i + 1);
}

/* The slot that holds the string, or the free one where it belongs. */
static uint32_t slot_of(const rl_pool *p, const char *s, size_t len, uint32_t hash)
{
    for (uint32_t slot = hash & p->mask;; slot = (slot + 1) & p->mask) {
        uint64_t v = p->slots[slot];
        size_t n;
        if (!v)
            return slot;
        if (v >> 32 != hash)
            continue;
        const char *known = pool_get(p, (uint32_t)v - 1, &n);
        if (n == len && memcmp(known, s, n) == 0)
            return slot;
    }
}

/* The old slots are read in order and land in two runs of the new ones: no jumping about. */
static void grow_slots(rl_pool *p)
{
    uint64_t *old = p->slots;
    uint32_t old_count = old ? p->mask + 1 : 0, count = old ? 2 * old_count : FIRST_SLOTS;
    p->slots = mem_zero(sizeof *p->slots * (size_t)count);
    p->mask = count - 1;
    for (uint32_t i = 0; i < old_count; i++) {
        if (!old[i])
            continue;
        uint32_t slot = (uint32_t)(old[i] >> 32) & p->mask;
        while (p->slots[slot])
            slot = (slot + 1) & p->mask;
        p->slots[slot] = old[i];
    }
    free(old);
}

static void grow_room(rl_pool *p)
{
    p->room = p->room ? p->room + p->room / 2 : FIRST_ROOM;
    p->at = mem_grow(p->at, sizeof *p->at * ((size_t)p->room + 1));
    p->at[0] = 0;
}

static void grow_bytes(rl_pool *p, size_t len)
{
    while (p->cap - p->len < len)
        p->cap = p->cap ? p->cap + p->cap / 2 : FIRST_BYTES;
    p->bytes = mem_grow(p->bytes, p->cap);
}

/* At most two thirds of the slots are in use. */
static int slots_full(const rl_pool *p)
{
    return !p->slots || (uint64_t)p->n * 3 >= (uint64_t)(p->mask + 1) * 2;
}

uint32_t pool_put(rl_pool *p, const char *s, size_t len)
{
    if (slots_full(p))
        grow_slots(p);
    uint32_t hash = hash_of(s, len), slot = slot_of(p, s, len, hash);
    if (p->slots[slot])
        return (uint32_t)p->slots[slot] - 1;
    if (p->n == p->room)
        grow_room(p);
    if (p->cap - p->len < len || !p->bytes)
        grow_bytes(p, len + 1);
    memcpy(p->bytes + p->len, s, len);
    p->len += len;
    p->slots[slot] = slot_value(hash, p->n);
    p->at[++p->n] = p->len;
    return p->n - 1;
}

static uint32_t find_hashed(const rl_pool *p, const char *s, size_t len, uint32_t hash)
{
    return (uint32_t)p->slots[slot_of(p, s, len, hash)] - 1;
}

uint32_t pool_find(const rl_pool *p, const char *s, size_t len)
{
    return p->n ? find_hashed(p, s, len, hash_of(s, len)) : POOL_NONE;
}

/* In steps whose slots are fetched ahead: the misses of a step overlap. */
void pool_which(const rl_pool *p, const rl_pool *other, unsigned char *known)
{
    enum { STEP = 32 };
    uint32_t hashes[STEP];
    size_t len;
    memset(known, 0, other->n);
    for (uint32_t from = 0; from < other->n && p->n; from += STEP) {
        uint32_t to = other->n - from < STEP ? other->n : from + STEP;
        for (uint32_t i = from; i < to; i++) {
            const char *s = pool_get(other, i, &len);
            hashes[i - from] = hash_of(s, len);
            __builtin_prefetch(&p->slots[hashes[i - from] & p->mask]);
        }
        for (uint32_t i = from; i < to; i++) {
            const char *s = pool_get(other, i, &len);
            known[i] = find_hashed(p, s, len, hashes[i - from]) != POOL_NONE;
        }
    }
}

size_t pool_memory(const rl_pool *p)
{
    size_t slots = p->slots ? (size_t)p->mask + 1 : 0;
    return p->cap + (size_t)p->room * sizeof *p->at + slots * sizeof *p->slots;
}

size_t pool_growth(const rl_pool *p, size_t len)
{
    size_t more = 0;
    if (p->cap - p->len <= len)
        more += p->cap / 2 + len + FIRST_BYTES;
    if (p->n == p->room)
        more += ((size_t)p->room / 2 + FIRST_ROOM) * sizeof *p->at;
    if (slots_full(p))
        more += ((size_t)p->mask + FIRST_SLOTS) * 2 * sizeof *p->slots;
    return more;
}

void pool_free(rl_pool *p)
{
    free(p->bytes);
    free(p->at);
    free(p->slots);
    *p = (rl_pool){0};
}
