/* The records of a big bag: what evidence/big is made of.
 *
 * Offers: writing a record to the part of its id, loading a part into a bag, and a merge of all parts in
 * the order of the entries' numbers.
 * Uses: evidence/bag, evidence/spill. Thread: one owner. */
#ifndef RL_EVIDENCE_BIG_PARTS_H
#define RL_EVIDENCE_BIG_PARTS_H

#include "evidence/bag.h"
#include "evidence/spill.h"

typedef struct rl_big rl_big;

struct rl_big {
    rl_spill *spill;
    rl_bag *shape;
    size_t memory, n;
    uint64_t next;              /* the number behind the last */
    uint64_t last[SPILL_PARTS]; /* number in each part */
    rl_buf record;
};

typedef struct big_record {
    uint64_t number;
    const char *id; /* valid until the merge goes on */
    size_t len;
    bag_value values[BAG_COLUMNS_MAX];
} big_record;

typedef enum big_want {
    BIG_IDS,      /* no columns */
    BIG_NUMBERED, /* one column: the number */
    BIG_VALUES,   /* its columns */
    BIG_ALL       /* its columns, and the number as one more */
} big_want;

typedef struct big_merge big_merge;

unsigned big_part_of(const char *id, size_t len);
/* Numbers rise within a part. */
rl_err *big_put(rl_big *big, uint64_t number, const char *id, size_t len, const bag_value *values,
                int n);
rl_err *big_load(const rl_big *big, unsigned part, big_want want, uint64_t offset, rl_bag **out);

rl_err *big_merge_open(const rl_big *big, big_merge **out);
const big_record *big_merge_at(const big_merge *m); /* NULL: the end */
rl_err *big_merge_next(big_merge *m);
void big_merge_close(big_merge *m);

#endif
