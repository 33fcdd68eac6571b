#include "bind/kafka/module.h"

#include <lauxlib.h>

#include "bind/kafka/admin/client.h"
#include "bind/kafka/batch.h"
#include "bind/kafka/conf.h"

/* kafka.transactional, written in Lua; the module's table is on top. */
static void open_transactional(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushstring(L, "rlab.kafka.transactional");
    lua_call(L, 1, 1);
    lua_pushcfunction(L, kafka_l_producer);
    lua_call(L, 1, 1);
    lua_setfield(L, -2, "transactional");
}

int luaopen_rlab_kafka(lua_State *L);

static int kafka_l_version(lua_State *L)
{
    lua_pushstring(L, rd_kafka_version_str());
    return 1;
}

/* The helpers written in Lua complete the producer's metatable. */
static void open_helpers(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushstring(L, "rlab.kafka.helpers");
    lua_call(L, 1, 1);
    luaL_getmetatable(L, "kafka.producer");
    lua_call(L, 1, 0);
}

int luaopen_rlab_kafka(lua_State *L)
{
    static const luaL_Reg functions[] = {{"producer", kafka_l_producer},
                                         {"consumer", kafka_l_consumer},
                                         {"share_consumer", kafka_l_share_consumer},
                                         {"version", kafka_l_version},
                                         {NULL, NULL}};
    kafka_batch_open(L);
    kafka_producer_bind(L);
    kafka_submit_open(L);
    kafka_consumer_bind(L);
    kafka_share_bind(L);
    open_helpers(L);
    luaL_newlib(L, functions);
    open_transactional(L);
    kafka_conf_push_defaults(L);
    lua_setfield(L, -2, "defaults");
    kafka_admin_open(L);
    return 1;
}
