#include "evidence/arena.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
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

const char *arena_get(const rl_arena *arena, uint32_t i, size_t *len)
{
    rl_assert(i < arena->n);
    *len = (size_t)(arena->at[i + 1] - arena->at[i]);
    return arena->bytes + arena->at[i];
}

static uint64_t slot_value(uint32_t hash, uint32_t i)
{
    return (uint64_t)hash << 32 | (i + 1);
}

/* The slot that holds the string, or the free one where it belongs. */
static uint32_t slot_of(const rl_arena *arena, const char *s, size_t len, uint32_t hash)
{
    for (uint32_t slot = hash & arena->mask;; slot = (slot + 1) & arena->mask) {
        uint64_t v = arena->slots[slot];
        size_t n;
        if (!v)
            return slot;
        if (v >> 32 != hash)
            continue;
        const char *known = arena_get(arena, (uint32_t)v - 1, &n);
        if (n == len && memcmp(known, s, n) == 0)
            return slot;
    }
}

/* The old slots are read in order and land in two runs of the new ones: no jumping about. */
static void grow_slots(rl_arena *arena)
{
    uint64_t *old = arena->slots;
    uint32_t old_count = old ? arena->mask + 1 : 0, count = old ? 2 * old_count : FIRST_SLOTS;
    arena->slots = mem_zero(sizeof *arena->slots * (size_t)count);
    arena->mask = count - 1;
    for (uint32_t i = 0; i < old_count; i++) {
        if (!old[i])
            continue;
        uint32_t slot = (uint32_t)(old[i] >> 32) & arena->mask;
        while (arena->slots[slot])
            slot = (slot + 1) & arena->mask;
        arena->slots[slot] = old[i];
    }
    free(old);
}

static void grow_room(rl_arena *arena)
{
    arena->room = arena->room ? arena->room + arena->room / 2 : FIRST_ROOM;
    arena->at = mem_grow(arena->at, sizeof *arena->at * ((size_t)arena->room + 1));
    arena->at[0] = 0;
}

static void grow_bytes(rl_arena *arena, size_t len)
{
    while (arena->cap - arena->len < len)
        arena->cap = arena->cap ? arena->cap + arena->cap / 2 : FIRST_BYTES;
    arena->bytes = mem_grow(arena->bytes, arena->cap);
}

/* At most two thirds of the slots are in use. */
static int slots_full(const rl_arena *arena)
{
    return !arena->slots || (uint64_t)arena->n * 3 >= (uint64_t)(arena->mask + 1) * 2;
}

uint32_t arena_put(rl_arena *arena, const char *s, size_t len)
{
    rl_assert(arena->n <= ARENA_STRINGS_MAX);
    if (slots_full(arena))
        grow_slots(arena);
    uint32_t hash = hash_of(s, len), slot = slot_of(arena, s, len, hash);
    if (arena->slots[slot])
        return (uint32_t)arena->slots[slot] - 1;
    if (arena->n == arena->room)
        grow_room(arena);
    if (arena->cap - arena->len < len || !arena->bytes)
        grow_bytes(arena, len + 1);
    memcpy(arena->bytes + arena->len, s, len);
    arena->len += len;
    arena->slots[slot] = slot_value(hash, arena->n);
    arena->at[++arena->n] = arena->len;
    return arena->n - 1;
}

static uint32_t find_hashed(const rl_arena *arena, const char *s, size_t len, uint32_t hash)
{
    return (uint32_t)arena->slots[slot_of(arena, s, len, hash)] - 1;
}

uint32_t arena_find(const rl_arena *arena, const char *s, size_t len)
{
    return arena->n ? find_hashed(arena, s, len, hash_of(s, len)) : ARENA_NONE;
}

/* In steps whose slots are fetched ahead: the misses of a step overlap. */
void arena_which(const rl_arena *arena, const rl_arena *other, unsigned char *known)
{
    enum { STEP = 32 };
    uint32_t hashes[STEP];
    size_t len;
    memset(known, 0, other->n);
    for (uint32_t from = 0; from < other->n && arena->n; from += STEP) {
        uint32_t to = other->n - from < STEP ? other->n : from + STEP;
        for (uint32_t i = from; i < to; i++) {
            const char *s = arena_get(other, i, &len);
            hashes[i - from] = hash_of(s, len);
            __builtin_prefetch(&arena->slots[hashes[i - from] & arena->mask]);
        }
        for (uint32_t i = from; i < to; i++) {
            const char *s = arena_get(other, i, &len);
            known[i] = find_hashed(arena, s, len, hashes[i - from]) != ARENA_NONE;
        }
    }
}

size_t arena_memory(const rl_arena *arena)
{
    size_t slots = arena->slots ? (size_t)arena->mask + 1 : 0;
    return arena->cap + (size_t)arena->room * sizeof *arena->at + slots * sizeof *arena->slots;
}

size_t arena_growth(const rl_arena *arena, size_t len)
{
    size_t more = 0;
    if (arena->cap - arena->len <= len)
        more += arena->cap / 2 + len + FIRST_BYTES;
    if (arena->n == arena->room)
        more += ((size_t)arena->room / 2 + FIRST_ROOM) * sizeof *arena->at;
    if (slots_full(arena))
        more += ((size_t)arena->mask + FIRST_SLOTS) * 2 * sizeof *arena->slots;
    return more;
}

void arena_free(rl_arena *arena)
{
    free(arena->bytes);
    free(arena->at);
    free(arena->slots);
    *arena = (rl_arena){0};
}
