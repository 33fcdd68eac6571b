#include "evidence/bag.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "evidence/arena.h"

enum { FIRST_ROOM = 16 };

/* Null in an integer column; the value itself is refused. */
#define INT_NULL INT64_MIN

typedef struct column {
    char *name;
    bag_kind kind;  /* BAG_NULL until the first value */
    int64_t *ints;  /* while BAG_NULL nothing is stored */
    uint32_t *strs; /* numbers in the arena, ARENA_NONE for null */
    rl_arena arena;
} column;

struct rl_bag {
    rl_arena ids;
    uint32_t *count, *first; /* of each distinct id */
    uint32_t *id_of;         /* of each entry */
    uint32_t n, room, id_room;
    int columns_count;
    size_t cap;
    column columns[];
};

rl_bag *bag_new(const char *const *names, int n, size_t cap)
{
    rl_assert(n >= 0 && n <= BAG_COLUMNS_MAX);
    rl_bag *bag = mem_zero(sizeof *bag + sizeof(column) * (size_t)n);
    bag->cap = cap;
    bag->columns_count = n;
    for (int i = 0; i < n; i++)
        bag->columns[i].name = mem_strdup(names[i]);
    return bag;
}

void bag_free(rl_bag *bag)
{
    if (!bag)
        return;
    for (int i = 0; i < bag->columns_count; i++) {
        column *col = &bag->columns[i];
        free(col->name);
        free(col->ints);
        free(col->strs);
        arena_free(&col->arena);
    }
    arena_free(&bag->ids);
    free(bag->count);
    free(bag->first);
    free(bag->id_of);
    free(bag);
}

/* ---- growing, under the cap ---- */

static size_t column_width(const column *col)
{
    return col->kind == BAG_INT ? sizeof *col->ints : col->kind == BAG_STR ? sizeof *col->strs : 0;
}

size_t bag_memory(const rl_bag *bag)
{
    size_t sum = arena_memory(&bag->ids) +
                 (size_t)bag->id_room * (sizeof *bag->count + sizeof *bag->first) +
                 (size_t)bag->room * sizeof *bag->id_of;
    for (int i = 0; i < bag->columns_count; i++)
        sum += arena_memory(&bag->columns[i].arena) + column_width(&bag->columns[i]) * bag->room;
    return sum;
}

static uint32_t more_room(uint32_t room)
{
    return room ? room / 2 : FIRST_ROOM;
}

/* Bytes that one more entry takes at most. */
static size_t growth(const rl_bag *bag, size_t id_len, const bag_value *values, int n)
{
    size_t more = arena_growth(&bag->ids, id_len),
           extra = bag->n == bag->room ? more_room(bag->room) : 0;
    more += extra * sizeof *bag->id_of;
    if (bag->ids.n == bag->id_room)
        more += more_room(bag->id_room) * (sizeof *bag->count + sizeof *bag->first);
    for (int i = 0; i < bag->columns_count; i++) {
        const column *col = &bag->columns[i];
        bag_kind kind = col->kind ? col->kind : i < n ? values[i].kind : BAG_NULL;
        size_t width = kind == BAG_INT   ? sizeof *col->ints
                       : kind == BAG_STR ? sizeof *col->strs
                                         : 0;
        more += extra * width + (col->kind != kind ? bag->room * width : 0);
        if (kind == BAG_STR && i < n)
            more += arena_growth(&col->arena, values[i].len);
    }
    return more;
}

static bool arenas_full(const rl_bag *bag)
{
    bool full = bag->ids.n >= ARENA_STRINGS_MAX;
    for (int i = 0; i < bag->columns_count; i++)
        full = full || bag->columns[i].arena.n >= ARENA_STRINGS_MAX;
    return full;
}

static rl_err *check_cap(const rl_bag *bag, size_t id_len, const bag_value *values, int n)
{
    if (bag->n == ARENA_NONE - 1)
        return err_lab("LIMIT", "a bag holds at most %u entries", bag->n);
    if (arenas_full(bag))
        return err_lab("LIMIT", "a bag holds at most %u different ids, or texts in a column",
                       ARENA_STRINGS_MAX);
    size_t more = growth(bag, id_len, values, n);
    if (more == 0 || bag_memory(bag) + more <= bag->cap)
        return NULL;
    return err_lab("LIMIT",
                   "a bag of %u entries would grow beyond its cap of %zu MiB; raise it by "
                   "bag.new{cap = \"4GiB\"}",
                   bag->n, bag->cap >> 20);
}

