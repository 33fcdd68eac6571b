/* rlab.bag: multisets of ids, see evidence/bag.h, and evidence/big.h for those that go to disk. What a
 * script does wrong, a full bag or disk included, raises. */
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "bind/evidence/bag_box.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/value/meta.h"
#include "bind/value/opts.h"

int luaopen_rlab_bag(lua_State *L);

/* ---- making ---- */

static bag_box *bag_check(lua_State *L)
{
    return bag_box_at(L, 1);
}

static int read_columns(lua_State *L, int idx, const char **names)
{
    if (lua_isnoneornil(L, idx) || lua_getfield(L, idx, "columns") == LUA_TNIL)
        return 0;
    luaL_checktype(L, -1, LUA_TTABLE);
    int list = lua_gettop(L);
    lua_Integer n = luaL_len(L, list);
    if (n > BAG_COLUMNS_GIVEN)
        luaL_error(L, "bag: at most %d columns", BAG_COLUMNS_GIVEN);
    for (lua_Integer i = 1; i <= n; i++) {
        if (lua_geti(L, list, i) != LUA_TSTRING)
            luaL_error(L, "bag: columns is a list of names");
        names[i - 1] = lua_tostring(L, -1); /* the table keeps it */
        if (strcmp(names[i - 1], "id") == 0)
            luaL_error(L, "bag: a column cannot be called 'id'");
        lua_pop(L, 1);
    }
    return (int)n;
}

static bag_box *push_new(lua_State *L, int opts)
{
    const char *names[BAG_COLUMNS_MAX];
    int n = read_columns(L, opts, names);
    int64_t cap = opts_size(L, opts, "cap", -1);
    size_t usual;
    bag_box_must(L, big_memory_bound(&usual));
    int64_t memory = opts_size(L, opts, "memory", (int64_t)usual);
    luaL_argcheck(L, cap != 0 && memory > 0, opts, "cap and memory must be positive");
    bag_box *box = bag_box_push(L);
    box->bound = cap < 0 ? (size_t)memory : 0;
    box->is.bag = bag_new(names, n, box->bound ? box->bound : (size_t)cap);
    return box;
}

/* new([{columns = {"key", "version"}, memory = "2GiB" | cap = "2GiB"}]): beyond memory it goes to disk,
 * beyond cap it refuses */
static int bag_l_new(lua_State *L)
{
    static const char *const keys[] = {"columns", "cap", "memory", NULL};
    opts_check(L, 1, "bag.new", keys);
    push_new(L, 1);
    return 1;
}

static bag_value read_value(lua_State *L, int idx, const char *column)
{
    bag_value v = {.kind = BAG_NULL};
    int isint;
    switch (lua_type(L, idx)) {
    case LUA_TSTRING:
        v.kind = BAG_STR;
        v.s = lua_tolstring(L, idx, &v.len);
        return v;
    case LUA_TNUMBER:
        v.kind = BAG_INT;
        v.i = lua_tointegerx(L, idx, &isint);
        if (isint)
            return v;
        break;
    case LUA_TNIL:
    case LUA_TNONE:
        return v;
    default:
        if (errs_is_null(L, idx))
            return v;
    }
    luaL_error(L, "bag: column '%s' takes integers, strings and null, not '%s'", column,
               luaL_tolstring(L, idx, NULL));
    return v;
}

static void check_id(lua_State *L, int idx)
{
    if (lua_type(L, idx) != LUA_TSTRING && !lua_isinteger(L, idx))
        luaL_error(L, "bag: an id is a string or an integer, not a %s", luaL_typename(L, idx));
}

/* Takes the id at idx and the values that follow it on the stack. */
static void add_from_stack(lua_State *L, bag_box *box, int idx)
{
    bag_value values[BAG_COLUMNS_MAX];
    const rl_bag *bag = bag_box_shape(box);
    int n = bag_columns(bag);
    size_t len;
    check_id(L, idx);
    for (int c = 0; c < n; c++)
        values[c] = read_value(L, idx + 1 + c, bag_column_name(bag, c));
    const char *id = lua_tolstring(L, idx, &len);
    bag_box_must(L, bag_box_add(box, id, len, values, n));
}

