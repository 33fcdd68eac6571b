#include <stdlib.h>
#include <string.h>

#include "mysql/internal.h"

enum { SMALL = 192 };

/* Where one column of the current row arrives. */
typedef struct slot {
    my_form form;
    unsigned long length;
    my_flag null, error;
    union {
        long long i;
        float f;
        double d;
        MYSQL_TIME time;
        char small[SMALL]; /* what is longer is fetched once more, whole */
    };
} slot;

struct my_binds {
    my_stmt *stmt;
    const MYSQL_FIELD *fields;
    int n;
    slot *slots;
    MYSQL_BIND *binds;
    rl_buf big;
};

static void bind_slot(MYSQL_BIND *bind, slot *s, const MYSQL_FIELD *field)
{
    bind->length = &s->length;
    bind->is_null = &s->null;
    bind->error = &s->error;
    bind->buffer = &s->i;
    switch (s->form) {
    case MY_FORM_INT:
    case MY_FORM_UINT:
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->is_unsigned = s->form == MY_FORM_UINT;
        break;
    case MY_FORM_FLOAT:
        bind->buffer_type = MYSQL_TYPE_FLOAT;
        break;
    case MY_FORM_DOUBLE:
        bind->buffer_type = MYSQL_TYPE_DOUBLE;
        break;
    case MY_FORM_TIME:
        bind->buffer_type = field->type;
        bind->buffer_length = sizeof s->time;
        break;
    case MY_FORM_BIT:
    case MY_FORM_BYTES:
        bind->buffer_type = MYSQL_TYPE_BLOB;
        bind->buffer_length = SMALL;
        break;
    }
}

/* MariaDB's client has no decoder for types it does not know, and calls it all the same. */
static rl_err *decodable(const MYSQL_FIELD *fields, int n)
{
#ifdef MARIADB_PACKAGE_VERSION
    for (int i = 0; i < n; i++) {
        int type = (int)fields[i].type;
        if (type > MYSQL_TYPE_BIT && type < MYSQL_TYPE_JSON)
            return err_new(
                RL_MYSQL, 0, "UNSUPPORTED_TYPE",
                "column '%s' has type %d, which this client cannot read in a prepared statement; "
                "convert it in SQL or send the statement without parameters",
                fields[i].name, type);
    }
#else
    (void)fields;
    (void)n;
#endif
    return NULL;
}

rl_err *my_binds_open(my_conn *conn, my_stmt *stmt, const MYSQL_FIELD *fields, int n)
{
    rl_err *err = decodable(fields, n);
    if (err)
        return err;
    my_binds *binds = mem_zero(sizeof *binds);
    *binds = (my_binds){.stmt = stmt, .fields = fields, .n = n};
    binds->slots = mem_zero((size_t)n * sizeof *binds->slots);
    binds->binds = mem_zero((size_t)n * sizeof *binds->binds);
    for (int i = 0; i < n; i++) {
        binds->slots[i].form = my_form_of(&fields[i]);
        bind_slot(&binds->binds[i], &binds->slots[i], &fields[i]);
    }
    bool ok = !mysql_stmt_bind_result(stmt->stmt, binds->binds);
    my_binds_free(ok ? stmt->binds : binds);
    if (ok)
        stmt->binds = binds;
    return ok ? NULL : my_stmt_failed(conn, stmt);
}

void my_binds_free(my_binds *binds)
{
    if (!binds)
        return;
    free(binds->slots);
    free(binds->binds);
    buf_free(&binds->big);
    free(binds);
}

static const char *whole(my_binds *binds, int col)
{
    slot *s = &binds->slots[col];
    if (s->length <= SMALL)
        return s->small;
    buf_reset(&binds->big);
    buf_reserve(&binds->big, s->length);
    MYSQL_BIND one = binds->binds[col];
    unsigned long length = 0;
    my_flag null = 0, error = 0;
    one.buffer = binds->big.data;
    one.buffer_length = s->length;
    one.length = &length;
    one.is_null = &null;
    one.error = &error;
    return mysql_stmt_fetch_column(binds->stmt->stmt, &one, (unsigned)col, 0) ? NULL
                                                                              : binds->big.data;
}

static bool put(my_binds *binds, int col, my_result *result, my_value *cell)
{
    slot *s = &binds->slots[col];
    const char *bytes;
    if (s->null)
        return true;
    switch (s->form) {
    case MY_FORM_INT:
        *cell = (my_value){.kind = MY_INT, .i = s->i};
        return true;
    case MY_FORM_UINT:
        my_put_uint(result, cell, (uint64_t)s->i);
        return true;
    case MY_FORM_FLOAT:
        *cell =
            (my_value){.kind = MY_DOUBLE, .d = my_float_value(s->f, binds->fields[col].decimals)};
        return true;
    case MY_FORM_DOUBLE:
        *cell = (my_value){.kind = MY_DOUBLE, .d = s->d};
        return true;
    case MY_FORM_TIME:
        my_put_time(result, cell, &binds->fields[col], &s->time);
        return true;
    case MY_FORM_BIT:
        bytes = whole(binds, col);
        if (bytes)
            my_put_bits(result, cell, bytes, s->length);
        return bytes != NULL;
    case MY_FORM_BYTES:
        bytes = whole(binds, col);
        if (bytes)
            my_put_bytes(result, cell, bytes, s->length);
        return bytes != NULL;
    }
    return false;
}

int my_binds_fetch(my_binds *binds, my_result *result)
{
    for (int i = 0; i < binds->n; i++) { /* not every client writes these for every type */
        binds->slots[i].error = binds->slots[i].null = 0;
        binds->slots[i].length = 0;
    }
    int rc = mysql_stmt_fetch(binds->stmt->stmt);
    if (rc == MYSQL_NO_DATA)
        return 0;
    if (rc != 0 && rc != MYSQL_DATA_TRUNCATED)
        return -1;
    if (!result)
        return 1;
    my_value *row = my_result_row(result);
    for (int i = 0; i < binds->n; i++)
        if (!put(binds, i, result, &row[i]))
            return -1;
    return 1;
}
