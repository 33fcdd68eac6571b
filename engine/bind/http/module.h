/* The parts of rlab.core_http.
 *
 * Offers: the functions that the client's and the server's file give to the module. Uses:
 * bind/task, bind/handle. Thread: the Lua thread. */
#ifndef RL_BIND_HTTP_MODULE_H
#define RL_BIND_HTTP_MODULE_H

#include <lua.h>

int http_l_request(lua_State *L); /* request{...} -> {status, headers, body} | nil, err */
void http_client_open(lua_State *L);

int http_l_serve(lua_State *L); /* serve(options, dispatch) -> server handle, port, id | nil, err */
int http_l_forget(lua_State *L); /* forget(id), after close */
int http_l_reason(lua_State *L); /* reason(404) -> "Not Found" */
int http_l_decode(lua_State *L); /* decode("a%2Fb") -> "a/b" | nil */
void http_server_open(lua_State *L);

#endif
