#include "evidence/big.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/units.h"
#include "evidence/arena.h"
#include "evidence/big_parts.h"

#define USUAL_MEMORY ((size_t)2 << 30)

/* ---- making ---- */

rl_err *big_memory_bound(size_t *out)
{
    const char *text = getenv("RLAB_BAG_MEMORY");
    int64_t bytes = USUAL_MEMORY;
    if (text && *text && (!units_size(text, &bytes) || bytes <= 0))
        return err_lab("USAGE", "RLAB_BAG_MEMORY is a size, such as 512MiB, not '%s'", text);
    *out = (size_t)bytes;
    return NULL;
}

static int names_of(const rl_bag *bag, const char **names)
{
    int n = bag_columns(bag);
    for (int i = 0; i < n; i++)
        names[i] = bag_column_name(bag, i);
    return n;
}

/* An empty one, like a bag. */
static rl_err *big_like(const rl_bag *bag, size_t memory, rl_big **out)
{
    const char *names[BAG_COLUMNS_MAX] = {NULL};
    rl_spill *spill = NULL;
    rl_err *err = spill_open(memory, &spill);
    if (err)
        return err;
    rl_big *big = mem_zero(sizeof *big);
    big->spill = spill;
    big->memory = memory;
    big->shape = bag_new(names, names_of(bag, names), (size_t)1 << 20);
    *out = big;
    return NULL;
}

void big_free(rl_big *big)
{
    if (!big)
        return;
    bag_free(big->shape);
    spill_free(big->spill);
    buf_free(&big->record);
    free(big);
}

static rl_err *take_all(rl_big *big, const rl_bag *from)
{
    bag_value values[BAG_COLUMNS_MAX];
    rl_err *err = NULL;
    int n = bag_columns(from);
    for (size_t e = 0; e < bag_entries(from) && !err; e++) {
        size_t len;
        const char *id = bag_id(from, bag_entry_id(from, e), &len);
        for (int c = 0; c < n; c++)
            values[c] = bag_get(from, e, c);
        err = big_add(big, id, len, values, n);
    }
    return err;
}

static rl_err *copied(const rl_bag *bag, size_t memory, rl_big **out)
{
    rl_err *err = big_like(bag, memory, out);
    if (!err)
        err = take_all(*out, bag);
    if (err) {
        big_free(*out);
        *out = NULL;
    }
    return err;
}

rl_err *big_from(rl_bag *bag, size_t memory, rl_big **out)
{
    *out = NULL;
    rl_err *err = copied(bag, memory, out);
    if (!err)
        bag_free(bag);
    return err;
}

rl_err *big_add(rl_big *big, const char *id, size_t len, const bag_value *values, int n)
{
    return big_put(big, big->next, id, len, values, n);
}

size_t big_entries(const rl_big *big)
{
    return big->n;
}

size_t big_disk(const rl_big *big)
{
    return spill_bytes(big->spill);
}

const rl_bag *big_shape(const rl_big *big)
{
    return big->shape;
}

/* ---- combining: part by part, with the bag's own operations ---- */

static rl_err *keep_all(const rl_bag *found, rl_big *out)
{
    bag_value values[BAG_COLUMNS_MAX];
    rl_err *err = NULL;
    int n = bag_columns(found) - 1; /* the last is the entry's number */
    for (size_t e = 0; e < bag_entries(found) && !err; e++) {
        size_t len;
        const char *id = bag_id(found, bag_entry_id(found, e), &len);
        for (int c = 0; c < n; c++)
            values[c] = bag_get(found, e, c);
        err = big_put(out, (uint64_t)bag_get(found, e, n).i, id, len, values, n);
    }
    return err;
}

static rl_err *combine_part(bag_op op, rl_big *a, rl_big *b, unsigned part, rl_big *out)
{
    rl_bag *x = NULL, *y = NULL, *found = NULL;
    bool joined = op == BAG_PLUS || op == BAG_OR;
    rl_err *err = big_load(a, part, BIG_ALL, 0, &x);
    if (!err && b)
        err = big_load(b, part, joined ? BIG_ALL : BIG_IDS, a->next, &y);
    if (!err)
        err = bag_combine(op, x, y, &found);
    if (!err)
        err = keep_all(found, out);
    bag_free(x);
    bag_free(y);
    bag_free(found);
    return err;
}

/* What fits into memory is a bag, in the order of the entries. */
static rl_err *as_small_as_can_be(rl_big *big, any_bag *out)
{
    *out = (any_bag){.big = big};
    if (spill_bytes(big->spill) > big->memory / 8)
        return NULL;
    rl_err *err = big_head(big, false, SIZE_MAX, &out->bag);
    out->big = NULL;
    big_free(big);
    return err;
}

