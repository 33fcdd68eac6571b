#include "evidence/arena.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "evidence/pages.h"

enum { FIRST_ROOM = 16, FIRST_SLOTS = 32, FIRST_BYTES = 256 };

/* Both halves of a product of 64 by 64 bits, folded: each bit of both factors has a say. */
static uint64_t folded(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Sixteen bytes a step, the rest filled up with zeros; the length tells "a" from "a\0". */
uint64_t arena_hash(const char *s, size_t len)
{
    const uint64_t k0 = 0x9e3779b97f4a7c15u, k1 = 0xd6e8feb86659fd93u;
    uint64_t h = len * k0 + k1, v[2];
    for (; len > 16; s += 16, len -= 16) {
        memcpy(v, s, 16);
        h = folded(v[0] ^ k0, v[1] ^ h);
    }
    v[0] = v[1] = 0;
    memcpy(v, s, len);
    return folded(folded(v[0] ^ k0, v[1] ^ h), k1);
}

/* ---- strings by number ---- */

/* Where string i ends. */
static size_t end_of(const rl_arena *arena, uint32_t i)
{
    size_t end = arena->ends[i];
    for (uint32_t w = 0; w < arena->wraps_n && arena->wraps[w] <= i; w++)
        end += (size_t)1 << 32;
    return end;
}

static size_t start_of(const rl_arena *arena, uint32_t i)
{
    return i == 0 ? 0 : end_of(arena, i - 1);
}

const char *arena_get(const rl_arena *arena, uint32_t i, size_t *len)
{
    rl_assert(i < arena->n);
    size_t start = start_of(arena, i);
    *len = end_of(arena, i) - start;
    return arena->bytes + start;
}

/* The bytes of the next string are at their place already. */
static void take_string(rl_arena *arena, size_t len)
{
    size_t end = arena->len + len;
    for (size_t high = arena->len >> 32; high < end >> 32; high++) {
        arena->wraps = mem_grow(arena->wraps, sizeof *arena->wraps * (arena->wraps_n + (size_t)1));
        arena->wraps[arena->wraps_n++] = arena->n;
    }
    arena->ends[arena->n++] = (uint32_t)end;
    arena->len = end;
}

/* ---- slots ---- */

/* A number + 1 is at most as large as the mask, as never all slots are in use: the bits above are
 * free for the hash. The slot's place comes from other bits. */
static uint32_t tag_of(const rl_arena *arena, uint64_t hash)
{
    return (uint32_t)(hash >> 32) & ~arena->mask;
}

static uint32_t first_slot(const rl_arena *arena, uint64_t hash)
{
    return (uint32_t)hash & arena->mask;
}

/* The slot that holds the string, or the free one where it belongs. */
static uint32_t slot_of(const rl_arena *arena, const char *s, size_t len, uint64_t hash)
{
    uint32_t tag = tag_of(arena, hash);
    for (uint32_t slot = first_slot(arena, hash);; slot = (slot + 1) & arena->mask) {
        uint32_t v = arena->slots[slot];
        size_t n;
        if (!v)
            return slot;
        if ((v & ~arena->mask) != tag)
            continue;
        const char *known = arena_get(arena, (v & arena->mask) - 1, &n);
        if (n == len && memcmp(known, s, n) == 0)
            return slot;
    }
}

static void put_slot(rl_arena *arena, uint32_t i, uint64_t hash)
{
    uint32_t slot = first_slot(arena, hash);
    while (arena->slots[slot])
        slot = (slot + 1) & arena->mask;
    arena->slots[slot] = tag_of(arena, hash) | (i + 1);
}

/* Hashes strings from..to and fetches their first slots. */
static void fetch_slots(const rl_arena *arena, const rl_arena *of, uint32_t from, uint32_t to,
                        uint64_t *hashes)
{
    size_t len;
    for (uint32_t i = from; i < to; i++) {
        const char *s = arena_get(of, i, &len);
        hashes[i - from] = arena_hash(s, len);
        __builtin_prefetch(&arena->slots[first_slot(arena, hashes[i - from])]);
    }
}

static uint32_t step_end(uint32_t from, uint32_t n)
{
    return n - from < ARENA_STEP ? n : from + ARENA_STEP;
}

static size_t slots_size(const rl_arena *arena)
{
    return arena->slots ? sizeof *arena->slots * ((size_t)arena->mask + 1) : 0;
}

static size_t ends_size(const rl_arena *arena)
{
    return sizeof *arena->ends * (size_t)arena->room;
}

/* The slots are made anew from the strings, so that both tables are never held at once. */
static void grow_slots(rl_arena *arena)
{
    uint64_t hashes[ARENA_STEP];
    uint32_t count = arena->slots ? 2 * (arena->mask + 1) : FIRST_SLOTS;
    size_t size = sizeof *arena->slots * (size_t)count;
    pages_free(arena->slots, slots_size(arena));
    arena->slots = memset(pages_grow(NULL, 0, size), 0, size);
    arena->mask = count - 1;
    for (uint32_t from = 0, to; from < arena->n; from = to) {
        to = step_end(from, arena->n);
        fetch_slots(arena, arena, from, to, hashes);
        for (uint32_t i = from; i < to; i++)
            put_slot(arena, i, hashes[i - from]);
    }
}

/* ---- room ---- */

static void grow_room(rl_arena *arena)
{
    size_t had = ends_size(arena);
    arena->room = arena->room ? arena->room + arena->room / 2 : FIRST_ROOM;
    arena->ends = pages_grow(arena->ends, had, ends_size(arena));
}

static size_t used(const rl_arena *arena)
{
    return arena->len + arena->staged_bytes;
}

static void grow_bytes(rl_arena *arena, size_t len)
{
    size_t had = arena->cap;
    while (arena->cap - used(arena) < len)
        arena->cap = arena->cap ? arena->cap + arena->cap / 2 : FIRST_BYTES;
    arena->bytes = pages_grow(arena->bytes, had, arena->cap);
}

/* At most two thirds of the slots are in use. */
static int slots_full(const rl_arena *arena)
{
    return !arena->slots ||
           ((uint64_t)arena->n + arena->staged_n) * 3 >= (uint64_t)(arena->mask + 1) * 2;
}

static int room_full(const rl_arena *arena)
{
    return arena->n + arena->staged_n >= arena->room;
}

static void make_room(rl_arena *arena, size_t len)
{
    rl_assert(arena->n + arena->staged_n <= ARENA_STRINGS_MAX);
    if (slots_full(arena))
        grow_slots(arena);
    if (room_full(arena))
        grow_room(arena);
    if (arena->cap - used(arena) < len || !arena->bytes)
        grow_bytes(arena, len + 1);
}

/* ---- putting ---- */

uint32_t arena_put(rl_arena *arena, const char *s, size_t len)
{
    rl_assert(arena->staged_n == 0);
    make_room(arena, len);
    uint64_t hash = arena_hash(s, len);
    uint32_t slot = slot_of(arena, s, len, hash);
    if (arena->slots[slot])
        return (arena->slots[slot] & arena->mask) - 1;
    memcpy(arena->bytes + arena->len, s, len);
    arena->slots[slot] = tag_of(arena, hash) | (arena->n + 1);
    take_string(arena, len);
    return arena->n - 1;
}

void arena_stage(rl_arena *arena, const char *s, size_t len)
{
    rl_assert(arena->staged_n < ARENA_STEP);
    make_room(arena, len);
    struct arena_staged *staged = &arena->staged[arena->staged_n++];
    staged->len = len;
    staged->hash = arena_hash(s, len);
    memcpy(arena->bytes + used(arena), s, len);
    arena->staged_bytes += len;
    __builtin_prefetch(&arena->slots[first_slot(arena, staged->hash)], 1);
}

/* The staged lie one behind the other; those that are known leave gaps, which are closed. */
uint32_t arena_settle(rl_arena *arena, uint32_t *numbers)
{
    const char *s = arena->bytes + arena->len;
    for (uint32_t i = 0; i < arena->staged_n; i++) {
        const struct arena_staged *staged = &arena->staged[i];
        uint32_t slot = slot_of(arena, s, staged->len, staged->hash);
        if (arena->slots[slot]) {
            numbers[i] = (arena->slots[slot] & arena->mask) - 1;
        } else {
            memmove(arena->bytes + arena->len, s, staged->len);
            numbers[i] = arena->n;
            arena->slots[slot] = tag_of(arena, staged->hash) | (arena->n + 1);
            take_string(arena, staged->len);
        }
        s += staged->len;
    }
    uint32_t n = arena->staged_n;
    arena->staged_n = 0;
    arena->staged_bytes = 0;
    return n;
}

/* ---- finding ---- */

static uint32_t find_hashed(const rl_arena *arena, const char *s, size_t len, uint64_t hash)
{
    return (arena->slots[slot_of(arena, s, len, hash)] & arena->mask) - 1;
}

uint32_t arena_find(const rl_arena *arena, const char *s, size_t len)
{
    return arena->n ? find_hashed(arena, s, len, arena_hash(s, len)) : ARENA_NONE;
}

/* What most of a step will be compared with: the string whose number is in the first slot. */
static void fetch_strings(const rl_arena *arena, const uint64_t *hashes, uint32_t n)
{
    uint32_t numbers[ARENA_STEP];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t v = arena->slots[first_slot(arena, hashes[i])] & arena->mask;
        numbers[i] = v ? v - 1 : 0;
        __builtin_prefetch(&arena->ends[numbers[i]]);
    }
    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(arena->bytes + start_of(arena, numbers[i]));
}

