/* What a batch adds to each account.
 *
 * Offers: consume_sums, amounts, entries and the highest version added up per account and handed
 * out in the order of the account's id, the order in which every consumer locks.
 * Uses: base/buf. Thread: plain memory, one owner. */
#ifndef RL_FLOW_CONSUME_SUMS_H
#define RL_FLOW_CONSUME_SUMS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct consume_sum {
    int64_t account, amount, version, entries;
    int64_t balance; /* of the event with that version */
} consume_sum;

typedef struct consume_sums {
    consume_sum *list;
    int32_t *slots; /* 1 + index, 0: free */
    int n, cap, nslots;
    bool sorted; /* the slots do not fit the list any more */
} consume_sums;

void consume_sums_reset(consume_sums *sums); /* keeps the memory */
void consume_sums_free(consume_sums *sums);

/* false when the sum leaves 64 bits; it is then unchanged. */
bool consume_sums_add(consume_sums *sums, int64_t account, int64_t amount, int64_t version,
                      int64_t balance);
void consume_sums_sort(consume_sums *sums); /* nothing can be added after it until the reset */

#endif
