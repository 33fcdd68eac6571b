/* Cursors of rlab.core_mysql: rows come in chunks through jobs, and one by one out of the chunk
 * without waiting. */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/assert.h"
#include "bind/mysql/conn.h"
#include "bind/task/await.h"
#include "bind/value/errs.h"
#include "bind/mysql/values.h"
#include "bind/value/meta.h"

#define CURSOR_META "mysql.cursor"

enum { CHUNK_ROWS = 1000, CHUNK_BYTES = 256 * 1024 };

/* User value 1: the connection's handle, 2: the column names. Several tasks may read one cursor: each
 * that finds no row fetches a chunk, and what none of them has taken yet waits here, in order. */
typedef struct lua_cursor {
    uint64_t serial; /* 0: the server has sent all rows, or we want no more */
    my_result *chunk;
    size_t next;
    bool closed; /* by close(): a fetch that is under way must not open it again */
} lua_cursor;

static lua_cursor *check_cursor(lua_State *L)
{
    return luaL_checkudata(L, 1, CURSOR_META);
}

/* Reads a chunk; a cursor that has no more is closed at once, which frees the connection for
 * other statements. */
static void read_chunk(mysql_job *job, my_cursor *cursor)
{
    job->await.err = my_fetch(cursor, CHUNK_ROWS, CHUNK_BYTES, &job->result);
    job->serial = my_serial(cursor);
    if (!job->await.err && job->result && job->result->nrows > 0)
        return;
    job->serial = 0;
    rl_err *err = my_close(cursor);
    if (job->await.err)
        err_free(err);
    else
        job->await.err = err;
}

static void open_run(rl_await *a)
{
    mysql_job *job = (mysql_job *)a;
    my_cursor *cursor;
    a->err = my_open(job->conn, &job->cmd, &cursor);
    if (!a->err)
        read_chunk(job, cursor);
}

static int open_push(lua_State *L, rl_await *a)
{
    mysql_job *job = (mysql_job *)a;
    lua_cursor *c = lua_newuserdatauv(L, sizeof *c, 2);
    *c = (lua_cursor){.serial = job->serial, .chunk = job->result};
    luaL_setmetatable(L, CURSOR_META);
    lua_rawgeti(L, LUA_REGISTRYINDEX, a->handle_ref);
    lua_setiuservalue(L, -2, 1);
    if (job->result)
        mysql_push_columns(L, job->result);
    else
        lua_newtable(L);
    lua_setiuservalue(L, -2, 2);
    job->result = NULL;
    return 1;
}

/* A cancelled task's rows are never seen: whoever uses the connection next shall not find it
 * busy. One that was closed meanwhile may be gone. */
static void open_drop(rl_await *a)
{
    mysql_job *job = (mysql_job *)a;
    bool open = a->handle && a->handle->impl == job->conn;
    if (open && job->result && job->serial)
        my_abandon(job->conn, job->serial);
    mysql_drop_cmd(a);
}

static int open_cursor(lua_State *L, bool prepared)
{
    mysql_job *job = mysql_new_cmd(L, "mysql:rows", open_run, open_push);
    job->cmd.prepared = prepared;
    job->await.drop = open_drop;
    return await_job(L, 1, &job->await);
}

int mysql_l_cursor(lua_State *L)
{
    return open_cursor(L, false);
}

int mysql_l_cursor_prepared(lua_State *L)
{
    return open_cursor(L, true);
}

static void free_chunks(lua_cursor *c)
{
    my_result_free(c->chunk);
    c->chunk = NULL;
    c->next = 0;
}

static void append_chunk(lua_cursor *c, my_result *chunk)
{
    my_result **end = &c->chunk;
    while (*end)
        end = &(*end)->next;
    *end = chunk;
}

/* Whether there is a row that needs no server. */
static bool has_row(lua_cursor *c)
{
    while (c->chunk && c->next >= c->chunk->nrows) {
        my_result *spent = c->chunk;
        c->chunk = spent->next;
        c->next = 0;
        spent->next = NULL;
        my_result_free(spent);
    }
    return c->chunk != NULL;
}

