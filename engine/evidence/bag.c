#include "evidence/bag.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "evidence/pool.h"

enum { FIRST_ROOM = 16 };

/* Null in an integer column; the value itself is refused. */
#define INT_NULL INT64_MIN

typedef struct column {
    char *name;
    bag_kind kind;  /* BAG_NULL until the first value */
    int64_t *ints;  /* while BAG_NULL nothing is stored */
    uint32_t *strs; /* numbers in the pool, POOL_NONE for null */
    rl_pool pool;
} column;

struct rl_bag {
    rl_pool ids;
    uint32_t *count, *first; /* of each distinct id */
    uint32_t *id_of;         /* of each entry */
    uint32_t n, room, id_room;
    int columns_count;
    size_t cap;
    column columns[];
};

rl_bag *bag_new(const char *const *names, int n, size_t cap)
{
    rl_bag *b = mem_zero(sizeof *b + sizeof(column) * (size_t)n);
    b->cap = cap;
    b->columns_count = n;
    for (int i = 0; i < n; i++)
        b->columns[i].name = mem_strdup(names[i]);
    return b;
}

void bag_free(rl_bag *b)
{
    if (!b)
        return;
    for (int i = 0; i < b->columns_count; i++) {
        column *c = &b->columns[i];
        free(c->name);
        free(c->ints);
        free(c->strs);
        pool_free(&c->pool);
    }
    pool_free(&b->ids);
    free(b->count);
    free(b->first);
    free(b->id_of);
    free(b);
}

/* ---- growing, under the cap ---- */

static size_t column_width(const column *c)
{
    return c->kind == BAG_INT ? sizeof *c->ints : c->kind == BAG_STR ? sizeof *c->strs : 0;
}

size_t bag_memory(const rl_bag *b)
{
    size_t sum = pool_memory(&b->ids) + (size_t)b->id_room * (sizeof *b->count + sizeof *b->first) +
                 (size_t)b->room * sizeof *b->id_of;
    for (int i = 0; i < b->columns_count; i++)
        sum += pool_memory(&b->columns[i].pool) + column_width(&b->columns[i]) * b->room;
    return sum;
}

static uint32_t more_room(uint32_t room)
{
    return room ? room / 2 : FIRST_ROOM;
}

/* Bytes that one more entry takes at most. */
static size_t growth(const rl_bag *b, size_t id_len, const bag_value *values, int n)
{
    size_t more = pool_growth(&b->ids, id_len), extra = b->n == b->room ? more_room(b->room) : 0;
    more += extra * sizeof *b->id_of;
    if (b->ids.n == b->id_room)
        more += more_room(b->id_room) * (sizeof *b->count + sizeof *b->first);
    for (int i = 0; i < b->columns_count; i++) {
        const column *c = &b->columns[i];
        bag_kind kind = c->kind ? c->kind : i < n ? values[i].kind : BAG_NULL;
        size_t width = kind == BAG_INT ? sizeof *c->ints : kind == BAG_STR ? sizeof *c->strs : 0;
        more += extra * width + (c->kind != kind ? b->room * width : 0);
        if (kind == BAG_STR && i < n)
            more += pool_growth(&c->pool, values[i].len);
    }
    return more;
}

static rl_err *check_cap(const rl_bag *b, size_t id_len, const bag_value *values, int n)
{
    if (b->n == POOL_NONE - 1)
        return err_lab("LIMIT", "a bag holds at most %u entries", b->n);
    size_t more = growth(b, id_len, values, n);
    if (more == 0 || bag_memory(b) + more <= b->cap)
        return NULL;
    return err_lab("LIMIT",
                   "a bag of %u entries would grow beyond its cap of %zu MiB; raise it by "
                   "bag.new{cap = \"4GiB\"}",
                   b->n, b->cap >> 20);
}

static void grow_column(column *c, uint32_t room)
{
    if (c->kind == BAG_INT)
        c->ints = mem_grow(c->ints, sizeof *c->ints * (size_t)room);
    else if (c->kind == BAG_STR)
        c->strs = mem_grow(c->strs, sizeof *c->strs * (size_t)room);
}

static void grow_entries(rl_bag *b)
{
    b->room += more_room(b->room);
    b->id_of = mem_grow(b->id_of, sizeof *b->id_of * (size_t)b->room);
    for (int i = 0; i < b->columns_count; i++)
        grow_column(&b->columns[i], b->room);
}

static void grow_ids(rl_bag *b)
{
    b->id_room += more_room(b->id_room);
    b->count = mem_grow(b->count, sizeof *b->count * (size_t)b->id_room);
    b->first = mem_grow(b->first, sizeof *b->first * (size_t)b->id_room);
}