/* bag:add(id, values of the columns...) -> bag */
static int bag_l_add(lua_State *L)
{
    bag_box *box = bag_check(L);
    int n = bag_columns(bag_box_shape(box));
    if (lua_gettop(L) > 2 + n)
        return luaL_error(L, "bag: %d values for %d columns", lua_gettop(L) - 2, n);
    lua_settop(L, 2 + n);
    add_from_stack(L, box, 2);
    lua_settop(L, 1);
    return 1;
}

/* An element is an id, or a table with the id and the columns as fields. */
static void add_element(lua_State *L, bag_box *box, const char *id_field)
{
    int top = lua_gettop(L), n = bag_columns(bag_box_shape(box));
    if (!lua_istable(L, top)) {
        lua_settop(L, top + n);
        add_from_stack(L, box, top);
    } else {
        lua_getfield(L, top, id_field);
        for (int c = 0; c < n; c++)
            lua_getfield(L, top, bag_column_name(bag_box_shape(box), c));
        add_from_stack(L, box, top + 1);
    }
    lua_settop(L, top);
}

/* from(list[, {id = "event_id", columns = {...}, cap =}]): of ids or of tables; a bag is given
 * back as it is */
static int bag_l_from(lua_State *L)
{
    static const char *const keys[] = {"id", "columns", "cap", "memory", NULL};
    if (luaL_testudata(L, 1, BAG_META)) {
        lua_settop(L, 1);
        return 1;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    opts_check(L, 2, "bag.from", keys);
    lua_settop(L, 2);
    const char *id_field = opts_str(L, 2, "id", "id");
    bag_box *box = push_new(L, 2);
    luaL_checkstack(L, BAG_COLUMNS_MAX + 8, NULL);
    lua_Integer n = luaL_len(L, 1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, 1, i);
        add_element(L, box, id_field);
        lua_pop(L, 1);
    }
    return 1;
}

/* ---- combining ---- */

static int combine(lua_State *L, bag_op op)
{
    const bag_box *a = bag_box_at(L, 1), *b = op == BAG_FIRST ? NULL : bag_box_at(L, 2);
    bag_box_must(L, bag_box_combine(op, a, b, bag_box_push(L)));
    return 1;
}

static int bag_l_minus(lua_State *L)
{
    return combine(L, BAG_MINUS);
}

static int bag_l_and(lua_State *L)
{
    return combine(L, BAG_AND);
}

static int bag_l_plus(lua_State *L)
{
    return combine(L, BAG_PLUS);
}

static int bag_l_or(lua_State *L)
{
    return combine(L, BAG_OR);
}

/* bag:distinct() -> the first copies */
static int bag_l_distinct(lua_State *L)
{
    return combine(L, BAG_FIRST);
}

/* ---- reading ---- */

static size_t limit_arg(lua_State *L, int idx)
{
    lua_Integer n = luaL_optinteger(L, idx, LUA_MAXINTEGER);
    luaL_argcheck(L, n >= 0, idx, "a limit is 0 or more");
    return (size_t)n;
}

static void push_id(lua_State *L, const rl_bag *bag, size_t i)
{
    size_t len;
    const char *id = bag_id(bag, i, &len);
    lua_pushlstring(L, id, len);
}