static void grow_column(column *col, uint32_t room)
{
    if (col->kind == BAG_INT)
        col->ints = mem_grow(col->ints, sizeof *col->ints * (size_t)room);
    else if (col->kind == BAG_STR)
        col->strs = mem_grow(col->strs, sizeof *col->strs * (size_t)room);
}

static void grow_entries(rl_bag *bag)
{
    bag->room += more_room(bag->room);
    bag->id_of = mem_grow(bag->id_of, sizeof *bag->id_of * (size_t)bag->room);
    for (int i = 0; i < bag->columns_count; i++)
        grow_column(&bag->columns[i], bag->room);
}

static void grow_ids(rl_bag *bag)
{
    bag->id_room += more_room(bag->id_room);
    bag->count = mem_grow(bag->count, sizeof *bag->count * (size_t)bag->id_room);
    bag->first = mem_grow(bag->first, sizeof *bag->first * (size_t)bag->id_room);
}

/* The first value of a column decides its kind; what came before is null. */
static void set_kind(rl_bag *bag, column *col, bag_kind kind)
{
    col->kind = kind;
    grow_column(col, bag->room);
    for (uint32_t e = 0; e < bag->n; e++) {
        if (kind == BAG_INT)
            col->ints[e] = INT_NULL;
        else
            col->strs[e] = ARENA_NONE;
    }
}

/* ---- adding ---- */

static rl_err *check_kinds(const rl_bag *bag, const bag_value *values, int n)
{
    static const char *const words[] = {"null", "integers", "strings"};
    for (int i = 0; i < n; i++) {
        const column *col = &bag->columns[i];
        if (values[i].kind == BAG_INT && values[i].i == INT_NULL)
            return err_lab("TYPE", "column '%s' cannot hold %lld", col->name, (long long)INT_NULL);
        if (values[i].kind && col->kind && values[i].kind != col->kind)
            return err_lab("TYPE", "column '%s' holds %s, not %s", col->name, words[col->kind],
                           words[values[i].kind]);
    }
    return NULL;
}

static void put_value(rl_bag *bag, column *col, uint32_t e, const bag_value *v)
{
    if (!col->kind && v->kind)
        set_kind(bag, col, v->kind);
    if (col->kind == BAG_INT)
        col->ints[e] = v->kind ? v->i : INT_NULL;
    else if (col->kind == BAG_STR)
        col->strs[e] = v->kind ? arena_put(&col->arena, v->s, v->len) : ARENA_NONE;
}

rl_err *bag_add(rl_bag *bag, const char *id, size_t len, const bag_value *values, int n)
{
    static const bag_value none = {.kind = BAG_NULL};
    rl_err *err = n > bag->columns_count
                      ? err_lab("USAGE", "%d values for %d columns", n, bag->columns_count)
                      : check_kinds(bag, values, n);
    if (!err)
        err = check_cap(bag, len, values, n);
    if (err)
        return err;
    if (bag->n == bag->room)
        grow_entries(bag);
    if (bag->ids.n == bag->id_room)
        grow_ids(bag);
    uint32_t known = bag->ids.n, i = arena_put(&bag->ids, id, len);
    if (i == known) {
        bag->count[i] = 0;
        bag->first[i] = bag->n;
    }
    bag->count[i]++;
    bag->id_of[bag->n] = i;
    for (int c = 0; c < bag->columns_count; c++)
        put_value(bag, &bag->columns[c], bag->n, c < n ? &values[c] : &none);
    bag->n++;
    return NULL;
}

/* ---- reading ---- */

size_t bag_entries(const rl_bag *bag)
{
    return bag->n;
}

size_t bag_distinct(const rl_bag *bag)
{
    return bag->ids.n;
}

int bag_columns(const rl_bag *bag)
{
    return bag->columns_count;
}

const char *bag_column_name(const rl_bag *bag, int c)
{
    rl_assert(c >= 0 && c < bag->columns_count);
    return bag->columns[c].name;
}

int bag_column(const rl_bag *bag, const char *name)
{
    for (int i = 0; i < bag->columns_count; i++)
        if (strcmp(bag->columns[i].name, name) == 0)
            return i;
    return -1;
}

const char *bag_id(const rl_bag *bag, size_t i, size_t *len)
{
    rl_assert(i < bag->ids.n);
    return arena_get(&bag->ids, (uint32_t)i, len);
}

size_t bag_id_count(const rl_bag *bag, size_t i)
{
    rl_assert(i < bag->ids.n);
    return bag->count[i];
}

size_t bag_id_first(const rl_bag *bag, size_t i)
{
    rl_assert(i < bag->ids.n);
    return bag->first[i];
}

