/* What the files of the MySQL binding share: the handle's type and the statement jobs. Uses:
 * bind/task, mysql/query. Thread: the Lua thread. */
#ifndef RL_BIND_MYSQL_CONN_H
#define RL_BIND_MYSQL_CONN_H

#include <lua.h>

#include "bind/task/await.h"
#include "mysql/query.h"

extern const rl_handle_type mysql_type;

typedef struct mysql_job {
    rl_await await;
    my_conn *conn;
    my_cmd cmd;
    my_result *result;
    uint64_t serial; /* of a cursor; 0: none, or closed */
} mysql_job;

/* A job for the statement at stack index 2 (text) with the parameters behind it. */
mysql_job *mysql_new_cmd(lua_State *L, const char *where, void (*run)(rl_await *),
                         int (*push)(lua_State *, rl_await *));
void mysql_drop_cmd(rl_await *a);

void mysql_cursor_bind(lua_State *L); /* registers the cursor's metatable */
int mysql_l_cursor(lua_State *L);     /* db:cursor(sql, ...) -> cursor | nil, err */
int mysql_l_cursor_prepared(lua_State *L);

#endif