/* bag:ids([limit]) -> distinct ids, in the order of their first copies */
static int bag_l_ids(lua_State *L)
{
    size_t limit = limit_arg(L, 2);
    const rl_bag *bag = bag_box_head(L, bag_check(L), true, limit);
    size_t n = bag_distinct(bag);
    n = n < limit ? n : limit;
    lua_createtable(L, n < INT_MAX ? (int)n : 0, 0);
    for (size_t i = 0; i < n; i++) {
        push_id(L, bag, i);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static void add_duplicate(lua_State *L, const rl_bag *bag, size_t i, lua_Integer count, size_t at)
{
    lua_createtable(L, 0, 2);
    push_id(L, bag, i);
    lua_setfield(L, -2, "id");
    field_set_int(L, "count", count);
    lua_rawseti(L, -2, (lua_Integer)at);
}

static void duplicates_on_disk(lua_State *L, rl_big *big, size_t limit)
{
    bag_box *answer = bag_box_push(L);
    bag_box_must(L, big_duplicates(big, limit, &answer->is.bag));
    lua_newtable(L);
    for (size_t i = 0; i < bag_distinct(answer->is.bag); i++)
        add_duplicate(L, answer->is.bag, i, bag_get(answer->is.bag, i, 0).i, i + 1);
}

/* bag:duplicates([limit]) -> {{id =, count =}, ...}: ids that occur more than once */
static int bag_l_duplicates(lua_State *L)
{
    const bag_box *box = bag_check(L);
    const rl_bag *bag = box->is.bag;
    size_t limit = limit_arg(L, 2), found = 0;
    if (!bag)
        return duplicates_on_disk(L, box->is.big, limit), 1;
    lua_newtable(L);
    for (size_t i = 0; i < bag_distinct(bag) && found < limit; i++)
        if (bag_id_count(bag, i) > 1)
            add_duplicate(L, bag, i, (lua_Integer)bag_id_count(bag, i), ++found);
    return 1;
}

/* bag:count(id) -> how often it occurs */
static int bag_l_count(lua_State *L)
{
    size_t len, i;
    check_id(L, 2);
    const char *id = lua_tolstring(L, 2, &len);
    const rl_bag *bag = bag_box_part(L, bag_check(L), id, len);
    lua_pushinteger(L, bag_find(bag, id, len, &i) ? (lua_Integer)bag_id_count(bag, i) : 0);
    return 1;
}

static void bag_push_value(lua_State *L, const rl_bag *bag, size_t e, int c)
{
    bag_value v = bag_get(bag, e, c);
    if (v.kind == BAG_INT)
        lua_pushinteger(L, v.i);
    else if (v.kind == BAG_STR)
        lua_pushlstring(L, v.s, v.len);
    else
        errs_push_null(L);
}

static void push_row(lua_State *L, const rl_bag *bag, size_t e)
{
    lua_createtable(L, 0, bag_columns(bag) + 1);
    push_id(L, bag, bag_entry_id(bag, e));
    lua_setfield(L, -2, "id");
    for (int c = 0; c < bag_columns(bag); c++) {
        bag_push_value(L, bag, e, c);
        lua_setfield(L, -2, bag_column_name(bag, c));
    }
}

/* bag:rows([limit]) -> {{id =, column = value...}, ...}: the entries in order */
static int bag_l_rows(lua_State *L)
{
    size_t limit = limit_arg(L, 2);
    const rl_bag *bag = bag_box_head(L, bag_check(L), false, limit);
    size_t n = bag_entries(bag);
    n = n < limit ? n : limit;
    lua_newtable(L);
    for (size_t e = 0; e < n; e++) {
        push_row(L, bag, e);
        lua_rawseti(L, -2, (lua_Integer)e + 1);
    }
    return 1;
}

/* bag:row(id) -> the row of its first copy | nil */
static int bag_l_row(lua_State *L)
{
    size_t len, i;
    check_id(L, 2);
    const char *id = lua_tolstring(L, 2, &len);
    const rl_bag *bag = bag_box_part(L, bag_check(L), id, len);
    if (!bag_find(bag, id, len, &i))
        return 0;
    push_row(L, bag, bag_id_first(bag, i));
    return 1;
}

/* ---- measures ---- */

static int column_named(lua_State *L, const rl_bag *bag, const char *name)
{
    int c = bag_column(bag, name);
    return c >= 0 ? c : luaL_error(L, "bag: no column '%s'", name);
}

static int bag_l_sum(lua_State *L)
{
    const bag_box *box = bag_check(L);
    int c = column_named(L, bag_box_shape(box), luaL_checkstring(L, 2));
    int64_t sum;
    bag_box_must(L, box->is.big ? big_sum(box->is.big, c, &sum) : bag_sum(box->is.bag, c, &sum));
    lua_pushinteger(L, sum);
    return 1;
}

typedef struct found_inversions {
    lua_State *L;
    const rl_bag *bag;
    int by, of;
    size_t limit, n;
} found_inversions;

static bool add_inversion(size_t entry, size_t before, void *arg)
{
    found_inversions *f = arg;
    lua_State *L = f->L;
    push_row(L, f->bag, entry);
    push_id(L, f->bag, bag_entry_id(f->bag, before));
    lua_setfield(L, -2, "after_id");
    bag_push_value(L, f->bag, before, f->of);
    lua_setfield(L, -2, "after");
    lua_rawseti(L, -2, (lua_Integer)++f->n);
    return f->n < f->limit;
}

static int inversions_on_disk(lua_State *L, rl_big *big, int by, int of, size_t limit)
{
    bag_box *answer = bag_box_push(L);
    bag_box_must(L, big_inversions(big, by, of, limit, &answer->is.bag));
    lua_newtable(L);
    for (size_t e = 0; e < bag_entries(answer->is.bag); e++) {
        push_row(L, answer->is.bag, e);
        lua_rawseti(L, -2, (lua_Integer)e + 1);
    }
    return 1;
}

/* bag:inversions{by = "key", of = "version"[, limit =]} -> rows with after and after_id: the
 * higher value that came before */
static int bag_l_inversions(lua_State *L)
{
    static const char *const keys[] = {"by", "of", "limit", NULL};
    const bag_box *box = bag_check(L);
    const rl_bag *bag = bag_box_shape(box);
    luaL_checktype(L, 2, LUA_TTABLE);
    opts_check(L, 2, "bag:inversions", keys);
    const char *by = opts_str(L, 2, "by", NULL), *of = opts_str(L, 2, "of", NULL);
    if (!by || !of)
        return luaL_error(L, "bag:inversions{by = column, of = column} expected");
    lua_Integer limit = opts_int(L, 2, "limit", LUA_MAXINTEGER);
    luaL_argcheck(L, limit > 0, 2, "limit must be positive");
    found_inversions f = {L, bag, column_named(L, bag, by), column_named(L, bag, of), (size_t)limit,
                          0};
    if (box->is.big)
        return inversions_on_disk(L, box->is.big, f.by, f.of, f.limit);
    lua_newtable(L);
    rl_err *err = bag_inversions(bag, f.by, f.of, add_inversion, &f);
    return err ? errs_raise(L, err) : 1;
}

static int bag_l_memory(lua_State *L)
{
    const bag_box *box = bag_check(L);
    lua_pushinteger(L,
                    (lua_Integer)(box->is.big ? big_disk(box->is.big) : bag_memory(box->is.bag)));
    return 1;
}

static int bag_l_len(lua_State *L)
{
    const bag_box *box = bag_check(L);
    lua_pushinteger(
        L, (lua_Integer)(box->is.big ? big_entries(box->is.big) : bag_entries(box->is.bag)));
    return 1;
}

static int bag_l_tostring(lua_State *L)
{
    const any_bag *is = &((bag_box *)luaL_checkudata(L, 1, BAG_META))->is;
    if (is->bag)
        lua_pushfstring(L, "bag (%I entries, %I ids)", (LUAI_UACINT)bag_entries(is->bag),
                        (LUAI_UACINT)bag_distinct(is->bag));
    else if (is->big)
        lua_pushfstring(L, "bag (%I entries, on disk)", (LUAI_UACINT)big_entries(is->big));
    else
        lua_pushliteral(L, "bag (closed)");
    return 1;
}

static int bag_l_close(lua_State *L)
{
    any_bag *is = &((bag_box *)luaL_checkudata(L, 1, BAG_META))->is;
    bag_free(is->bag);
    big_free(is->big);
    *is = (any_bag){0};
    return 0;
}

int luaopen_rlab_bag(lua_State *L)
{
    static const luaL_Reg functions[] = {{"new", bag_l_new}, {"from", bag_l_from}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"add", bag_l_add},
                                       {"distinct", bag_l_distinct},
                                       {"ids", bag_l_ids},
                                       {"duplicates", bag_l_duplicates},
                                       {"count", bag_l_count},
                                       {"rows", bag_l_rows},
                                       {"row", bag_l_row},
                                       {"sum", bag_l_sum},
                                       {"memory", bag_l_memory},
                                       {"close", bag_l_close},
                                       {"inversions", bag_l_inversions},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__sub", bag_l_minus},
                                    {"__band", bag_l_and},
                                    {"__add", bag_l_plus},
                                    {"__bor", bag_l_or},
                                    {"__len", bag_l_len},
                                    {"__gc", bag_l_close},
                                    {"__tostring", bag_l_tostring},
                                    {"__close", bag_l_close},
                                    {NULL, NULL}};
    meta_open(L, BAG_META, meta, methods);
    luaL_newlib(L, functions);
    return 1;
}