static int push_next(lua_State *L, lua_cursor *c, int idx)
{
    rl_assert(c->chunk && c->next < c->chunk->nrows);
    lua_getiuservalue(L, idx, 2);
    mysql_push_row(L, c->chunk, c->next++, lua_gettop(L));
    return 1;
}

typedef struct fetch_job {
    mysql_job base;
    lua_cursor *cursor; /* on the waiting task's stack */
    bool fetched;       /* rows, or their end */
    bool missed;        /* the connection knows no such cursor any more */
} fetch_job;

static void fetch_run(rl_await *a)
{
    mysql_job *job = (mysql_job *)a;
    my_cursor *cursor = my_find(job->conn, job->serial);
    ((fetch_job *)a)->missed = !cursor;
    if (!cursor)
        return;
    read_chunk(job, cursor);
    ((fetch_job *)a)->fetched = !a->err;
}

/* What the job has read belongs to the cursor, also when its own task was cancelled. */
static void settle(fetch_job *job)
{
    lua_cursor *c = job->cursor;
    if (!job->fetched || c->closed)
        return;
    job->fetched = false;
    append_chunk(c, job->base.result);
    job->base.result = NULL;
    c->serial = job->base.serial;
}

static void fetch_drop(rl_await *a)
{
    settle((fetch_job *)a);
    mysql_drop_cmd(a);
}

static int fetch_push(lua_State *L, rl_await *a)
{
    fetch_job *job = (fetch_job *)a;
    lua_cursor *c = job->cursor;
    settle(job);
    if (has_row(c))
        return push_next(L, c, 1);
    if (job->missed && c->serial)
        return errs_fail(L, err_new(RL_MYSQL, 0, "CLOSED",
                                    "the rows ended early: the connection was made anew"));
    lua_pushnil(L);
    return 1;
}

/* cursor:next() -> row | nil at the end | nil, err */
static int mysql_cursor_l_next(lua_State *L)
{
    lua_cursor *c = check_cursor(L);
    if (has_row(c))
        return push_next(L, c, 1);
    lua_settop(L, 1);
    if (!c->serial) {
        lua_pushnil(L);
        return 1;
    }
    lua_getiuservalue(L, 1, 1);
    rl_handle *h = handle_check(L, 2, &mysql_type);
    fetch_job *job = await_new(sizeof *job, fetch_run, fetch_push, fetch_drop);
    job->cursor = c;
    job->base.conn = h->impl;
    job->base.serial = c->serial;
    return await_job(L, 2, &job->base.await);
}

static void close_run(rl_await *a)
{
    mysql_job *job = (mysql_job *)a;
    my_cursor *cursor = my_find(job->conn, job->serial);
    if (cursor)
        a->err = my_close(cursor);
}

/* cursor:close(), also early; what the server still sends is skipped */
static int mysql_cursor_l_close(lua_State *L)
{
    lua_cursor *c = check_cursor(L);
    uint64_t serial = c->serial;
    free_chunks(c);
    c->serial = 0;
    c->closed = true;
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, 1);
    rl_handle *h = lua_touserdata(L, 2);
    if (!serial || !h->impl)
        return 0;
    mysql_job *job = await_new(sizeof *job, close_run, NULL, mysql_drop_cmd);
    job->conn = h->impl;
    job->serial = serial;
    return await_job(L, 2, &job->await);
}

/* cursor:columns() -> the names */
static int mysql_cursor_l_columns(lua_State *L)
{
    check_cursor(L);
    lua_getiuservalue(L, 1, 2);
    return 1;
}

static int mysql_cursor_l_gc(lua_State *L)
{
    lua_cursor *c = check_cursor(L);
    free_chunks(c);
    lua_getiuservalue(L, 1, 1);
    rl_handle *h = lua_touserdata(L, -1);
    if (c->serial && h && h->impl)
        my_abandon(h->impl, c->serial);
    c->serial = 0;
    return 0;
}

void mysql_cursor_bind(lua_State *L)
{
    static const luaL_Reg methods[] = {{"next", mysql_cursor_l_next},
                                       {"close", mysql_cursor_l_close},
                                       {"columns", mysql_cursor_l_columns},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {
        {"__close", mysql_cursor_l_close}, {"__gc", mysql_cursor_l_gc}, {NULL, NULL}};
    meta_open(L, CURSOR_META, meta, methods);
}
