/* Bags: multisets of ids with columns, the ground of every check.
 *
 * A bag holds entries in the order in which they were added: an id (any bytes) and a value for each
 * column (64-bit integer, string or null; a column holds one kind). An id may occur in several
 * entries; the first of them is its first copy.
 *
 *     a - b   the entries of a whose id does not occur in b       both ask about ids only, however
 *     often they occur in b: that an
 *     a & b   the entries of a whose id occurs in b               id came twice is a duplicate,
 *     never a loss or a phantom
 *     a + b   all entries of both
 *     a | b   the entries of a, then those of b whose id does not occur in a
 *
 * Results of - and & have a's columns; + and | need the same columns on both sides. All is linear
 * in the number of entries.
 * Offers: the above, counts, duplicates, sums, inversions of order, and a cap on memory with an
 * error (LIMIT) instead of an end.
 * Uses: evidence/arena, base/err. Thread: plain memory, one owner. */
#ifndef RL_EVIDENCE_BAG_H
#define RL_EVIDENCE_BAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Those of a script, and two that an answer adds. */
enum { BAG_COLUMNS_GIVEN = 16, BAG_COLUMNS_MAX = BAG_COLUMNS_GIVEN + 2 };

typedef struct rl_bag rl_bag;

typedef enum bag_kind { BAG_NULL, BAG_INT, BAG_STR } bag_kind;

typedef struct bag_value {
    bag_kind kind;
    int64_t i;
    const char *s; /* valid until the bag changes */
    size_t len;
} bag_value;

rl_bag *bag_new(const char *const *columns, int columns_count, size_t cap_bytes);
void bag_free(rl_bag *bag);

/* Missing values are null. Errors: LIMIT (memory), TYPE (another kind than the column's). The
 * bag is unchanged then. */
rl_err *bag_add(rl_bag *bag, const char *id, size_t len, const bag_value *values, int n);

/* Checks values as bag_add does, and remembers the kinds of columns that had none. */
rl_err *bag_learn_kinds(rl_bag *bag, const bag_value *values, int n);
rl_err *bag_want_ints(const rl_bag *bag, int column); /* TYPE: it holds strings */

size_t bag_entries(const rl_bag *bag);
size_t bag_distinct(const rl_bag *bag);
size_t bag_memory(const rl_bag *bag);
int bag_columns(const rl_bag *bag);
const char *bag_column_name(const rl_bag *bag, int column);
int bag_column(const rl_bag *bag, const char *name); /* -1: none */

/* Distinct ids are numbered 0.. in the order of their first copies. */
const char *bag_id(const rl_bag *bag, size_t i, size_t *len);
size_t bag_id_count(const rl_bag *bag, size_t i);
size_t bag_id_first(const rl_bag *bag, size_t i); /* the entry of its first copy */
bool bag_find(const rl_bag *bag, const char *id, size_t len, size_t *i);

size_t bag_entry_id(const rl_bag *bag, size_t entry);
bag_value bag_get(const rl_bag *bag, size_t entry, int column);

typedef enum bag_op { BAG_MINUS, BAG_AND, BAG_PLUS, BAG_OR, BAG_FIRST } bag_op;

/* A new bag, with a's cap; b is ignored by BAG_FIRST (the first copies of a). Errors: LIMIT,
 * USAGE (different columns). */
rl_err *bag_combine(bag_op op, const rl_bag *a, const rl_bag *b, rl_bag **out);

/* Sum of an integer column over all entries; nulls count as nothing. Errors: TYPE, OVERFLOW. */
rl_err *bag_sum(const rl_bag *bag, int column, int64_t *out);

/* Within each value of column `by`, in the order of the entries: first copies whose integer `of`
 * is lower than one that came before. visit gets the entry and the entry with the highest value
 * before it; it returns false to end. Entries with a null in either column are passed over. */
rl_err *bag_inversions(const rl_bag *bag, int by, int of,
                       bool (*visit)(size_t entry, size_t before, void *arg), void *arg);

#endif
