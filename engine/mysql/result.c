#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "mysql/internal.h"

enum { NOT_FIXED = 31 }; /* decimals of a column without a number of them */

my_form my_form_of(const MYSQL_FIELD *field)
{
    switch ((int)field->type) {
    case MYSQL_TYPE_TINY:
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_LONGLONG:
    case MYSQL_TYPE_YEAR:
        return (field->flags & UNSIGNED_FLAG) ? MY_FORM_UINT : MY_FORM_INT;
    case MYSQL_TYPE_FLOAT:
        return MY_FORM_FLOAT;
    case MYSQL_TYPE_DOUBLE:
        return MY_FORM_DOUBLE;
    case MYSQL_TYPE_BIT:
        return MY_FORM_BIT;
    case MYSQL_TYPE_DATE:
    case MYSQL_TYPE_NEWDATE:
    case MYSQL_TYPE_TIME:
    case MYSQL_TYPE_DATETIME:
    case MYSQL_TYPE_TIMESTAMP:
        return MY_FORM_TIME;
    default:
        return MY_FORM_BYTES;
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has_twins(char *const *columns, int ncols)
{
    bool found = false;
    char **sorted = (char **)mem_dup(columns, ((size_t)ncols + 1) * sizeof *sorted);
    qsort(sorted, (size_t)ncols, sizeof *sorted, by_name);
    for (int i = 1; i < ncols && !found; i++)
        found = strcmp(sorted[i - 1], sorted[i]) == 0;
    free(sorted);
    return found;
}

my_result *my_result_new(const MYSQL_FIELD *fields, int ncols)
{
    my_result *result = mem_zero(sizeof *result);
    result->ncols = ncols;
    result->columns = mem_zero(((size_t)ncols + 1) * sizeof *result->columns);
    for (int i = 0; i < ncols; i++)
        result->columns[i] = mem_strdup(fields[i].name);
    result->twins = has_twins(result->columns, ncols);
    return result;
}

void my_result_free(my_result *result)
{
    while (result) {
        my_result *next = result->next;
        for (int i = 0; i < result->ncols; i++)
            free(result->columns[i]);
        free(result->columns);
        free(result->cells);
        buf_free(&result->bytes);
        free(result);
        result = next;
    }
}

my_value *my_result_row(my_result *result)
{
    size_t n = (size_t)result->ncols;
    rl_assert(n > 0);
    if (result->nrows == result->cap) {
        result->cap = result->cap ? result->cap * 2 : 8;
        result->cells = mem_grow(result->cells, result->cap * n * sizeof *result->cells);
    }
    my_value *row = result->cells + result->nrows++ * n;
    memset(row, 0, n * sizeof *row);
    return row;
}

my_value my_cell(const my_result *result, size_t row, int col)
{
    rl_assert(row < result->nrows && col >= 0 && col < result->ncols);
    my_value v = result->cells[row * (size_t)result->ncols + (size_t)col];
    if (v.kind == MY_BYTES)
        v.s = v.len ? result->bytes.data + v.at : "";
    return v;
}

void my_put_bytes(my_result *result, my_value *cell, const void *bytes, size_t len)
{
    *cell = (my_value){.kind = MY_BYTES, .at = result->bytes.len, .len = len};
    buf_add(&result->bytes, bytes, len);
}

void my_put_uint(my_result *result, my_value *cell, uint64_t value)
{
    char text[24];
    if (value <= INT64_MAX)
        *cell = (my_value){.kind = MY_INT, .i = (int64_t)value};
    else
        my_put_bytes(result, cell, text,
                     (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value));
}

void my_put_bits(my_result *result, my_value *cell, const char *bytes, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++)
        value = value << 8 | (unsigned char)bytes[i];
    my_put_uint(result, cell, value);
}

void my_put_text(my_result *result, my_value *cell, my_form form, const char *text, size_t len)
{
    switch (form) {
    case MY_FORM_INT:
        *cell = (my_value){.kind = MY_INT, .i = strtoll(text, NULL, 10)};
        break;
    case MY_FORM_UINT:
        my_put_uint(result, cell, strtoull(text, NULL, 10));
        break;
    case MY_FORM_FLOAT:
    case MY_FORM_DOUBLE:
        *cell = (my_value){.kind = MY_DOUBLE, .d = strtod(text, NULL)};
        break;
    case MY_FORM_BIT:
        my_put_bits(result, cell, text, len);
        break;
    case MY_FORM_TIME:
    case MY_FORM_BYTES:
        my_put_bytes(result, cell, text, len);
        break;
    }
}

static int print_fraction(char *out, size_t size, unsigned long micros, unsigned decimals)
{
    char digits[8];
    if (decimals > 6) /* not known: as many as are needed */
        decimals = micros ? 6 : 0;
    if (decimals == 0)
        return 0;
    snprintf(digits, sizeof digits, "%06lu", micros % 1000000);
    return snprintf(out, size, ".%.*s", (int)decimals, digits);
}

void my_put_time(my_result *result, my_value *cell, const MYSQL_FIELD *field, const MYSQL_TIME *t)
{
    char text[64];
    int n = 0;
    if (field->type == MYSQL_TYPE_TIME)
        n = snprintf(text, sizeof text, "%s%02u:%02u:%02u", t->neg ? "-" : "",
                     t->day * 24 + t->hour, t->minute, t->second);
    else
        n = snprintf(text, sizeof text, "%04u-%02u-%02u", t->year, t->month, t->day);
    if (field->type == MYSQL_TYPE_DATETIME || field->type == MYSQL_TYPE_TIMESTAMP)
        n += snprintf(text + n, sizeof text - (size_t)n, " %02u:%02u:%02u", t->hour, t->minute,
                      t->second);
    if (field->type != MYSQL_TYPE_DATE && field->type != MYSQL_TYPE_NEWDATE)
        n += print_fraction(text + n, sizeof text - (size_t)n, t->second_part, field->decimals);
    rl_assert(n > 0 && (size_t)n < sizeof text);
    my_put_bytes(result, cell, text, (size_t)n);
}

double my_float_value(float f, unsigned decimals)
{
    char text[80]; /* FLT_MAX has 39 digits before its point */
    bool fixed = decimals < NOT_FIXED;
    snprintf(text, sizeof text, fixed ? "%.*f" : "%.*g", fixed ? (int)decimals : FLT_DIG,
             (double)f);
    return strtod(text, NULL);
}
