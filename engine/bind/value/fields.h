/* Fields of the table that is being built.
 *
 * Offers: one line a field for every binding that answers with a table: each sets `key` in the table
 * on top of the stack and leaves the stack as it was.
 * Uses: Lua. Thread: the Lua thread. */
#ifndef RL_BIND_VALUE_FIELDS_H
#define RL_BIND_VALUE_FIELDS_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

void field_set_int(lua_State *L, const char *key, int64_t value);
void field_set_number(lua_State *L, const char *key, double value);
void field_set_bool(lua_State *L, const char *key, bool value);
void field_set_text(lua_State *L, const char *key, const char *text); /* NULL: no such field */
void field_set_bytes(lua_State *L, const char *key, const char *bytes, size_t len); /* likewise */

#endif
