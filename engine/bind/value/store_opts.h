/* Where MySQL and Redis are, as option tables.
 *
 * Offers: strict reading of the tables that mysql.connect and redis.connect take, for every binding
 * that opens connections of its own, and of a flow's Redis: one server, or { nodes = } of a cluster. Texts
 * live as long as the table holds them, nodes as long as the call; my_conn_new, redisc_new and cluster_new
 * copy.
 * Uses: bind/opts. Thread: the Lua thread. */
#ifndef RL_BIND_VALUE_STORE_OPTS_H
#define RL_BIND_VALUE_STORE_OPTS_H

#include <lua.h>

#include "mysql/conn.h"
#include "redis/cluster/keyspace.h"

/* `call` names the function in messages ("mysql.connect"). */
my_opts mysql_opts_read(lua_State *L, int idx, const char *call);
redisc_opts redis_opts_read(lua_State *L, int idx, const char *call);
redisc_tls redis_opts_tls(lua_State *L, int idx, const char *call);
keyspace_opts keyspace_opts_read(lua_State *L, int idx, const char *call);
/* nodes = "host:port,host:port" or a list, as one text, which stays on the stack. */
const char *redis_opts_nodes(lua_State *L, int idx, const char *def, const char *call);

#endif