/* The first value of a column decides its kind; what came before is null. */
static void set_kind(rl_bag *b, column *c, bag_kind kind)
{
    c->kind = kind;
    grow_column(c, b->room);
    for (uint32_t e = 0; e < b->n; e++) {
        if (kind == BAG_INT)
            c->ints[e] = INT_NULL;
        else
            c->strs[e] = POOL_NONE;
    }
}

/* ---- adding ---- */

static rl_err *check_kinds(const rl_bag *b, const bag_value *values, int n)
{
    static const char *const words[] = {"null", "integers", "strings"};
    for (int i = 0; i < n; i++) {
        const column *c = &b->columns[i];
        if (values[i].kind == BAG_INT && values[i].i == INT_NULL)
            return err_lab("TYPE", "column '%s' cannot hold %lld", c->name, (long long)INT_NULL);
        if (values[i].kind && c->kind && values[i].kind != c->kind)
            return err_lab("TYPE", "column '%s' holds %s, not %s", c->name, words[c->kind],
                           words[values[i].kind]);
    }
    return NULL;
}

static void put_value(rl_bag *b, column *c, uint32_t e, const bag_value *v)
{
    if (!c->kind && v->kind)
        set_kind(b, c, v->kind);
    if (c->kind == BAG_INT)
        c->ints[e] = v->kind ? v->i : INT_NULL;
    else if (c->kind == BAG_STR)
        c->strs[e] = v->kind ? pool_put(&c->pool, v->s, v->len) : POOL_NONE;
}

rl_err *bag_add(rl_bag *b, const char *id, size_t len, const bag_value *values, int n)
{
    static const bag_value none = {.kind = BAG_NULL};
    rl_err *err = n > b->columns_count
                      ? err_lab("USAGE", "%d values for %d columns", n, b->columns_count)
                      : check_kinds(b, values, n);
    if (!err)
        err = check_cap(b, len, values, n);
    if (err)
        return err;
    if (b->n == b->room)
        grow_entries(b);
    if (b->ids.n == b->id_room)
        grow_ids(b);
    uint32_t known = b->ids.n, i = pool_put(&b->ids, id, len);
    if (i == known) {
        b->count[i] = 0;
        b->first[i] = b->n;
    }
    b->count[i]++;
    b->id_of[b->n] = i;
    for (int c = 0; c < b->columns_count; c++)
        put_value(b, &b->columns[c], b->n, c < n ? &values[c] : &none);
    b->n++;
    return NULL;
}

/* ---- reading ---- */

size_t bag_entries(const rl_bag *b)
{
    return b->n;
}

size_t bag_distinct(const rl_bag *b)
{
    return b->ids.n;
}

int bag_columns(const rl_bag *b)
{
    return b->columns_count;
}

const char *bag_column_name(const rl_bag *b, int c)
{
    return b->columns[c].name;
}

int bag_column(const rl_bag *b, const char *name)
{
    for (int i = 0; i < b->columns_count; i++)
        if (strcmp(b->columns[i].name, name) == 0)
            return i;
    return -1;
}

const char *bag_id(const rl_bag *b, size_t i, size_t *len)
{
    return pool_get(&b->ids, (uint32_t)i, len);
}

size_t bag_id_count(const rl_bag *b, size_t i)
{
    return b->count[i];
}

size_t bag_id_first(const rl_bag *b, size_t i)
{
    return b->first[i];
}

bool bag_find(const rl_bag *b, const char *id, size_t len, size_t *i)
{
    uint32_t found = pool_find(&b->ids, id, len);
    *i = found;
    return found != POOL_NONE;
}

size_t bag_entry_id(const rl_bag *b, size_t e)
{
    return b->id_of[e];
}

bag_value bag_get(const rl_bag *b, size_t e, int col)
{
    const column *c = &b->columns[col];
    bag_value v = {.kind = BAG_NULL};
    if (c->kind == BAG_INT && c->ints[e] != INT_NULL) {
        v.kind = BAG_INT;
        v.i = c->ints[e];
    } else if (c->kind == BAG_STR && c->strs[e] != POOL_NONE) {
        v.kind = BAG_STR;
        v.s = pool_get(&c->pool, c->strs[e], &v.len);
    }
    return v;
}

/* ---- combining ---- */

static rl_err *copy_entry(const rl_bag *from, uint32_t e, rl_bag *to)
{
    bag_value values[BAG_COLUMNS_MAX];
    size_t len;
    const char *id = pool_get(&from->ids, from->id_of[e], &len);
    for (int c = 0; c < from->columns_count; c++)
        values[c] = bag_get(from, e, c);
    return bag_add(to, id, len, values, from->columns_count);
}

