/* Which entries of a bag are no first copies.
 *
 * Offers: the entries whose id came before, in order, with the number of that id. The others need no
 * word each: their ids have the numbers 0, 1, 2, ... A bag without repeats takes no memory here; the
 * counts take room, and memory where the first repeat writes.
 *     A walk goes over all entries in order and knows the id of each without a search:
 *     for (repeats_walk w = {0}; w.entry < n; repeats_next(r, &w)).
 * Uses: evidence/pages. Thread: plain memory, one owner. */
#ifndef RL_EVIDENCE_REPEATS_H
#define RL_EVIDENCE_REPEATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rl_repeats {
    uint32_t *entry, *id;
    uint32_t n, room;
    uint32_t *copies; /* of each id beside the first; those from copies_n on have none */
    uint32_t copies_n, copies_room;
} rl_repeats;

typedef struct repeats_walk {
    uint32_t entry, repeat;
} repeats_walk;

/* For one more entry, when there are so many ids and more of which nobody knows yet if they are new. */
size_t repeats_growth(const rl_repeats *r, uint32_t ids, uint32_t open);
void repeats_make_room(rl_repeats *r, uint32_t ids, uint32_t open);
void repeats_note(rl_repeats *r, uint32_t entry, uint32_t id); /* entry is behind those before */

size_t repeats_count(const rl_repeats *r, uint32_t id);      /* copies of it, the first included */
size_t repeats_first(const rl_repeats *r, uint32_t id);      /* the entry of its first copy */
uint32_t repeats_id(const rl_repeats *r, uint32_t entry);    /* the number of its id */
bool repeats_at(const rl_repeats *r, const repeats_walk *w); /* the entry is a repeat */
uint32_t repeats_walk_id(const rl_repeats *r, const repeats_walk *w);
void repeats_next(const rl_repeats *r, repeats_walk *w);
size_t repeats_memory(const rl_repeats *r);
void repeats_free(rl_repeats *r);

#endif
