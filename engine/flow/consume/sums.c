#include "flow/consume/sums.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { SLOTS_FIRST = 64 };

void consume_sums_reset(consume_sums *s)
{
    s->n = 0;
    if (s->slots)
        memset(s->slots, 0, (size_t)s->nslots * sizeof *s->slots);
}

void consume_sums_free(consume_sums *s)
{
    free(s->list);
    free(s->slots);
    *s = (consume_sums){0};
}

static uint32_t spread(int64_t account)
{
    return (uint32_t)(((uint64_t)account * 0x9e3779b97f4a7c15u) >> 32);
}

static int32_t *slot_of(const consume_sums *s, int64_t account)
{
    uint32_t mask = (uint32_t)s->nslots - 1, i = spread(account) & mask;
    while (s->slots[i] && s->list[s->slots[i] - 1].account != account)
        i = (i + 1) & mask;
    return &s->slots[i];
}

/* At most half of the slots are taken. */
static void make_room(consume_sums *s)
{
    if (s->nslots && s->n < s->nslots / 2)
        return;
    s->nslots = s->nslots ? s->nslots * 2 : SLOTS_FIRST;
    s->cap = s->nslots / 2;
    s->list = mem_grow(s->list, (size_t)s->cap * sizeof *s->list);
    free(s->slots);
    s->slots = mem_zero((size_t)s->nslots * sizeof *s->slots);
    for (int i = 0; i < s->n; i++)
        *slot_of(s, s->list[i].account) = i + 1;
}

bool consume_sums_add(consume_sums *s, int64_t account, int64_t amount, int64_t version,
                      int64_t balance)
{
    make_room(s);
    int32_t *slot = slot_of(s, account);
    if (!*slot) {
        s->list[s->n] = (consume_sum){account, amount, version, 1, balance};
        *slot = ++s->n;
        return true;
    }
    consume_sum *sum = &s->list[*slot - 1];
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

void consume_sums_sort(consume_sums *s)
{
    if (s->n > 1)
        qsort(s->list, (size_t)s->n, sizeof *s->list, by_account);
}
