/* rlab.core_http: requests and servers as lua/rlab/http.lua needs them. */
#include "bind/http/module.h"

#include <lauxlib.h>

int luaopen_rlab_core_http(lua_State *L);

int luaopen_rlab_core_http(lua_State *L)
{
    static const luaL_Reg functions[] = {{"request", http_l_request}, {"serve", http_l_serve},
                                         {"forget", http_l_forget},   {"reason", http_l_reason},
                                         {"decode", http_l_decode},   {NULL, NULL}};
    http_client_open(L);
    http_server_open(L);
    luaL_newlib(L, functions);
    return 1;
}
