/* Redis Cluster for Lua.
 *
 * Offers: the functions redis.cluster and redis.slot, and the handle's type.
 * Uses: redis/cluster, bind/task. Thread: the Lua thread. */
#ifndef RL_BIND_REDIS_CLUSTER_H
#define RL_BIND_REDIS_CLUSTER_H

#include <lua.h>

void redis_cluster_open(lua_State *L);
int redis_l_cluster(lua_State *L);
int redis_l_slot(lua_State *L);

#endif
