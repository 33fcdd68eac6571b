/* rlab.core_mysql: connections and statements as awaitable calls; lua/rlab/mysql.lua makes
 * transactions, prepared statements and pools of them. */
#include "bind/mysql/conn.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bind/task/await.h"
#include "bind/task/connect.h"
#include "bind/value/errs.h"
#include "bind/mysql/values.h"
#include "bind/value/opts.h"
#include "bind/value/store_opts.h"
#include "mysql/conn.h"

int luaopen_rlab_core_mysql(lua_State *L);

static void close_conn(void *impl)
{
    my_conn_free(impl);
}

static void cancel_conn(void *impl)
{
    my_conn_cancel(impl);
}

const rl_handle_type mysql_type = {"mysql.connection", close_conn, cancel_conn, NULL};

static my_conn *conn_of(lua_State *L)
{
    return handle_check(L, 1, &mysql_type)->impl;
}

/* ---- connect, reconnect ---- */

static rl_err *connect_conn(void *impl)
{
    return my_conn_connect(impl);
}

static const rl_connector connector = {&mysql_type, connect_conn, NULL};

/* connect{host=, port=, ...} -> db | nil, err */
static int mysql_l_connect(lua_State *L)
{
    my_opts opts = mysql_opts_read(L, 1, "mysql.connect");
    task_require(L);
    return connect_new(L, &connector, my_conn_new(&opts));
}

/* db:reconnect() -> db | nil, err */
static int mysql_l_reconnect(lua_State *L)
{
    return connect_again(L, &connector);
}

/* ---- ping, and what a connection knows of itself ---- */

typedef struct conn_job {
    rl_await await;
    my_conn *conn;
    char *text;
    bool flag;
} conn_job;

static void conn_drop(rl_await *a)
{
    free(((conn_job *)a)->text);
}

static int conn_call(lua_State *L, void (*run)(rl_await *), int (*push)(lua_State *, rl_await *))
{
    my_conn *conn = conn_of(L);
    conn_job *job = await_new(sizeof *job, run, push, conn_drop);
    job->conn = conn;
    return await_job(L, 1, &job->await);
}

/* What needs no server is looked at here, unless a call is under way on the pool. */
static int conn_look(lua_State *L, void (*run)(rl_await *), int (*push)(lua_State *, rl_await *))
{
    rl_handle *h = handle_check(L, 1, &mysql_type);
    if (!lane_idle(&h->lane))
        return conn_call(L, run, push);
    conn_job *job = await_new(sizeof *job, run, push, conn_drop);
    job->conn = h->impl;
    run(&job->await);
    return await_made(L, 1, &job->await);
}

static void ping_run(rl_await *a)
{
    a->err = my_conn_ping(((conn_job *)a)->conn);
}

/* db:ping() -> true | nil, err */
static int mysql_l_ping(lua_State *L)
{
    return conn_call(L, ping_run, NULL);
}

static int push_text(lua_State *L, rl_await *a)
{
    lua_pushstring(L, ((conn_job *)a)->text);
    return 1;
}

static int push_flag(lua_State *L, rl_await *a)
{
    lua_pushboolean(L, ((conn_job *)a)->flag);
    return 1;
}

static void broken_run(rl_await *a)
{
    conn_job *job = (conn_job *)a;
    const char *why = my_conn_broken(job->conn);
    job->text = why ? mem_strdup(why) : NULL;
}

/* db:broken() -> why | nil */
static int mysql_l_broken(lua_State *L)
{
    return conn_look(L, broken_run, push_text);
}

static void version_run(rl_await *a)
{
    conn_job *job = (conn_job *)a;
    job->text = mem_strdup(my_conn_version(job->conn));
}

/* db:version() -> "9.7.4" */
static int mysql_l_version(lua_State *L)
{
    return conn_look(L, version_run, push_text);
}

static void in_transaction_run(rl_await *a)
{
    conn_job *job = (conn_job *)a;
    job->flag = my_conn_in_transaction(job->conn);
}

/* db:in_transaction() -> boolean, as the server's last answer said */
static int mysql_l_in_transaction(lua_State *L)
{
    return conn_look(L, in_transaction_run, push_flag);
}

/* db:id() -> the server's number of this connection; does not wait, so that a busy one can be
 * killed */
static int mysql_l_id(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)my_conn_id(conn_of(L)));
    return 1;
}

/* db:is_open() -> false after close(); does not wait */
static int mysql_l_is_open(lua_State *L)
{
    rl_handle *h = luaL_checkudata(L, 1, mysql_type.name);
    lua_pushboolean(L, h->impl != NULL);
    return 1;
}

/* ---- statements ---- */

