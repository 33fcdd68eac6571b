/* What the files of engine/mysql share and nobody else needs. Uses: mysql/conn, mysql/query,
 * mysql/watch. Thread: as there. */
#ifndef RL_MYSQL_INTERNAL_H
#define RL_MYSQL_INTERNAL_H

#include <mysql.h>

#include "mysql/query.h"
#include "mysql/watch.h"

#ifdef MARIADB_PACKAGE_VERSION
typedef my_bool my_flag;
#else
typedef bool my_flag;
#endif

/* COLUMNS: of one result; the server has the same limit. */
enum { MY_CACHE_MAX = 32, MY_TYPE_VECTOR = 242, MY_COLUMNS_MAX = 4096 };

/* A prepared statement of the cache. */
typedef struct my_stmt {
    char *sql;
    size_t len;
    MYSQL_STMT *stmt;       /* NULL: to be prepared again, after a reconnect */
    struct my_binds *binds; /* of the last result */
    uint64_t used;
    int pins;
    struct my_stmt *next;
} my_stmt;

typedef enum my_form {
    MY_FORM_INT,
    MY_FORM_UINT,
    MY_FORM_FLOAT,
    MY_FORM_DOUBLE,
    MY_FORM_BIT,
    MY_FORM_TIME,
    MY_FORM_BYTES
} my_form;

struct my_conn {
    my_opts opts; /* its strings are owned */
    MYSQL *mysql;
    my_watch watch;
    int fd; /* a duplicate of the library's socket */
    _Atomic unsigned long id;
    char *version, *broken;
    my_stmt *stmts;
    uint64_t clock; /* of the cache */
    my_cursor *cursor;
    uint64_t serials;
    _Atomic uint64_t abandoned; /* the serial of a cursor that nobody holds any more */
};

my_opts my_opts_copy(const my_opts *opts);
void my_opts_free(my_opts *opts);

/* Connects in a thread of its own, so that a cancel or the deadline needs not wait for the
 * library (dial.c). */
rl_err *my_dial(my_conn *conn, MYSQL **mysql);
void my_dial_wake(void); /* after a cancel */

/* Every call to the server stands between these two (call.c); begin arms the deadline. */
rl_err *my_begin(my_conn *conn, double seconds);
void my_end(my_conn *conn);
double my_call_limit(const my_conn *conn);
/* The error of a failed call: the server's, or what our own cancel or deadline did. Breaks the
 * connection where it is lost. */
rl_err *my_failed(my_conn *conn, unsigned code, const char *text);
void my_break(my_conn *conn, const char *why);

/* The cache (stmt.c). */
rl_err *my_stmt_get(my_conn *conn, const my_cmd *cmd, my_stmt **stmt);
rl_err *my_stmt_failed(my_conn *conn, const my_stmt *stmt);
rl_err *my_stmt_execute(my_conn *conn, my_stmt *stmt, const my_cmd *cmd);
/* Before the connection is closed; keeps the pinned ones' texts. */
void my_stmts_drop(my_conn *conn);
void my_stmts_free(my_conn *conn);

/* The one statement whose rows are being read (cursor.c). */
struct my_cursor {
    my_conn *conn;
    my_stmt *stmt;  /* NULL: text */
    MYSQL_RES *res; /* of text: the rows; of a statement: their description */
    MYSQL_FIELD *fields;
    int ncols;
    my_form *forms;
    uint64_t serial;
    bool rows_left, sets_left;
    uint64_t affected, insert_id;
    unsigned warnings;
};

/* The set that the server has just announced: rows, or counts. */
rl_err *my_cursor_enter_set(my_cursor *cursor);
rl_err *my_cursor_next_set(my_cursor *cursor, bool *there);
/* result NULL: the row is skipped. 1: a row, 0: no more, -1: failed */
int my_cursor_read_row(my_cursor *cursor, my_result *result);
rl_err *my_cursor_read_rows(my_cursor *cursor, my_result *result, size_t max_rows,
                            size_t max_bytes);
void my_cursor_free(my_cursor *cursor); /* without a word to the server */

/* Columns and values (result.c). */
my_form my_form_of(const MYSQL_FIELD *field);
my_result *my_result_new(const MYSQL_FIELD *fields, int ncols);
/* A new row of NULLs; its address is good until the next row. */
my_value *my_result_row(my_result *result);
void my_put_bytes(my_result *result, my_value *cell, const void *bytes, size_t len);
void my_put_text(my_result *result, my_value *cell, my_form form, const char *text, size_t len);
void my_put_uint(my_result *result, my_value *cell, uint64_t value);
void my_put_bits(my_result *result, my_value *cell, const char *bytes, size_t len);
void my_put_time(my_result *result, my_value *cell, const MYSQL_FIELD *field,
                 const MYSQL_TIME *time);
/* A FLOAT as the server writes it in text: six digits, or as many decimals as the column has. */
double my_float_value(float f, unsigned decimals);

/* Rows of a prepared statement (fetch.c). */
typedef struct my_binds my_binds;
/* Oracle's client writes into the bound memory on the next execute, before the next bind: binds
 * live until then, or until the statement is closed. */
rl_err *my_binds_open(my_conn *conn, my_stmt *stmt, const MYSQL_FIELD *fields, int ncols);
/* 1: a row was added, 0: no more, -1: failed (my_stmt_failed says how). */
int my_binds_fetch(my_binds *binds, my_result *result);
void my_binds_free(my_binds *binds);

#endif
