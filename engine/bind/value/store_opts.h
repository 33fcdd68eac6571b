/* Where MySQL and Redis are, as option tables.
 *
 * Offers: strict reading of the tables that mysql.connect and redis.connect take, for every binding
 * that opens connections of its own. Texts live as long as the table holds them; my_conn_new and
 * redisc_new copy.
 * Uses: bind/opts. Thread: the Lua thread. */
#ifndef RL_BIND_VALUE_STORE_OPTS_H
#define RL_BIND_VALUE_STORE_OPTS_H

#include <lua.h>

#include "mysql/conn.h"
#include "redis/conn.h"

/* `call` names the function in messages ("mysql.connect"). */
my_opts mysql_opts_read(lua_State *L, int idx, const char *call);
redisc_opts redis_opts_read(lua_State *L, int idx, const char *call);

#endif
