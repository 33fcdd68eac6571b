/* Byte strings kept once.
 *
 * Offers: an arena that gives each distinct byte string a number, 0, 1, 2, ... in the order of first
 * appearance, in linear time and with 20 bytes a string beside the bytes themselves. Memory is one
 * run of bytes and three arrays; nothing is freed before the whole.
 * Uses: base/buf. Thread: plain memory, one owner. */
#ifndef RL_EVIDENCE_ARENA_H
#define RL_EVIDENCE_ARENA_H

#include <stddef.h>
#include <stdint.h>

enum { ARENA_NONE = 0xffffffffu };
/* Beyond this the caller must refuse: the slots of so many still have numbers of 32 bits. */
enum { ARENA_STRINGS_MAX = 0x50000000 };

typedef struct rl_arena {
    char *bytes;
    size_t len, cap;
    uint64_t *at; /* n + 1 offsets */
    uint64_t
        *slots; /* open addressing: hash above, number + 1 below, 0 is free; one miss a search */
    uint32_t mask, n, room;
} rl_arena;

uint32_t arena_put(rl_arena *arena, const char *s, size_t len); /* its number, new or known */
uint32_t arena_find(const rl_arena *arena, const char *s, size_t len); /* ARENA_NONE: not there */
void arena_which(const rl_arena *arena, const rl_arena *other,
                 unsigned char *known); /* known[i]: string i of other is here */
const char *arena_get(const rl_arena *arena, uint32_t i, size_t *len);
size_t arena_memory(const rl_arena *arena);             /* bytes held */
size_t arena_growth(const rl_arena *arena, size_t len); /* bytes more that a put may take */
void arena_free(rl_arena *arena);

#endif