static rl_err *combine(bag_op op, rl_big *a, rl_big *b, any_bag *out)
{
    rl_big *result = NULL;
    rl_err *err = big_like(a->shape, a->memory, &result);
    for (unsigned part = 0; part < SPILL_PARTS && !err; part++)
        err = combine_part(op, a, b, part, result);
    if (err)
        big_free(result);
    else
        err = as_small_as_can_be(result, out);
    return err;
}

rl_err *big_combine(bag_op op, any_bag a, any_bag b, size_t memory, any_bag *out)
{
    rl_big *x = a.big, *y = b.big;
    rl_err *err = x ? NULL : copied(a.bag, memory, &x);
    if (!err && !y && b.bag)
        err = copied(b.bag, memory, &y);
    if (!err)
        err = combine(op, x, y, out);
    if (x != a.big)
        big_free(x);
    if (y != b.big)
        big_free(y);
    return err;
}

/* ---- first copies ---- */

typedef struct firsts {
    unsigned char *bits; /* of each entry by its number */
    size_t distinct;
} firsts;

static rl_err *add_firsts(rl_big *big, unsigned part, firsts *f)
{
    rl_bag *ids = NULL;
    rl_err *err = big_load(big, part, BIG_NUMBERED, 0, &ids);
    if (err)
        return err;
    for (size_t i = 0; i < bag_distinct(ids); i++) {
        uint64_t number = (uint64_t)bag_get(ids, bag_id_first(ids, i), 0).i;
        f->bits[number / 8] |= (unsigned char)(1 << number % 8);
    }
    f->distinct += bag_distinct(ids);
    bag_free(ids);
    return NULL;
}

static rl_err *find_firsts(rl_big *big, firsts *f)
{
    rl_err *err = NULL;
    *f = (firsts){.bits = mem_zero((size_t)big->next / 8 + 1)};
    for (unsigned part = 0; part < SPILL_PARTS && !err; part++)
        err = add_firsts(big, part, f);
    return err;
}

static bool is_first(const firsts *f, uint64_t number)
{
    return f->bits[number / 8] & 1 << number % 8;
}

rl_err *big_distinct(rl_big *big, size_t *out)
{
    firsts f;
    rl_err *err = find_firsts(big, &f);
    *out = f.distinct;
    free(f.bits);
    return err;
}

/* ---- answers ---- */

/* What was asked for is held whole, as a bag with a usual cap. */
static rl_bag *answer_like(const rl_big *big, const char *const *more, int n)
{
    const char *names[BAG_COLUMNS_MAX] = {NULL};
    int own = names_of(big->shape, names);
    rl_assert(own + n <= BAG_COLUMNS_MAX);
    for (int i = 0; i < n; i++)
        names[own + i] = more[i];
    return bag_new(names, own + n, big->memory > USUAL_MEMORY ? big->memory : USUAL_MEMORY);
}

static rl_err *finished(rl_err *err, rl_bag *answer, rl_bag **out)
{
    if (err)
        bag_free(answer);
    else
        *out = answer;
    return err;
}

rl_err *big_head(rl_big *big, bool first_copies, size_t limit, rl_bag **out)
{
    firsts f = {0};
    big_merge *m = NULL;
    const big_record *r;
    rl_bag *answer = answer_like(big, NULL, 0);
    rl_err *err = first_copies ? find_firsts(big, &f) : NULL;
    if (!err)
        err = big_merge_open(big, &m);
    while (!err && bag_entries(answer) < limit && (r = big_merge_at(m)) != NULL) {
        if (!first_copies || is_first(&f, r->number))
            err = bag_add(answer, r->id, r->len, r->values, bag_columns(big->shape));
        if (!err)
            err = big_merge_next(m);
    }
    big_merge_close(m);
    free(f.bits);
    return finished(err, answer, out);
}

rl_err *big_of_id(rl_big *big, const char *id, size_t len, rl_bag **out)
{
    return big_load(big, big_part_of(id, len), BIG_VALUES, 0, out);
}

static rl_err *duplicates_of(rl_big *big, unsigned part, rl_big *found)
{
    rl_bag *ids = NULL;
    rl_err *err = big_load(big, part, BIG_NUMBERED, 0, &ids);
    for (size_t i = 0; !err && i < bag_distinct(ids); i++) {
        size_t len, count = bag_id_count(ids, i);
        if (count < 2)
            continue;
        const char *id = bag_id(ids, i, &len);
        bag_value v = {.kind = BAG_INT, .i = (int64_t)count};
        err = big_put(found, (uint64_t)bag_get(ids, bag_id_first(ids, i), 0).i, id, len, &v, 1);
    }
    bag_free(ids);
    return err;
}

