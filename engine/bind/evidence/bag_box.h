/* What a bag of Lua is: a bag in memory, or one on disk.
 *
 * Offers: the userdata, and what both kinds answer alike. A bag without a cap goes to disk beyond the
 * bound; one with a cap refuses. The answer of a bag on disk is a bag in memory, pushed on the stack.
 * Uses: evidence/bag, evidence/big, bind/value/errs. Thread: the Lua thread. */
#ifndef RL_BIND_EVIDENCE_BAG_BOX_H
#define RL_BIND_EVIDENCE_BAG_BOX_H

#include <lua.h>

#include "evidence/bag.h"
#include "evidence/big.h"

#define BAG_META "rlab.bag"

typedef struct bag_box {
    any_bag is;
    size_t bound; /* 0: it has a cap */
} bag_box;

bag_box *bag_box_push(lua_State *L);        /* an empty box */
bag_box *bag_box_at(lua_State *L, int idx); /* raises when it is closed, or no bag */
void bag_box_must(lua_State *L, rl_err *err);
const rl_bag *
bag_box_shape(const bag_box *box); /* its columns; of one on disk there are no entries */
rl_err *bag_box_add(bag_box *box, const char *id, size_t len, const bag_value *values, int n);
rl_err *bag_box_combine(bag_op op, const bag_box *a, const bag_box *b, bag_box *out);
/* The first entries or first copies; in memory it is all of the bag. */
const rl_bag *bag_box_head(lua_State *L, const bag_box *box, bool first_copies, size_t limit);
/* A bag with all copies of the id. */
const rl_bag *bag_box_part(lua_State *L, const bag_box *box, const char *id, size_t len);

#endif
