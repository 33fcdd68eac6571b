/* Statements and their rows.
 *
 * Offers: my_query (all rows in memory), my_cursor (rows in chunks while the server still sends;
 * one a connection) and the values both speak. With parameters a statement goes as a server-side
 * prepared statement, kept in a small per-connection cache; without, as text. Both give the same
 * values: integers up to 64 bits (BIT and YEAR too), FLOAT and DOUBLE as double (of a FLOAT the six
 * digits that the server writes in text), everything else as bytes: DECIMAL exact, dates and times as
 * MySQL writes them ("2026-01-02 03:04:05.678"), an unsigned integer beyond 2^63-1 in decimal
 * digits, JSON as text, BLOBs as they are.
 * Uses: mysql/conn. Thread: the connection's. */
#ifndef RL_MYSQL_QUERY_H
#define RL_MYSQL_QUERY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "mysql/conn.h"

typedef enum my_kind { MY_NULL = 0, MY_INT, MY_BOOL, MY_DOUBLE, MY_BYTES } my_kind;

typedef struct my_value {
    my_kind kind;
    union {
        int64_t i; /* MY_INT, MY_BOOL */
        double d;
        size_t at; /* of bytes inside a result: use my_cell() */
        const char *s;
    };
    size_t len;
} my_value;

typedef struct my_cmd {
    const char *sql;
    size_t len;
    const my_value *params; /* their bytes must outlive the call */
    int nparams;
    bool prepared; /* as a prepared statement also without parameters */
} my_cmd;

typedef struct my_result {
    int ncols; /* 0: the statement gave no rows */
    char **columns;
    bool twins;      /* a name is there more than once: only positions tell such columns apart */
    my_value *cells; /* nrows * ncols */
    size_t nrows, cap;
    rl_buf bytes;
    uint64_t affected, insert_id;
    unsigned warnings;
    struct my_result *next; /* further result sets of a CALL */
} my_result;

typedef struct my_cursor my_cursor;

rl_err *my_query(my_conn *conn, const my_cmd *cmd, my_result **result);
rl_err *my_exec(my_conn *conn, const char *sql); /* text, result dropped */

/* MY_BYTES: s and len, valid as long as the result. row and col must be there. */
my_value my_cell(const my_result *result, size_t row, int col);
void my_result_free(my_result *result);

/* Rows in chunks. my_fetch fills a new result with at most max_rows rows and about max_bytes;
 * it has no rows when there are no more (but its columns, the first time), and *result is NULL after
 * that. my_close may come early: what is left is skipped, or the query killed from a second
 * connection when that is much; the connection can then be used again. */
rl_err *my_open(my_conn *conn, const my_cmd *cmd, my_cursor **cursor);
rl_err *my_fetch(my_cursor *cursor, size_t max_rows, size_t max_bytes, my_result **result);
rl_err *my_close(my_cursor *cursor); /* frees the cursor in any case */

/* For holders that may outlive the cursor, which a reconnect closes: a number that names it, and
 * the cursor of that number if it is still open. An abandoned one (any thread may say so) is
 * closed by the next statement. */
uint64_t my_serial(const my_cursor *cursor);
my_cursor *my_find(my_conn *conn, uint64_t serial);
void my_abandon(my_conn *conn, uint64_t serial);

/* A statement that stays in the cache until my_unpin; my_pin prepares it, so that its errors
 * show at once. */
rl_err *my_pin(my_conn *conn, const char *sql, size_t len);
void my_unpin(my_conn *conn, const char *sql, size_t len);

/* Ends the running statement of connection `id`, or the connection itself. */
rl_err *my_kill(my_conn *conn, unsigned long id, bool connection);

#endif
