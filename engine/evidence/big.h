/* Bags that memory does not hold.
 *
 * A big bag has its entries on disk, apart by the hash of their ids: copies of an id are in one part, and
 * a part of one bag meets only the same part of another. Each part is judged in memory by the bag's own
 * operations, so that a verdict is the same as in memory. Entries have numbers that tell their order;
 * what asks for order merges the parts by them.
 * Memory: the buffers of the parts, one part of each side at a time, a bit an entry for first copies, and
 * for inversions the highest of each key. A part that alone is larger than the bound is refused (LIMIT):
 * that is one id with very many copies, or 256 times the bound.
 * Offers: the questions of evidence/bag, with errors (DISK, LIMIT), as every answer reads a file.
 * Uses: evidence/bag, evidence/spill. Thread: one owner. */
#ifndef RL_EVIDENCE_BIG_H
#define RL_EVIDENCE_BIG_H

#include "evidence/bag.h"

typedef struct rl_big rl_big;

/* One of the two. */
typedef struct any_bag {
    rl_bag *bag;
    rl_big *big;
} any_bag;

rl_err *big_memory_bound(size_t *out); /* RLAB_BAG_MEMORY, else 2 GiB; what is no size is told */

/* All entries of a bag, which is freed when it went well. */
rl_err *big_from(rl_bag *bag, size_t memory, rl_big **out);
rl_err *big_add(rl_big *big, const char *id, size_t len, const bag_value *values, int n);
void big_free(rl_big *big);

size_t big_entries(const rl_big *big);
size_t big_disk(const rl_big *big);         /* bytes */
const rl_bag *big_shape(const rl_big *big); /* an empty bag with its columns */
rl_err *big_distinct(rl_big *big, size_t *out);

/* As bag_combine, of any two. A result that fits into memory is a bag. */
rl_err *big_combine(bag_op op, any_bag a, any_bag b, size_t memory, any_bag *out);

/* Answers are bags, in order. */
rl_err *big_head(rl_big *big, bool first_copies, size_t limit, rl_bag **out);
rl_err *big_of_id(rl_big *big, const char *id, size_t len,
                  rl_bag **out);                                 /* its copies, maybe others */
rl_err *big_duplicates(rl_big *big, size_t limit, rl_bag **out); /* one column: count */
/* The columns and two more: after and after_id. */
rl_err *big_inversions(rl_big *big, int by, int of, size_t limit, rl_bag **out);
rl_err *big_sum(rl_big *big, int column, int64_t *out);

#endif
