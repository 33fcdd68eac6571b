/* Errors as Lua sees them.
 *
 * Offers: the error table {domain, code, name, message, retriable, abortable, fatal, happened,
 * blame} with a readable tostring, made from an rl_err; the "nil, err" return of every call into
 * the world; the `null` value. Uses: base/err. Thread: the Lua thread. */
#ifndef RL_BIND_VALUE_ERRS_H
#define RL_BIND_VALUE_ERRS_H

#include <lua.h>

#include "base/err.h"

#define RL_NULL_KEY "rlab.null"

void errs_open(lua_State *L);                    /* once per state: metatable and null */
void errs_push_table(lua_State *L, rl_err *err); /* pushes the table; frees err */
int errs_fail(lua_State *L, rl_err *err);        /* pushes nil, table; frees err; returns 2 */
int errs_raise(lua_State *L, rl_err *err);       /* raises the table; frees err */
int errs_ok(lua_State *L, rl_err *err);          /* true, or nil and the table */
/* Raises "call: message" with the line of the script, as for any wrong argument; frees err. */
int errs_raise_usage(lua_State *L, const char *call, rl_err *err);

void errs_push_null(lua_State *L);
int errs_is_null(lua_State *L, int idx);

#endif
