/* Byte strings kept once.
 *
 * Offers: an arena that gives each distinct byte string a number, 0, 1, 2, ... in the order of first
 * appearance, in linear time and with about 12 bytes a string beside the bytes themselves. Memory is
 * one run of bytes and two arrays; nothing is freed before the whole. A slot of the table holds a
 * number and what bits of the hash have room beside it; equal bits only ask for the comparison of the
 * strings, which alone decides.
 *     Many strings go in by steps: arena_stage() takes each and fetches its slot ahead, arena_settle()
 *     then says their numbers, so that the misses of a step overlap. Nothing else may be asked while
 *     any is staged.
 * Uses: base/buf. Thread: plain memory, one owner. */
#ifndef RL_EVIDENCE_ARENA_H
#define RL_EVIDENCE_ARENA_H

#include <stddef.h>
#include <stdint.h>

enum { ARENA_NONE = 0xffffffffu };
/* Beyond this the caller must refuse: so many still have numbers of 31 bits in their slots. */
enum { ARENA_STRINGS_MAX = 0x50000000 };
enum { ARENA_STEP = 32 }; /* strings staged at most */

typedef struct rl_arena {
    char *bytes;
    size_t len, cap;
    uint32_t *ends;  /* of each string, the lower half; where it wrapped around is in wraps */
    uint32_t *wraps; /* numbers of the strings whose end was the first in another 4 GiB */
    uint32_t wraps_n;
    uint32_t *slots; /* open addressing: bits of the hash above, number + 1 below, 0 is free */
    uint32_t mask, n, room;
    uint32_t staged_n;
    size_t staged_bytes;
    struct arena_staged {
        uint64_t hash;
        size_t len;
    } staged[ARENA_STEP];
} rl_arena;

uint64_t arena_hash(const char *s, size_t len);
uint32_t arena_put(rl_arena *arena, const char *s, size_t len); /* its number, new or known */
uint32_t arena_find(const rl_arena *arena, const char *s, size_t len); /* ARENA_NONE: not there */
void arena_which(const rl_arena *arena, const rl_arena *other,
                 unsigned char *known); /* known[i]: string i of other is here */
const char *arena_get(const rl_arena *arena, uint32_t i, size_t *len);
void arena_stage(rl_arena *arena, const char *s, size_t len); /* fewer than ARENA_STEP are staged */
uint32_t arena_settle(rl_arena *arena, uint32_t *numbers);    /* of the staged, how many */
size_t arena_memory(const rl_arena *arena);                   /* bytes held */
size_t arena_growth(const rl_arena *arena, size_t len); /* bytes more that one more may take */
void arena_free(rl_arena *arena);

#endif
