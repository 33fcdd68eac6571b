#include "evidence/bag.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "evidence/arena.h"
#include "evidence/pages.h"
#include "evidence/repeats.h"

enum { FIRST_ROOM = 16 };

/* Null in an integer column; the value itself is refused. */
#define INT_NULL INT64_MIN

typedef struct column {
    char *name;
    bag_kind kind;  /* BAG_NULL until the first value */
    int64_t *ints;  /* while BAG_NULL nothing is stored */
    uint32_t *strs; /* numbers in the arena, ARENA_NONE for null */
    size_t size;    /* of either in bytes */
    rl_arena arena;
} column;

struct rl_bag {
    rl_arena ids;
    rl_repeats again;
    uint32_t n, room;
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
        pages_free(col->ints, col->ints ? col->size : 0);
        pages_free(col->strs, col->strs ? col->size : 0);
        arena_free(&col->arena);
    }
    arena_free(&bag->ids);
    repeats_free(&bag->again);
    free(bag);
}

/* ---- growing, under the cap ---- */

static size_t column_width(const column *col)
{
    return col->kind == BAG_INT ? sizeof *col->ints : col->kind == BAG_STR ? sizeof *col->strs : 0;
}

size_t bag_memory(const rl_bag *bag)
{
    size_t sum = arena_memory(&bag->ids) + repeats_memory(&bag->again);
    for (int i = 0; i < bag->columns_count; i++)
        sum += arena_memory(&bag->columns[i].arena) + bag->columns[i].size;
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
    more += repeats_growth(&bag->again, bag->ids.n, bag->ids.staged_n);
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
    bool full = bag->ids.n + bag->ids.staged_n >= ARENA_STRINGS_MAX;
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
    size_t had = col->size;
    col->size = column_width(col) * room;
    if (col->kind == BAG_INT)
        col->ints = pages_grow(col->ints, had, col->size);
    else if (col->kind == BAG_STR)
        col->strs = pages_grow(col->strs, had, col->size);
}

static void grow_entries(rl_bag *bag)
{
    bag->room += more_room(bag->room);
    for (int i = 0; i < bag->columns_count; i++)
        grow_column(&bag->columns[i], bag->room);
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

/* Gives the staged ids their numbers. A reader calls it too: what it changes is not seen. */
static void settle(const rl_bag *settled)
{
    rl_bag *bag = (rl_bag *)settled;
    uint32_t numbers[ARENA_STEP], first = bag->ids.n, n = arena_settle(&bag->ids, numbers);
    for (uint32_t i = 0; i < n; i++) {
        if (numbers[i] == first)
            first++;
        else
            repeats_note(&bag->again, bag->n - n + i, numbers[i]);
    }
}

static rl_err *check_kinds(const rl_bag *bag, const bag_value *values, int n)
{
    static const char *const words[] = {"null", "integers", "strings"};
    if (n > bag->columns_count)
        return err_lab("USAGE", "%d values for %d columns", n, bag->columns_count);
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

rl_err *bag_learn_kinds(rl_bag *bag, const bag_value *values, int n)
{
    rl_err *err = check_kinds(bag, values, n);
    for (int i = 0; i < n && !err; i++)
        if (!bag->columns[i].kind && values[i].kind)
            set_kind(bag, &bag->columns[i], values[i].kind);
    return err;
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
    rl_err *err = check_kinds(bag, values, n);
    if (!err)
        err = check_cap(bag, len, values, n);
    if (err)
        return err;
    if (bag->n == bag->room)
        grow_entries(bag);
    repeats_make_room(&bag->again, bag->ids.n, bag->ids.staged_n);
    arena_stage(&bag->ids, id, len);
    for (int c = 0; c < bag->columns_count; c++)
        put_value(bag, &bag->columns[c], bag->n, c < n ? &values[c] : &none);
    bag->n++;
    if (bag->ids.staged_n == ARENA_STEP)
        settle(bag);
    return NULL;
}

/* ---- reading ---- */

size_t bag_entries(const rl_bag *bag)
{
    return bag->n;
}

size_t bag_distinct(const rl_bag *bag)
{
    settle(bag);
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
    settle(bag);
    rl_assert(i < bag->ids.n);
    return arena_get(&bag->ids, (uint32_t)i, len);
}

size_t bag_id_count(const rl_bag *bag, size_t i)
{
    settle(bag);
    rl_assert(i < bag->ids.n);
    return repeats_count(&bag->again, (uint32_t)i);
}

size_t bag_id_first(const rl_bag *bag, size_t i)
{
    settle(bag);
    rl_assert(i < bag->ids.n);
    return repeats_first(&bag->again, (uint32_t)i);
}

bool bag_find(const rl_bag *bag, const char *id, size_t len, size_t *i)
{
    settle(bag);
    uint32_t found = arena_find(&bag->ids, id, len);
    *i = found;
    return found != ARENA_NONE;
}

size_t bag_entry_id(const rl_bag *bag, size_t e)
{
    settle(bag);
    rl_assert(e < bag->n);
    return repeats_id(&bag->again, (uint32_t)e);
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

static rl_err *copy_entry(const rl_bag *from, const repeats_walk *w, rl_bag *to)
{
    bag_value values[BAG_COLUMNS_MAX];
    size_t len;
    const char *id = arena_get(&from->ids, repeats_walk_id(&from->again, w), &len);
    for (int c = 0; c < from->columns_count; c++)
        values[c] = bag_get(from, w->entry, c);
    return bag_add(to, id, len, values, from->columns_count);
}

/* Copies the entries of `from` whose id is (want) or is not in `other`. */
static rl_err *copy_where(const rl_bag *from, const rl_bag *other, int want, rl_bag *to)
{
    rl_err *err = NULL;
    unsigned char *in = mem_alloc(from->ids.n); /* asked once an id, not once an entry */
    arena_which(&other->ids, &from->ids, in);
    for (repeats_walk w = {0}; w.entry < from->n && !err; repeats_next(&from->again, &w))
        if (in[repeats_walk_id(&from->again, &w)] == want)
            err = copy_entry(from, &w, to);
    free(in);
    return err;
}

static rl_err *copy_all(const rl_bag *from, bool first_copies, rl_bag *to)
{
    rl_err *err = NULL;
    for (repeats_walk w = {0}; w.entry < from->n && !err; repeats_next(&from->again, &w))
        if (!first_copies || !repeats_at(&from->again, &w))
            err = copy_entry(from, &w, to);
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
    settle(a);
    if (b)
        settle(b);
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

rl_err *bag_want_ints(const rl_bag *bag, int c)
{
    rl_assert(c >= 0 && c < bag->columns_count);
    return bag->columns[c].kind == BAG_STR
               ? err_lab("TYPE", "column '%s' holds strings, integers are needed",
                         bag->columns[c].name)
               : NULL;
}

rl_err *bag_sum(const rl_bag *bag, int c, int64_t *out)
{
    rl_err *err = bag_want_ints(bag, c);
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
    rl_err *err = bag_want_ints(bag, of);
    const int64_t *values = bag->columns[of].ints;
    if (err || !values)
        return err;
    settle(bag);
    rl_arena ints = {0};
    uint32_t *highest = NULL, room = 0; /* of each key: the entry with the highest value so far */
    bool more = true;
    for (repeats_walk w = {0}; w.entry < bag->n && more; repeats_next(&bag->again, &w)) {
        uint32_t e = w.entry;
        uint32_t key = !repeats_at(&bag->again, &w) && values[e] != INT_NULL
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