rl_err *big_duplicates(rl_big *big, size_t limit, rl_bag **out)
{
    static const char *const columns[] = {"count"};
    rl_big *found = NULL;
    rl_bag *shape = bag_new(columns, 1, big->memory);
    rl_err *err = big_like(shape, big->memory, &found);
    bag_free(shape);
    for (unsigned part = 0; part < SPILL_PARTS && !err; part++)
        err = duplicates_of(big, part, found);
    if (!err)
        err = big_head(found, false, limit, out);
    big_free(found);
    return err;
}

rl_err *big_sum(rl_big *big, int column, int64_t *out)
{
    rl_err *err = NULL;
    *out = 0;
    for (unsigned part = 0; part < SPILL_PARTS && !err; part++) {
        rl_bag *loaded = NULL;
        int64_t sum;
        err = big_load(big, part, BIG_VALUES, 0, &loaded);
        if (!err)
            err = bag_sum(loaded, column, &sum);
        if (!err && __builtin_add_overflow(*out, sum, out))
            err = err_lab("OVERFLOW", "the sum of column '%s' does not fit into 64 bits",
                          bag_column_name(loaded, column));
        bag_free(loaded);
    }
    return err;
}

/* ---- order ---- */

typedef struct highest {
    int64_t value;
    char *id; /* NULL: no entry of this key yet */
    size_t len, room;
} highest;

typedef struct keys {
    rl_arena names;
    highest *of;
    size_t room, bytes;
} keys;

static highest *key_of(keys *k, const bag_value *v)
{
    uint32_t i = v->kind == BAG_STR ? arena_put(&k->names, v->s, v->len)
                                    : arena_put(&k->names, (const char *)&v->i, sizeof v->i);
    if (i >= k->room) {
        size_t room = i + i / 2 + 16;
        k->of = mem_grow(k->of, room * sizeof *k->of);
        memset(k->of + k->room, 0, (room - k->room) * sizeof *k->of);
        k->room = room;
    }
    return &k->of[i];
}

static void raise_to(keys *k, highest *h, const big_record *r, int64_t value)
{
    if (r->len >= h->room) {
        k->bytes += r->len + 1 - h->room;
        h->room = r->len + 1;
        h->id = mem_grow(h->id, h->room);
    }
    memcpy(h->id, r->id, r->len);
    h->len = r->len;
    h->value = value;
}

static rl_err *judge_order(keys *k, const big_record *r, int by, int of, rl_bag *answer)
{
    const bag_value *key = &r->values[by], *value = &r->values[of];
    if (key->kind == BAG_NULL || value->kind == BAG_NULL)
        return NULL;
    highest *h = key_of(k, key);
    if (!h->id || value->i >= h->value) {
        raise_to(k, h, r, value->i);
        return NULL;
    }
    bag_value values[BAG_COLUMNS_MAX];
    int n = bag_columns(answer) - 2;
    memcpy(values, r->values, sizeof *values * (size_t)n);
    values[n] = (bag_value){.kind = BAG_INT, .i = h->value};
    values[n + 1] = (bag_value){.kind = BAG_STR, .s = h->id, .len = h->len};
    return bag_add(answer, r->id, r->len, values, n + 2);
}

static rl_err *check_keys(const keys *k, size_t memory)
{
    if (arena_memory(&k->names) + k->bytes + k->room * sizeof *k->of <= memory)
        return NULL;
    return err_lab("LIMIT",
                   "the order of so many keys needs more than %zu MiB; set RLAB_BAG_MEMORY",
                   memory >> 20);
}

static void free_keys(keys *k)
{
    for (size_t i = 0; i < k->room; i++)
        free(k->of[i].id);
    free(k->of);
    arena_free(&k->names);
}

rl_err *big_inversions(rl_big *big, int by, int of, size_t limit, rl_bag **out)
{
    static const char *const more[] = {"after", "after_id"};
    firsts f = {0};
    keys k = {0};
    big_merge *m = NULL;
    const big_record *r;
    rl_bag *answer = answer_like(big, more, 2);
    rl_err *err = bag_want_ints(big->shape, of);
    if (!err)
        err = find_firsts(big, &f);
    if (!err)
        err = big_merge_open(big, &m);
    while (!err && bag_entries(answer) < limit && (r = big_merge_at(m)) != NULL) {
        err = is_first(&f, r->number) ? judge_order(&k, r, by, of, answer) : NULL;
        if (!err)
            err = check_keys(&k, big->memory);
        if (!err)
            err = big_merge_next(m);
    }
    big_merge_close(m);
    free_keys(&k);
    free(f.bits);
    return finished(err, answer, out);
}
