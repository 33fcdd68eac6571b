#include "evidence/big_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "evidence/arena.h"

/* Bits that the slots of an arena do not use. */
unsigned big_part_of(const char *id, size_t len)
{
    return (unsigned)(arena_hash(id, len) >> 32) % SPILL_PARTS;
}

/* ---- records: number less the one before, id, values; each length and integer seven bits a byte ---- */

static void put_word(rl_buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_u8(out, (uint8_t)(v | 0x80));
    buf_u8(out, (uint8_t)v);
}

static void put_bytes(rl_buf *out, const char *s, size_t len)
{
    put_word(out, len);
    buf_add(out, s, len);
}

static void put_value(rl_buf *out, const bag_value *v)
{
    buf_u8(out, (uint8_t)v->kind);
    if (v->kind == BAG_INT)
        put_word(out, (uint64_t)v->i << 1 ^ (uint64_t)(v->i >> 63));
    else if (v->kind == BAG_STR)
        put_bytes(out, v->s, v->len);
}

rl_err *big_put(rl_big *big, uint64_t number, const char *id, size_t len, const bag_value *values,
                int n)
{
    static const bag_value none = {.kind = BAG_NULL};
    unsigned part = big_part_of(id, len);
    rl_err *err = bag_learn_kinds(big->shape, values, n);
    if (err)
        return err;
    buf_reset(&big->record);
    put_word(&big->record, number - big->last[part]);
    put_bytes(&big->record, id, len);
    for (int c = 0; c < bag_columns(big->shape); c++)
        put_value(&big->record, c < n ? &values[c] : &none);
    err = spill_put(big->spill, part, &big->record);
    if (err)
        return err;
    big->last[part] = number;
    big->next = number >= big->next ? number + 1 : big->next;
    big->n++;
    return NULL;
}

typedef struct reader {
    const rl_big *big;
    unsigned part;
    size_t chunk, at;
    rl_buf bytes;
    bool ended;
    big_record record;
} reader;

static uint64_t take_word(reader *r)
{
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        rl_assert(r->at < r->bytes.len);
        uint8_t byte = (uint8_t)r->bytes.data[r->at++];
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return v;
    }
}

static const char *take_bytes(reader *r, size_t *len)
{
    *len = (size_t)take_word(r);
    const char *s = r->bytes.data + r->at;
    r->at += *len;
    rl_assert(r->at <= r->bytes.len);
    return s;
}

static bag_value take_value(reader *r)
{
    bag_value v = {.kind = (bag_kind)(uint8_t)r->bytes.data[r->at++]};
    if (v.kind == BAG_STR) {
        v.s = take_bytes(r, &v.len);
    } else if (v.kind == BAG_INT) {
        uint64_t z = take_word(r);
        v.i = (int64_t)(z >> 1 ^ -(z & 1));
    }
    return v;
}

/* The next record of the part, or its end. */
static rl_err *advance(reader *r)
{
    if (r->at == r->bytes.len) {
        rl_err *err = spill_next(r->big->spill, r->part, &r->chunk, &r->bytes);
        r->at = 0;
        r->ended = r->bytes.len == 0;
        if (err || r->ended)
            return err;
    }
    r->record.number += take_word(r);
    r->record.id = take_bytes(r, &r->record.len);
    for (int c = 0; c < bag_columns(r->big->shape); c++)
        r->record.values[c] = take_value(r);
    return NULL;
}

/* ---- a part in memory ---- */

static rl_bag *bag_for(const rl_big *big, big_want want)
{
    const char *names[BAG_COLUMNS_MAX] = {NULL};
    int n = want == BIG_VALUES || want == BIG_ALL ? bag_columns(big->shape) : 0;
    for (int i = 0; i < n; i++)
        names[i] = bag_column_name(big->shape, i);
    if (want == BIG_NUMBERED || want == BIG_ALL)
        names[n++] = "";
    return bag_new(names, n, big->memory);
}

static rl_err *add_record(rl_bag *bag, big_record *record, big_want want, uint64_t offset)
{
    bag_value number = {.kind = BAG_INT, .i = (int64_t)(record->number + offset)};
    int n = bag_columns(bag);
    if (want == BIG_NUMBERED)
        return bag_add(bag, record->id, record->len, &number, 1);
    if (want == BIG_ALL)
        record->values[n - 1] = number;
    return bag_add(bag, record->id, record->len, record->values, n);
}

static rl_err *too_large(rl_err *err, const rl_big *big)
{
    if (!err_is(err, RL_LAB, "LIMIT"))
        return err;
    err_free(err);
    return err_lab("LIMIT",
                   "one of %d parts of a bag alone needs more than %zu MiB; set RLAB_BAG_MEMORY",
                   SPILL_PARTS, big->memory >> 20);
}

rl_err *big_load(const rl_big *big, unsigned part, big_want want, uint64_t offset, rl_bag **out)
{
    reader r = {.big = big, .part = part};
    rl_bag *bag = bag_for(big, want);
    rl_err *err = advance(&r);
    while (!err && !r.ended) {
        err = add_record(bag, &r.record, want, offset);
        if (!err)
            err = advance(&r);
    }
    buf_free(&r.bytes);
    if (err)
        bag_free(bag);
    *out = err ? NULL : bag;
    return err ? too_large(err, big) : NULL;
}

/* ---- all parts in order: a heap of readers, the lowest number on top ---- */

struct big_merge {
    reader readers[SPILL_PARTS];
    reader *heap[SPILL_PARTS];
    int n;
};

static bool before(const reader *a, const reader *b)
{
    return a->record.number < b->record.number;
}

static void sift_down(big_merge *m, int i)
{
    for (;;) {
        int least = i;
        for (int child = 2 * i + 1; child <= 2 * i + 2 && child < m->n; child++)
            least = before(m->heap[child], m->heap[least]) ? child : least;
        if (least == i)
            return;
        reader *r = m->heap[i];
        m->heap[i] = m->heap[least];
        m->heap[least] = r;
        i = least;
    }
}

rl_err *big_merge_open(const rl_big *big, big_merge **out)
{
    big_merge *m = mem_zero(sizeof *m);
    rl_err *err = NULL;
    for (unsigned part = 0; part < SPILL_PARTS && !err; part++) {
        reader *r = &m->readers[part];
        *r = (reader){.big = big, .part = part};
        err = advance(r);
        if (!err && !r->ended)
            m->heap[m->n++] = r;
    }
    for (int i = m->n / 2; i-- > 0;)
        sift_down(m, i);
    *out = m;
    return err;
}

const big_record *big_merge_at(const big_merge *m)
{
    return m->n > 0 ? &m->heap[0]->record : NULL;
}

rl_err *big_merge_next(big_merge *m)
{
    rl_err *err = advance(m->heap[0]);
    if (!err && m->heap[0]->ended)
        m->heap[0] = m->heap[--m->n];
    if (!err)
        sift_down(m, 0);
    return err;
}

void big_merge_close(big_merge *m)
{
    if (!m)
        return;
    for (int i = 0; i < SPILL_PARTS; i++)
        buf_free(&m->readers[i].bytes);
    free(m);
}