bool bag_find(const rl_bag *bag, const char *id, size_t len, size_t *i)
{
    uint32_t found = arena_find(&bag->ids, id, len);
    *i = found;
    return found != ARENA_NONE;
}

size_t bag_entry_id(const rl_bag *bag, size_t e)
{
    rl_assert(e < bag->n);
    return bag->id_of[e];
}

bag_value bag_get(const rl_bag *bag, size_t e, int c)
{
    rl_assert(e < bag->n && c >= 0 && c < bag->columns_count);
    const column *col = &bag->columns[c];
    bag_value v = {.kind = BAG_NULL};
    if (col->kind == BAG_INT && col->ints[e] != INT_NULL) {
        v.kind = BAG_INT;
        v.i = col->ints[e];
    } else if (col->kind == BAG_STR && col->strs[e] != ARENA_NONE) {
        v.kind = BAG_STR;
        v.s = arena_get(&col->arena, col->strs[e], &v.len);
    }
    return v;
}

/* ---- combining ---- */

static rl_err *copy_entry(const rl_bag *from, uint32_t e, rl_bag *to)
{
    bag_value values[BAG_COLUMNS_MAX];
    size_t len;
    const char *id = arena_get(&from->ids, from->id_of[e], &len);
    for (int c = 0; c < from->columns_count; c++)
        values[c] = bag_get(from, e, c);
    return bag_add(to, id, len, values, from->columns_count);
}

/* Copies the entries of `from` whose id is (want) or is not in `other`. */
static rl_err *copy_where(const rl_bag *from, const rl_bag *other, int want, rl_bag *to)
{
    rl_err *err = NULL;
    unsigned char *in = mem_alloc(from->ids.n); /* asked once an id, not once an entry */
    arena_which(&other->ids, &from->ids, in);
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
    const char *names[BAG_COLUMNS_MAX] = {NULL};
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

static rl_err *want_ints(const rl_bag *bag, int c)
{
    rl_assert(c >= 0 && c < bag->columns_count);
    return bag->columns[c].kind == BAG_STR
               ? err_lab("TYPE", "column '%s' holds strings, integers are needed",
                         bag->columns[c].name)
               : NULL;
}

static bool is_first(const rl_bag *bag, uint32_t e)
{
    return bag->first[bag->id_of[e]] == e;
}

rl_err *bag_sum(const rl_bag *bag, int c, int64_t *out)
{
    rl_err *err = want_ints(bag, c);
    const int64_t *ints = bag->columns[c].ints;
    *out = 0;
    for (uint32_t e = 0; e < bag->n && ints && !err; e++) {
        if (ints[e] != INT_NULL && __builtin_add_overflow(*out, ints[e], out))
            err = err_lab("OVERFLOW", "the sum of column '%s' does not fit into 64 bits",
                          bag->columns[c].name);
    }
    return err;
}

/* The number of the key of an entry among the keys; ARENA_NONE for null. Keys that are integers
 * get an arena of their own. */
static uint32_t key_of(const column *by, uint32_t e, rl_arena *ints)
{
    if (by->kind == BAG_STR)
        return by->strs[e];
    if (by->kind == BAG_NULL || by->ints[e] == INT_NULL)
        return ARENA_NONE;
    return arena_put(ints, (const char *)&by->ints[e], sizeof by->ints[e]);
}

rl_err *bag_inversions(const rl_bag *bag, int by, int of, bool (*visit)(size_t, size_t, void *),
                       void *arg)
{
    rl_assert(by >= 0 && by < bag->columns_count);
    rl_err *err = want_ints(bag, of);
    const int64_t *values = bag->columns[of].ints;
    if (err || !values)
        return err;
    rl_arena ints = {0};
    uint32_t *highest = NULL, room = 0; /* of each key: the entry with the highest value so far */
    bool more = true;
    for (uint32_t e = 0; e < bag->n && more; e++) {
        uint32_t key = is_first(bag, e) && values[e] != INT_NULL
                           ? key_of(&bag->columns[by], e, &ints)
                           : ARENA_NONE;
        if (key == ARENA_NONE)
            continue;
        if (key >= room) {
            uint32_t now = key + key / 2 + FIRST_ROOM;
            highest = mem_grow(highest, sizeof *highest * (size_t)now);
            memset(highest + room, 0xff, sizeof *highest * (size_t)(now - room));
            room = now;
        }
        if (highest[key] != ARENA_NONE && values[e] < values[highest[key]])
            more = visit(e, highest[key], arg);
        else
            highest[key] = e;
    }
    free(highest);
    arena_free(&ints);
    return NULL;
}
