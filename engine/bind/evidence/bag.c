/* rlab.bag: multisets of ids, see evidence/bag.h. What a script does wrong, a full bag included,
 * raises. */
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/value/meta.h"
#include "bind/value/opts.h"
#include "evidence/bag.h"

#define BAG_META "rlab.bag"

static const int64_t default_cap = (int64_t)2 << 30;

int luaopen_rlab_bag(lua_State *L);

/* ---- making ---- */

static rl_bag **push_empty(lua_State *L)
{
    rl_bag **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, BAG_META);
    return box;
}

static rl_bag *check_at(lua_State *L, int idx)
{
    rl_bag **box = luaL_checkudata(L, idx, BAG_META);
    if (!*box)
        luaL_error(L, "this bag is closed");
    return *box;
}

static rl_bag *bag_check(lua_State *L)
{
    return check_at(L, 1);
}

static int read_columns(lua_State *L, int idx, const char **names)
{
    if (lua_isnoneornil(L, idx) || lua_getfield(L, idx, "columns") == LUA_TNIL)
        return 0;
    luaL_checktype(L, -1, LUA_TTABLE);
    int list = lua_gettop(L);
    lua_Integer n = luaL_len(L, list);
    if (n > BAG_COLUMNS_MAX)
        luaL_error(L, "bag: at most %d columns", BAG_COLUMNS_MAX);
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

static rl_bag *push_new(lua_State *L, int opts)
{
    const char *names[BAG_COLUMNS_MAX];
    int n = read_columns(L, opts, names);
    int64_t cap = opts_size(L, opts, "cap", default_cap);
    luaL_argcheck(L, cap > 0, opts, "cap must be positive");
    rl_bag **box = push_empty(L);
    *box = bag_new(names, n, (size_t)cap);
    return *box;
}

/* new([{columns = {"key", "version"}, cap = "2GiB"}]) */
static int bag_l_new(lua_State *L)
{
    static const char *const keys[] = {"columns", "cap", NULL};
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
static void add_from_stack(lua_State *L, rl_bag *bag, int idx)
{
    bag_value values[BAG_COLUMNS_MAX];
    int n = bag_columns(bag);
    size_t len;
    check_id(L, idx);
    for (int c = 0; c < n; c++)
        values[c] = read_value(L, idx + 1 + c, bag_column_name(bag, c));
    const char *id = lua_tolstring(L, idx, &len);
    rl_err *err = bag_add(bag, id, len, values, n);
    if (err)
        errs_raise(L, err);
}

/* bag:add(id, values of the columns...) -> bag */
static int bag_l_add(lua_State *L)
{
    rl_bag *bag = bag_check(L);
    if (lua_gettop(L) > 2 + bag_columns(bag))
        return luaL_error(L, "bag: %d values for %d columns", lua_gettop(L) - 2, bag_columns(bag));
    lua_settop(L, 2 + bag_columns(bag));
    add_from_stack(L, bag, 2);
    lua_settop(L, 1);
    return 1;
}

/* An element is an id, or a table with the id and the columns as fields. */
static void add_element(lua_State *L, rl_bag *bag, const char *id_field)
{
    int top = lua_gettop(L), n = bag_columns(bag);
    if (!lua_istable(L, top)) {
        lua_settop(L, top + n);
        add_from_stack(L, bag, top);
    } else {
        lua_getfield(L, top, id_field);
        for (int c = 0; c < n; c++)
            lua_getfield(L, top, bag_column_name(bag, c));
        add_from_stack(L, bag, top + 1);
    }
    lua_settop(L, top);
}

/* from(list[, {id = "event_id", columns = {...}, cap =}]): of ids or of tables; a bag is given
 * back as it is */
static int bag_l_from(lua_State *L)
{
    static const char *const keys[] = {"id", "columns", "cap", NULL};
    if (luaL_testudata(L, 1, BAG_META)) {
        lua_settop(L, 1);
        return 1;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    opts_check(L, 2, "bag.from", keys);
    lua_settop(L, 2);
    const char *id_field = opts_str(L, 2, "id", "id");
    rl_bag *bag = push_new(L, 2);
    luaL_checkstack(L, BAG_COLUMNS_MAX + 8, NULL);
    lua_Integer n = luaL_len(L, 1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, 1, i);
        add_element(L, bag, id_field);
        lua_pop(L, 1);
    }
    return 1;
}

/* ---- combining ---- */

static int combine(lua_State *L, bag_op op)
{
    const rl_bag *a = check_at(L, 1), *b = op == BAG_FIRST ? NULL : check_at(L, 2);
    rl_bag **box = push_empty(L);
    rl_err *err = bag_combine(op, a, b, box);
    return err ? errs_raise(L, err) : 1;
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
    rl_bag *bag = bag_check(L);
    size_t n = bag_distinct(bag), limit = limit_arg(L, 2);
    n = n < limit ? n : limit;
    lua_createtable(L, n < INT_MAX ? (int)n : 0, 0);
    for (size_t i = 0; i < n; i++) {
        push_id(L, bag, i);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* bag:duplicates([limit]) -> {{id =, count =}, ...}: ids that occur more than once */
static int bag_l_duplicates(lua_State *L)
{
    rl_bag *bag = bag_check(L);
    size_t limit = limit_arg(L, 2), found = 0;
    lua_newtable(L);
    for (size_t i = 0; i < bag_distinct(bag) && found < limit; i++) {
        if (bag_id_count(bag, i) < 2)
            continue;
        lua_createtable(L, 0, 2);
        push_id(L, bag, i);
        lua_setfield(L, -2, "id");
        field_set_int(L, "count", (lua_Integer)bag_id_count(bag, i));
        lua_rawseti(L, -2, (lua_Integer)++found);
    }
    return 1;
}

/* bag:count(id) -> how often it occurs */
static int bag_l_count(lua_State *L)
{
    rl_bag *bag = bag_check(L);
    size_t len, i;
    check_id(L, 2);
    const char *id = lua_tolstring(L, 2, &len);
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
    rl_bag *bag = bag_check(L);
    size_t n = bag_entries(bag), limit = limit_arg(L, 2);
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
    rl_bag *bag = bag_check(L);
    size_t len, i;
    check_id(L, 2);
    const char *id = lua_tolstring(L, 2, &len);
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
    rl_bag *bag = bag_check(L);
    int64_t sum;
    rl_err *err = bag_sum(bag, column_named(L, bag, luaL_checkstring(L, 2)), &sum);
    if (err)
        return errs_raise(L, err);
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

/* bag:inversions{by = "key", of = "version"[, limit =]} -> rows with after and after_id: the
 * higher value that came before */
static int bag_l_inversions(lua_State *L)
{
    static const char *const keys[] = {"by", "of", "limit", NULL};
    rl_bag *bag = bag_check(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    opts_check(L, 2, "bag:inversions", keys);
    const char *by = opts_str(L, 2, "by", NULL), *of = opts_str(L, 2, "of", NULL);
    if (!by || !of)
        return luaL_error(L, "bag:inversions{by = column, of = column} expected");
    lua_Integer limit = opts_int(L, 2, "limit", LUA_MAXINTEGER);
    luaL_argcheck(L, limit > 0, 2, "limit must be positive");
    found_inversions f = {L, bag, column_named(L, bag, by), column_named(L, bag, of), (size_t)limit,
                          0};
    lua_newtable(L);
    rl_err *err = bag_inversions(bag, f.by, f.of, add_inversion, &f);
    return err ? errs_raise(L, err) : 1;
}

static int bag_l_memory(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)bag_memory(bag_check(L)));
    return 1;
}

static int bag_l_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)bag_entries(bag_check(L)));
    return 1;
}

static int bag_l_tostring(lua_State *L)
{
    rl_bag *bag = *(rl_bag **)luaL_checkudata(L, 1, BAG_META);
    if (bag)
        lua_pushfstring(L, "bag (%I entries, %I ids)", (LUAI_UACINT)bag_entries(bag),
                        (LUAI_UACINT)bag_distinct(bag));
    else
        lua_pushliteral(L, "bag (closed)");
    return 1;
}

static int bag_l_close(lua_State *L)
{
    rl_bag **box = luaL_checkudata(L, 1, BAG_META);
    bag_free(*box);
    *box = NULL;
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
