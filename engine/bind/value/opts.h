/* Option tables, checked once at the edge.
 *
 * Offers: strict reading of the option table of a call: an unknown key raises with "did you mean",
 * a wrong type raises with the key's name; durations, sizes and rates are typed. Usage errors raise
 * (they are the script's mistake); nothing here touches the world.
 * Uses: base/units. Thread: the Lua thread. */
#ifndef RL_BIND_VALUE_OPTS_H
#define RL_BIND_VALUE_OPTS_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

/* Raises unless every string key of the table at idx is in the NULL-terminated list; `call`
 * names the function in the message. */
void opts_check(lua_State *L, int idx, const char *call, const char *const *allowed);

/* The value of a key, or the default when the table is absent (none or nil) or has no such key.
 * Strings live as long as the table holds them. */
const char *opts_str(lua_State *L, int idx, const char *key, const char *def);
lua_Integer opts_int(lua_State *L, int idx, const char *key, lua_Integer def);
/* Raises when the option is given and not within least..most. */
lua_Integer opts_int_in(lua_State *L, int idx, const char *key, lua_Integer def, lua_Integer least,
                        lua_Integer most);
bool opts_bool(lua_State *L, int idx, const char *key, bool def);
double opts_duration(lua_State *L, int idx, const char *key, double def_seconds);
int64_t opts_size(lua_State *L, int idx, const char *key, int64_t def); /* 0 and above */

/* Which of the NULL-terminated words the option is, `def` when there is none; any other word raises
 * with all of them and "did you mean". `call` names the function in the message. */
int opts_word(lua_State *L, int idx, const char *key, const char *def, const char *call,
              const char *const *words);

/* A number of bytes at idx: at least 0 and finite. False when it is none. */
bool arg_size(lua_State *L, int idx, int64_t *bytes);

/* The same for a positional argument. */
double arg_duration(lua_State *L, int idx, double def_seconds);
int arg_duration_ms(lua_State *L, int idx, double def_seconds);

#endif
