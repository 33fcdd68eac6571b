/* The values in MySQL's rows, as they come over the wire, under libFuzzer: texts of each form, the
 * times of a prepared statement, FLOATs. An input is cells: the form, a length, the bytes. */
#include <assert.h>
#include <math.h>

#include "fuzz.h"
#include "mysql/internal.h"

enum { FORMS = MY_FORM_BYTES + 1, TIMES = FORMS, FLOATS, KINDS, CELLS_MAX = 64, LONGEST = 1 << 12 };

static const enum enum_field_types types[] = {MYSQL_TYPE_TIME, MYSQL_TYPE_DATE, MYSQL_TYPE_DATETIME,
                                              MYSQL_TYPE_TIMESTAMP, MYSQL_TYPE_YEAR};

/* As wide as the binary protocol has them. */
static void put_time(my_result *rows, my_value *cell, const uint8_t *data, size_t len)
{
    uint8_t b[16] = {0};
    memcpy(b, data, len < sizeof b ? len : sizeof b);
    MYSQL_TIME t = {.year = b[0] | b[1] << 8u,
                    .month = b[2],
                    .day = b[3] | (unsigned)b[4] << 24,
                    .hour = b[5],
                    .minute = b[6],
                    .second = b[7],
                    .neg = b[8] & 1};
    memcpy(&t.second_part, b + 9, 4);
    t.second_part &= UINT32_MAX;
    MYSQL_FIELD field = {.type = types[b[13] % 4], .decimals = b[14]};
    if (field.type != MYSQL_TYPE_TIME)
        t.day &= 0xff;
    my_put_time(rows, cell, &field, &t);
}

static void put_float(my_value *cell, const uint8_t *data, size_t len)
{
    float f = 0;
    memcpy(&f, data, len < sizeof f ? len : sizeof f);
    double d = my_float_value(f, len > sizeof f ? data[sizeof f] : 0);
    assert(!isfinite(f) || isfinite(d));
    *cell = (my_value){.kind = MY_DOUBLE, .d = d};
}

static void put_cell(my_result *rows, int kind, const uint8_t *data, size_t len)
{
    my_value *cell = my_result_row(rows);
    char *text = fuzz_text(data, len);
    if (kind < FORMS)
        my_put_text(rows, cell, (my_form)kind, text, len);
    else if (kind == TIMES)
        put_time(rows, cell, data, len);
    else
        put_float(cell, data, len);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char name[] = "x";
    my_result *rows = my_result_new(&(MYSQL_FIELD){.name = name}, 1);
    for (size_t at = 0, n = 0; at + 2 <= len && n < CELLS_MAX; n++) {
        size_t size = data[at + 1], left = len - at - 2;
        size = size < left ? size : left;
        put_cell(rows, data[at] % KINDS, data + at + 2, size);
        at += 2 + size;
    }
    for (size_t row = 0; row < rows->nrows; row++) {
        my_value v = my_cell(rows, row, 0);
        assert(v.kind != MY_BYTES || v.at + v.len <= rows->bytes.len || v.s);
    }
    my_result_free(rows);
    return 0;
}

/* ---- seeds ---- */

static void put(rl_buf *out, int kind, const void *bytes, size_t len)
{
    buf_u8(out, (uint8_t)kind);
    buf_u8(out, (uint8_t)len);
    buf_add(out, bytes, len);
}

static void seed_texts(void)
{
    static const char *const texts[] = {
        "-9223372036854775808",   "18446744073709551615", "99999999999999999999", "16777217",
        "1.7976931348623157e309", "2026-11-29 16:00:00",  "-838:59:59",           ""};
    for (int form = 0; form < FORMS; form++) {
        rl_buf out = {0};
        char name[32];
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            put(&out, form, texts[i], strlen(texts[i]));
        snprintf(name, sizeof name, "texts-%d", form);
        fuzz_seed(name, &out);
        buf_free(&out);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    rl_buf out = {0};
    uint8_t most[16];
    memset(most, 0xff, sizeof most);
    fuzz_longest(argc, argv, LONGEST);
    seed_texts();
    for (uint8_t type = 0; type < 4; type++) {
        most[13] = type;
        put(&out, TIMES, most, sizeof most);
        put(&out, TIMES, "\xea\7\13\35\0\20\0\0\0\100\102\17\0\2\6", 15);
    }
    put(&out, FLOATS, "\0\0\200\113\37", 5);
    put(&out, FLOATS, "\0\0\200\177\0", 5);
    put(&out, FLOATS, "\377\377\177\177\36", 5);
    fuzz_seed("times-and-floats", &out);
    buf_free(&out);
    return 0;
}
