/* Lua values as JSON text, for every binding that writes or reads it.
 *
 * Offers: lua_json_put, which appends a value to a buffer (object keys sorted, so that equal values
 * give equal text), and lua_json_push, which reads one. A table is an array when it is marked by
 * json.array or holds exactly 1..n; an empty unmarked table is an object. null is rlab.null.
 * Uses: base/json, bind/errs. Thread: the Lua thread. */
#ifndef RL_BIND_VALUE_JSON_H
#define RL_BIND_VALUE_JSON_H

#include <lua.h>

#include "base/buf.h"
#include "base/err.h"

#define JSON_ARRAY_META "rlab.json.array"

enum {
    LUA_JSON_PRETTY = 1, /* on several lines */
    LUA_JSON_GAPS = 2,   /* what was not measured (a NaN, an infinity) is null, not an error */
};

/* Appends the value at idx. An error (USAGE) for what JSON cannot say, naming where in the value it
 * is. */
rl_err *lua_json_put(lua_State *L, int idx, rl_buf *out, unsigned how);

/* Pushes the value of the text, or nothing and an error named JSON. */
rl_err *lua_json_push(lua_State *L, const char *text, size_t len);

#endif