void arena_which(const rl_arena *arena, const rl_arena *other, unsigned char *known)
{
    uint64_t hashes[ARENA_STEP];
    size_t len;
    memset(known, 0, other->n);
    for (uint32_t from = 0, to; from < other->n && arena->n; from = to) {
        to = step_end(from, other->n);
        fetch_slots(arena, other, from, to, hashes);
        fetch_strings(arena, hashes, to - from);
        for (uint32_t i = from; i < to; i++) {
            const char *s = arena_get(other, i, &len);
            known[i] = find_hashed(arena, s, len, hashes[i - from]) != ARENA_NONE;
        }
    }
}

/* ---- memory ---- */

size_t arena_memory(const rl_arena *arena)
{
    return arena->cap + ends_size(arena) + slots_size(arena);
}

size_t arena_growth(const rl_arena *arena, size_t len)
{
    size_t more = 0;
    if (arena->cap - used(arena) <= len)
        more += arena->cap / 2 + len + FIRST_BYTES;
    if (room_full(arena))
        more += ((size_t)arena->room / 2 + FIRST_ROOM) * sizeof *arena->ends;
    if (slots_full(arena))
        more += ((size_t)arena->mask + FIRST_SLOTS) * sizeof *arena->slots;
    return more;
}

void arena_free(rl_arena *arena)
{
    pages_free(arena->bytes, arena->cap);
    pages_free(arena->ends, ends_size(arena));
    pages_free(arena->slots, slots_size(arena));
    free(arena->wraps);
    *arena = (rl_arena){0};
}
