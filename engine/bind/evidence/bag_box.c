#include "bind/evidence/bag_box.h"

#include <lauxlib.h>

#include "bind/value/errs.h"

bag_box *bag_box_push(lua_State *L)
{
    bag_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (bag_box){0};
    luaL_setmetatable(L, BAG_META);
    return box;
}

bag_box *bag_box_at(lua_State *L, int idx)
{
    bag_box *box = luaL_checkudata(L, idx, BAG_META);
    if (!box->is.bag && !box->is.big)
        luaL_error(L, "this bag is closed");
    return box;
}

void bag_box_must(lua_State *L, rl_err *err)
{
    if (err)
        errs_raise(L, err);
}

const rl_bag *bag_box_shape(const bag_box *box)
{
    return box->is.big ? big_shape(box->is.big) : box->is.bag;
}

static bool outgrown(const bag_box *box, const rl_err *err)
{
    return box->bound > 0 && err_is(err, RL_LAB, "LIMIT");
}

rl_err *bag_box_add(bag_box *box, const char *id, size_t len, const bag_value *values, int n)
{
    if (!box->is.big) {
        rl_err *err = bag_add(box->is.bag, id, len, values, n);
        if (!outgrown(box, err))
            return err;
        err_free(err);
        err = big_from(box->is.bag, box->bound, &box->is.big);
        if (err)
            return err;
        box->is.bag = NULL;
    }
    return big_add(box->is.big, id, len, values, n);
}

rl_err *bag_box_combine(bag_op op, const bag_box *a, const bag_box *b, bag_box *out)
{
    const any_bag none = {0};
    any_bag other = b ? b->is : none;
    size_t bound = a->bound;
    out->bound = a->bound;
    bool big = a->is.big || other.big;
    rl_err *err = big ? NULL : bag_combine(op, a->is.bag, other.bag, &out->is.bag);
    if (!big && !outgrown(out, err))
        return err;
    err_free(err);
    err = bound ? NULL : big_memory_bound(&bound);
    return err ? err : big_combine(op, a->is, other, bound, &out->is);
}

const rl_bag *bag_box_head(lua_State *L, const bag_box *box, bool first_copies, size_t limit)
{
    if (box->is.bag)
        return box->is.bag;
    bag_box *answer = bag_box_push(L);
    bag_box_must(L, big_head(box->is.big, first_copies, limit, &answer->is.bag));
    return answer->is.bag;
}

const rl_bag *bag_box_part(lua_State *L, const bag_box *box, const char *id, size_t len)
{
    if (box->is.bag)
        return box->is.bag;
    bag_box *answer = bag_box_push(L);
    bag_box_must(L, big_of_id(box->is.big, id, len, &answer->is.bag));
    return answer->is.bag;
}
