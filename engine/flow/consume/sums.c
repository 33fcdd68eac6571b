#include "flow/consume/sums.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"

enum { SLOTS_FIRST = 64 };

void consume_sums_reset(consume_sums *sums)
{
    sums->n = 0;
    sums->sorted = false;
    if (sums->slots)
        memset(sums->slots, 0, (size_t)sums->nslots * sizeof *sums->slots);
}

void consume_sums_free(consume_sums *sums)
{
    free(sums->list);
    free(sums->slots);
    *sums = (consume_sums){0};
}

static uint32_t spread_account(int64_t account)
{
    return (uint32_t)(((uint64_t)account * 0x9e3779b97f4a7c15u) >> 32);
}

static int32_t *slot_of(const consume_sums *sums, int64_t account)
{
    uint32_t mask = (uint32_t)sums->nslots - 1, i = spread_account(account) & mask;
    while (sums->slots[i] && sums->list[sums->slots[i] - 1].account != account)
        i = (i + 1) & mask;
    return &sums->slots[i];
}

/* At most half of the slots are taken. */
static void sums_make_room(consume_sums *sums)
{
    if (sums->nslots && sums->n < sums->nslots / 2)
        return;
    sums->nslots = sums->nslots ? sums->nslots * 2 : SLOTS_FIRST;
    sums->cap = sums->nslots / 2;
    sums->list = mem_grow(sums->list, (size_t)sums->cap * sizeof *sums->list);
    free(sums->slots);
    sums->slots = mem_zero((size_t)sums->nslots * sizeof *sums->slots);
    for (int i = 0; i < sums->n; i++)
        *slot_of(sums, sums->list[i].account) = i + 1;
}

bool consume_sums_add(consume_sums *sums, int64_t account, int64_t amount, int64_t version,
                      int64_t balance)
{
    rl_assert(!sums->sorted);
    sums_make_room(sums);
    int32_t *slot = slot_of(sums, account);
    if (!*slot) {
        sums->list[sums->n] = (consume_sum){account, amount, version, 1, balance};
        *slot = ++sums->n;
        return true;
    }
    consume_sum *sum = &sums->list[*slot - 1];
    if (__builtin_add_overflow(sum->amount, amount, &sum->amount)) {
        sum->amount = (int64_t)((uint64_t)sum->amount - (uint64_t)amount);
        return false;
    }
    sum->entries++;
    if (version >= sum->version) {
        sum->version = version;
        sum->balance = balance;
    }
    return true;
}

static int by_account(const void *a, const void *b)
{
    int64_t x = ((const consume_sum *)a)->account, y = ((const consume_sum *)b)->account;
    return x < y ? -1 : x > y;
}

void consume_sums_sort(consume_sums *sums)
{
    sums->sorted = true;
    if (sums->n > 1)
        qsort(sums->list, (size_t)sums->n, sizeof *sums->list, by_account);
}