mysql_job *mysql_new_cmd(lua_State *L, const char *where, void (*run)(rl_await *),
                         int (*push)(lua_State *, rl_await *))
{
    my_conn *conn = conn_of(L);
    size_t len;
    const char *sql = luaL_checklstring(L, 2, &len);
    int top = lua_gettop(L);
    my_value *params = mysql_params(L, 3, top, where);
    mysql_job *job = await_new(sizeof *job, run, push, mysql_drop_cmd);
    job->conn = conn;
    job->cmd = (my_cmd){.sql = sql, .len = len, .params = params, .nparams = params ? top - 2 : 0};
    return job;
}

void mysql_drop_cmd(rl_await *a)
{
    mysql_job *job = (mysql_job *)a;
    my_result_free(job->result);
    free((void *)job->cmd.params);
}

static void query_run(rl_await *a)
{
    mysql_job *job = (mysql_job *)a;
    a->err = my_query(job->conn, &job->cmd, &job->result);
}

static int query_push(lua_State *L, rl_await *a)
{
    mysql_push_rows(L, ((mysql_job *)a)->result);
    return 1;
}

static int exec_push(lua_State *L, rl_await *a)
{
    lua_createtable(L, 0, 3);
    mysql_push_counts(L, ((mysql_job *)a)->result);
    return 1;
}

static int run_cmd(lua_State *L, const char *where, int (*push)(lua_State *, rl_await *),
                   bool prepared)
{
    mysql_job *job = mysql_new_cmd(L, where, query_run, push);
    job->cmd.prepared = prepared;
    return await_job(L, 1, &job->await);
}

/* db:query(sql, ...) -> rows | nil, err */
static int mysql_l_query(lua_State *L)
{
    return run_cmd(L, "mysql:query", query_push, false);
}

/* db:exec(sql, ...) -> {affected=, insert_id=, warnings=} | nil, err */
static int mysql_l_exec(lua_State *L)
{
    return run_cmd(L, "mysql:exec", exec_push, false);
}

static int mysql_l_query_prepared(lua_State *L)
{
    return run_cmd(L, "statement:query", query_push, true);
}

static int mysql_l_exec_prepared(lua_State *L)
{
    return run_cmd(L, "statement:exec", exec_push, true);
}

static void pin_run(rl_await *a)
{
    mysql_job *job = (mysql_job *)a;
    a->err = my_pin(job->conn, job->cmd.sql, job->cmd.len);
}

static void unpin_run(rl_await *a)
{
    mysql_job *job = (mysql_job *)a;
    my_unpin(job->conn, job->cmd.sql, job->cmd.len);
}

static int mysql_l_pin(lua_State *L)
{
    lua_settop(L, 2);
    return await_job(L, 1, &mysql_new_cmd(L, "mysql:prepare", pin_run, NULL)->await);
}

static int mysql_l_unpin(lua_State *L)
{
    lua_settop(L, 2);
    return await_job(L, 1, &mysql_new_cmd(L, "statement:close", unpin_run, NULL)->await);
}

/* db:kill(id, {connection=true}): ends the statement that another connection is running, or that
 * connection */
static int mysql_l_kill(lua_State *L)
{
    static const char *const allowed[] = {"connection", NULL};
    conn_of(L);
    lua_Integer id = luaL_checkinteger(L, 2);
    opts_check(L, 3, "mysql:kill", allowed);
    bool whole = opts_bool(L, 3, "connection", false);
    lua_settop(L, 1);
    lua_pushfstring(L, "KILL %s %I", whole ? "CONNECTION" : "QUERY", (LUAI_UACINT)id);
    return await_job(L, 1, &mysql_new_cmd(L, "mysql:kill", query_run, NULL)->await);
}

static void push_methods(lua_State *L, const char *meta)
{
    luaL_getmetatable(L, meta);
    lua_getfield(L, -1, "__index");
    lua_remove(L, -2);
}

int luaopen_rlab_core_mysql(lua_State *L)
{
    static const luaL_Reg methods[] = {{"query", mysql_l_query},
                                       {"exec", mysql_l_exec},
                                       {"cursor", mysql_l_cursor},
                                       {"kill", mysql_l_kill},
                                       {"id", mysql_l_id},
                                       {"is_open", mysql_l_is_open},
                                       {"ping", mysql_l_ping},
                                       {"broken", mysql_l_broken},
                                       {"version", mysql_l_version},
                                       {"in_transaction", mysql_l_in_transaction},
                                       {"reconnect", mysql_l_reconnect},
                                       {NULL, NULL}};
    static const luaL_Reg functions[] = {{"connect", mysql_l_connect},
                                         {"query_prepared", mysql_l_query_prepared},
                                         {"exec_prepared", mysql_l_exec_prepared},
                                         {"cursor_prepared", mysql_l_cursor_prepared},
                                         {"pin", mysql_l_pin},
                                         {"unpin", mysql_l_unpin},
                                         {NULL, NULL}};
    handle_type_open(L, &mysql_type, methods);
    mysql_cursor_bind(L);
    luaL_newlib(L, functions);
    push_methods(L, mysql_type.name);
    lua_setfield(L, -2, "methods");
    return 1;
}
