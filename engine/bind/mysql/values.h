/* Lua values as MySQL parameters, MySQL rows as Lua tables.
 *
 * Offers: the conversions of rlab.mysql. Parameters: integers, floats, booleans, strings
 * (binary-safe), null; nil and tables are usage errors. Rows: tables keyed by column name; where a name
 * is there more than once its last column wins, and all values are there by position too. NULL is
 * the null value.
 * Uses: mysql/query. Thread: the Lua thread. */
#ifndef RL_BIND_MYSQL_VALUES_H
#define RL_BIND_MYSQL_VALUES_H

#include <lua.h>

#include "mysql/query.h"

/* The values first..last of the stack as parameters; raises when one cannot be. NULL when there
 * are none; strings point into the stack. */
my_value *mysql_params(lua_State *L, int first, int last, const char *where);

/* Pushes the list of column names, and one row, whose keys are the strings of that list at index
 * `columns`. */
void mysql_push_columns(lua_State *L, const my_result *result);
void mysql_push_row(lua_State *L, const my_result *result, size_t row, int columns);

/* Pushes all rows: a list with the fields columns, affected, insert_id, warnings and, after a
 * CALL, more. */
void mysql_push_rows(lua_State *L, const my_result *result);
void mysql_push_counts(
    lua_State *L,
    const my_result *result); /* sets affected, insert_id, warnings in the table on top */

#endif