/* Copies the entries of `from` whose id is (want) or is not in `other`. */
static rl_err *copy_where(const rl_bag *from, const rl_bag *other, int want, rl_bag *to)
{
    rl_err *err = NULL;
    unsigned char *in = mem_alloc(from->ids.n); /* asked once an id, not once an entry */
    pool_which(&other->ids, &from->ids, in);
    for (uint32_t e = 0; e < from->n && !err; e++)
        if (in[from->id_of[e]] == want)
            err = copy_entry(from, e, to);
    free(in);
    return err;
}

static rl_err *copy_all(const rl_bag *from, bool first_copies, rl_bag *to)
{
    rl_err *err = NULL;
    for (uint32_t e = 0; e < from->n && !err; e++)
        if (!first_copies || from->first[from->id_of[e]] == e)
            err = copy_entry(from, e, to);
    return err;
}

static bool same_columns(const rl_bag *a, const rl_bag *b)
{
    bool same = a->columns_count == b->columns_count;
    for (int i = 0; same && i < a->columns_count; i++)
        same = strcmp(a->columns[i].name, b->columns[i].name) == 0;
    return same;
}

rl_err *bag_combine(bag_op op, const rl_bag *a, const rl_bag *b, rl_bag **result)
{
    if ((op == BAG_PLUS || op == BAG_OR) && !same_columns(a, b))
        return err_lab("USAGE", "bags with different columns cannot be joined");
    const char *names[BAG_COLUMNS_MAX];
    for (int i = 0; i < a->columns_count; i++)
        names[i] = a->columns[i].name;
    rl_bag *out = bag_new(names, a->columns_count, a->cap);
    rl_err *err = NULL;
    if (op == BAG_MINUS || op == BAG_AND)
        err = copy_where(a, b, op == BAG_AND, out);
    else
        err = copy_all(a, op == BAG_FIRST, out);
    if (!err && op == BAG_PLUS)
        err = copy_all(b, false, out);
    if (!err && op == BAG_OR)
        err = copy_where(b, a, 0, out);
    if (err)
        bag_free(out);
    else
        *result = out;
    return err;
}

/* ---- measures ---- */

static rl_err *want_ints(const rl_bag *b, int c)
{
    return b->columns[c].kind == BAG_STR
               ? err_lab("TYPE", "column '%s' holds strings, integers are needed",
                         b->columns[c].name)
               : NULL;
}

static bool is_first(const rl_bag *b, uint32_t e)
{
    return b->first[b->id_of[e]] == e;
}

rl_err *bag_sum(const rl_bag *b, int c, int64_t *out)
{
    rl_err *err = want_ints(b, c);
    const int64_t *ints = b->columns[c].ints;
    *out = 0;
    for (uint32_t e = 0; e < b->n && ints && !err; e++) {
        if (ints[e] != INT_NULL && __builtin_add_overflow(*out, ints[e], out))
            err = err_lab("OVERFLOW", "the sum of column '%s' does not fit into 64 bits",
                          b->columns[c].name);
    }
    return err;
}

/* The number of the key of an entry among the keys; POOL_NONE for null. Keys that are integers
 * get a pool of their own. */
static uint32_t key_of(const column *by, uint32_t e, rl_pool *ints)
{
    if (by->kind == BAG_STR)
        return by->strs[e];
    if (by->kind == BAG_NULL || by->ints[e] == INT_NULL)
        return POOL_NONE;
    return pool_put(ints, (const char *)&by->ints[e], sizeof by->ints[e]);
}

rl_err *bag_inversions(const rl_bag *b, int by, int of, bool (*visit)(size_t, size_t, void *),
                       void *arg)
{
    rl_err *err = want_ints(b, of);
    const int64_t *values = b->columns[of].ints;
    if (err || !values)
        return err;
    rl_pool ints = {0};
    uint32_t *highest = NULL, room = 0; /* of each key: the entry with the highest value so far */
    bool more = true;
    for (uint32_t e = 0; e < b->n && more; e++) {
        uint32_t key =
            is_first(b, e) && values[e] != INT_NULL ? key_of(&b->columns[by], e, &ints) : POOL_NONE;
        if (key == POOL_NONE)
            continue;
        if (key >= room) {
            uint32_t now = key + key / 2 + FIRST_ROOM;
            highest = mem_grow(highest, sizeof *highest * (size_t)now);
            memset(highest + room, 0xff, sizeof *highest * (size_t)(now - room));
            room = now;
        }
        if (highest[key] != POOL_NONE && values[e] < values[highest[key]])
            more = visit(e, highest[key], arg);
        else
            highest[key] = e;
    }
    free(highest);
    pool_free(&ints);
    return NULL;
}
