/* Result sets and their rows, as a cursor meets them. */
#include <errmsg.h>
#include <stdlib.h>

#include "base/assert.h"
#include "mysql/internal.h"

static rl_err *cursor_failed(my_cursor *cursor)
{
    MYSQL *mysql = cursor->conn->mysql;
    return cursor->stmt && mysql_stmt_errno(cursor->stmt->stmt)
               ? my_stmt_failed(cursor->conn, cursor->stmt)
               : my_failed(cursor->conn, mysql_errno(mysql), mysql_error(mysql));
}

/* ---- result sets ---- */

static void cursor_leave_set(my_cursor *cursor)
{
    cursor->rows_left = false;
    free(cursor->forms);
    cursor->forms = NULL;
    if (cursor->res)
        mysql_free_result(cursor->res);
    cursor->res = NULL;
    cursor->fields = NULL;
    cursor->ncols = 0;
}

static void cursor_note_counts(my_cursor *cursor)
{
    MYSQL *mysql = cursor->conn->mysql;
    cursor->affected =
        cursor->stmt ? mysql_stmt_affected_rows(cursor->stmt->stmt) : mysql_affected_rows(mysql);
    cursor->insert_id =
        cursor->stmt ? mysql_stmt_insert_id(cursor->stmt->stmt) : mysql_insert_id(mysql);
    cursor->warnings = mysql_warning_count(mysql);
}

static rl_err *cursor_describe(my_cursor *cursor)
{
    cursor->fields = mysql_fetch_fields(cursor->res);
    cursor->ncols = (int)mysql_num_fields(cursor->res);
    if (cursor->ncols > MY_COLUMNS_MAX)
        return my_failed(cursor->conn, CR_MALFORMED_PACKET, "more columns than MySQL has");
    cursor->rows_left = true;
    cursor->forms = mem_alloc((size_t)cursor->ncols * sizeof *cursor->forms);
    for (int i = 0; i < cursor->ncols; i++)
        cursor->forms[i] = my_form_of(&cursor->fields[i]);
    return cursor->stmt ? my_binds_open(cursor->conn, cursor->stmt, cursor->fields, cursor->ncols)
                        : NULL;
}

/* The set that the server has just announced: rows, or counts. */
rl_err *my_cursor_enter_set(my_cursor *cursor)
{
    MYSQL *mysql = cursor->conn->mysql;
    unsigned n =
        cursor->stmt ? mysql_stmt_field_count(cursor->stmt->stmt) : mysql_field_count(mysql);
    if (n == 0) {
        cursor_note_counts(cursor);
        return NULL;
    }
    cursor->res =
        cursor->stmt ? mysql_stmt_result_metadata(cursor->stmt->stmt) : mysql_use_result(mysql);
    return cursor->res ? cursor_describe(cursor) : cursor_failed(cursor);
}

rl_err *my_cursor_next_set(my_cursor *cursor, bool *there)
{
    cursor_leave_set(cursor);
    *there = false;
    if (cursor->conn->broken)
        return NULL;
    int rc = cursor->stmt ? mysql_stmt_next_result(cursor->stmt->stmt)
                          : mysql_next_result(cursor->conn->mysql);
    if (rc > 0)
        return cursor_failed(cursor);
    *there = rc == 0;
    return rc == 0 ? my_cursor_enter_set(cursor) : NULL;
}

/* ---- rows ---- */

static void put_row(const my_cursor *cursor, my_result *result, MYSQL_ROW row)
{
    unsigned long *lengths = mysql_fetch_lengths(cursor->res);
    rl_assert(result->ncols == cursor->ncols);
    my_value *cells = my_result_row(result);
    for (int i = 0; i < cursor->ncols; i++)
        if (row[i])
            my_put_text(result, &cells[i], cursor->forms[i], row[i], lengths[i]);
}

int my_cursor_read_row(my_cursor *cursor, my_result *result)
{
    if (cursor->stmt)
        return my_binds_fetch(cursor->stmt->binds, result);
    MYSQL_ROW row = mysql_fetch_row(cursor->res);
    if (!row)
        return mysql_errno(cursor->conn->mysql) ? -1 : 0;
    if (result)
        put_row(cursor, result, row);
    return 1;
}

rl_err *my_cursor_read_rows(my_cursor *cursor, my_result *result, size_t max_rows, size_t max_bytes)
{
    while (cursor->rows_left && result->nrows < max_rows && result->bytes.len < max_bytes) {
        int got = my_cursor_read_row(cursor, result);
        if (got > 0)
            continue;
        cursor->rows_left = false;
        if (got < 0)
            return cursor_failed(cursor);
        cursor->warnings = mysql_warning_count(cursor->conn->mysql);
    }
    return NULL;
}

/* ---- the end ---- */

void my_cursor_free(my_cursor *cursor)
{
    cursor_leave_set(cursor);
    if (cursor->stmt && cursor->stmt->stmt)
        mysql_stmt_free_result(cursor->stmt->stmt);
    cursor->conn->cursor = NULL;
    free(cursor);
}
