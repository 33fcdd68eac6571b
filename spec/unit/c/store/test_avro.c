/* Avro records as JSON and back, resolution by a reader's schema, and bytes that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <string.h>

#include "registry/avro.h"

static avro_form *form(const char *schema)
{
    avro_form *f = NULL;
    rl_err *err = avro_form_new(schema, strlen(schema), &f);
    if (err)
        fail_msg("%s", err->msg);
    return f;
}

#define FIELD(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define OR(name, type, value) "{\"name\":\"" name "\",\"type\":" type ",\"default\":" value "}"
#define RECORD(fields) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" fields "]}"
#define INNER(fields) "{\"type\":\"record\",\"name\":\"S\",\"fields\":[" fields "]}"

/* What comes of a JSON text that one schema writes and another reads: the text, or the error's. */
static void reads(const char *writer, const char *reader, const char *json, const char *want)
{
    avro_form *w = form(writer), *r = reader ? form(reader) : NULL;
    rl_buf bytes = {0}, out = {0};
    rl_err *err = avro_form_encode(w, json, strlen(json), &bytes);
    if (!err)
        err = avro_form_decode(w, r, bytes.data, bytes.len, &out);
    assert_string_equal(err ? err->msg : out.data ? out.data : "", want);
    err_free(err);
    buf_free(&bytes);
    buf_free(&out);
    avro_form_free(w);
    avro_form_free(r);
}

static void round_trip(void **state)
{
    (void)state;
    reads(RECORD(FIELD("id", "\"string\"") "," FIELD("n", "\"long\"")), NULL,
          "{\"n\":9223372036854775807,\"id\":\"a\\u0000b\"}",
          "{\"id\":\"a\\u0000b\",\"n\":9223372036854775807}");
    reads(RECORD(FIELD("d", "\"double\"") "," FIELD("f", "\"float\"") "," FIELD(
              "b", "\"boolean\"") "," FIELD("i", "\"int\"")),
          NULL, "{\"d\":-0.5,\"f\":2,\"b\":true,\"i\":-2147483648}",
          "{\"d\":-0.5,\"f\":2.0,\"b\":true,\"i\":-2147483648}");
    reads(RECORD(FIELD("u", "[\"null\",\"string\",\"long\"]") "," FIELD(
              "v", "[\"null\",\"string\",\"long\"]")),
          NULL, "{\"u\":null,\"v\":7}", "{\"u\":null,\"v\":7}");
    reads(RECORD(FIELD("a", "{\"type\":\"array\",\"items\":\"int\"}") "," FIELD(
              "m", "{\"type\":\"map\",\"values\":\"string\"}")),
          NULL, "{\"a\":[1,2,3],\"m\":{\"k\":\"v\"}}", "{\"a\":[1,2,3],\"m\":{\"k\":\"v\"}}");
    reads(RECORD(FIELD("y", "\"bytes\"") "," FIELD(
              "x", "{\"type\":\"fixed\",\"name\":\"F\","
                   "\"size\":2}") "," FIELD("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":["
                                                 "\"A\",\"B\"]}")),
          NULL, "{\"y\":\"\\u00ff\\u0000z\",\"x\":\"hi\",\"e\":\"B\"}",
          "{\"y\":\"\xc3\xbf\\u0000z\",\"x\":\"hi\",\"e\":\"B\"}");
    reads(RECORD(FIELD("next", "[\"null\",\"R\"]") "," FIELD("n", "\"int\"")), NULL,
          "{\"next\":{\"next\":null,\"n\":2},\"n\":1}",
          "{\"next\":{\"next\":null,\"n\":2},\"n\":1}");
}

static void resolution(void **state)
{
    (void)state;
    const char *v1 = RECORD(FIELD("id", "\"string\"") "," FIELD("amount", "\"int\""));
    const char *json = "{\"id\":\"a\",\"amount\":5}";
    reads(v1, RECORD(FIELD("amount", "\"long\"")), json, "{\"amount\":5}");
    reads(v1, RECORD(FIELD("amount", "[\"null\",\"double\"]")), json, "{\"amount\":5}");
    reads(v1, RECORD(FIELD("amount", "\"int\"") "," OR("cur", "\"string\"", "\"EUR\"")), json,
          "{\"amount\":5,\"cur\":\"EUR\"}");
    reads(v1, RECORD(OR("note", "[\"null\",\"string\"]", "null")), json, "{\"note\":null}");
    reads(v1, RECORD(FIELD("cur", "\"string\"")), json,
          "the field 'cur' is not in the record, and the reader's schema has no default for it");
    reads(v1, RECORD(FIELD("amount", "\"string\"")), json,
          "the field 'amount' was written as a type that the reader's schema does not take");
    reads(RECORD(FIELD("amount", "\"long\"")), RECORD(FIELD("amount", "\"int\"")), "{\"amount\":5}",
          "the field 'amount' was written as a type that the reader's schema does not take");
    reads(RECORD(FIELD("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}")),
          RECORD(FIELD("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}")),
          "{\"e\":\"B\"}", "the field 'e' has a symbol that the reader's schema does not know");
    reads(RECORD(FIELD("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}")),
          RECORD(FIELD("e", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"],"
                            "\"default\":\"A\"}")),
          "{\"e\":\"B\"}", "{\"e\":\"A\"}");
    reads(RECORD(FIELD("a", "{\"type\":\"array\",\"items\":" INNER(FIELD("x", "\"int\"")) "}")),
          RECORD(FIELD("a", "{\"type\":\"array\",\"items\":" INNER(OR("y", "\"int\"", "3")) "}")),
          "{\"a\":[{\"x\":1},{\"x\":2}]}", "{\"a\":[{\"y\":3},{\"y\":3}]}");
}

static void what_cannot_be_written(void **state)
{
    (void)state;
    const char *v1 = RECORD(FIELD("n", "\"int\"") "," OR("cur", "\"string\"", "\"EUR\""));
    reads(v1, NULL, "{\"n\":1}", "{\"n\":1,\"cur\":\"EUR\"}");
    reads(v1, NULL, "{}", "the field 'n' is missing, and has no default");
    reads(v1, NULL, "{\"n\":2147483648}", "the field 'n' is beyond 32 bits");
    reads(v1, NULL, "{\"n\":\"1\"}", "the field 'n' is an integer in the schema");
    reads(v1, NULL, "{\"n\":1,\"x\":2}", "the field 'x' is not in the schema");
    reads(v1, NULL, "[1]", "the field '(the record)' is an object in the schema");
}

static void refuses(const char *schema, const char *bytes, size_t len, const char *why)
{
    avro_form *f = form(schema);
    rl_buf out = {0};
    rl_err *err = avro_form_decode(f, NULL, bytes, len, &out);
    assert_non_null(err);
    assert_string_equal(err->name, "DECODE");
    if (!strstr(err->msg, why))
        fail_msg("'%s' is not in '%s'", why, err->msg);
    err_free(err);
    buf_free(&out);
    avro_form_free(f);
}

static void hostile_bytes(void **state)
{
    (void)state;
    const char *text = RECORD(FIELD("s", "\"string\"")), *number = RECORD(FIELD("n", "\"long\"")),
               *nulls = RECORD(FIELD("a", "{\"type\":\"array\",\"items\":\"null\"}")),
               *list = RECORD(FIELD("next", "[\"null\",\"R\"]")),
               *either = RECORD(FIELD("u", "[\"null\",\"int\"]"));
    char deep[200];
    memset(deep, 2, sizeof deep);
    refuses(number, "", 0, "ends within a number");
    refuses(number, "\x80", 1, "ends within a number");
    refuses(number, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "longer than 64 bits");
    refuses(number, "\x02\x00", 2, "bytes are left");
    refuses(text,
            "\x08"
            "ab",
            3, "ends within a value");
    refuses(text, "\x01", 1, "negative");
    refuses(text, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, "ends within a value");
    refuses(nulls, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, "more than a million items");
    refuses(nulls, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, "too many items");
    refuses(list, deep, sizeof deep, "nested more than 64 deep");
    refuses(either, "\x04", 1, "no such branch");
    refuses(RECORD(FIELD("d", "\"double\"")), "\0\0\0\0\0\0\xf8\x7f", 8, "'d' is no finite number");
    refuses(RECORD(FIELD("f", "\"float\"")), "\0\0\x80\x7f", 4, "'f' is no finite number");
}

/* Records of two of the one before: 2^n of the first. */
static void put_doubled(rl_buf *out, int n)
{
    if (n == 0) {
        buf_str(out, "{\"type\":\"fixed\",\"name\":\"R0\",\"size\":16}");
        return;
    }
    buf_printf(out,
               "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"a\",\"type\":", n);
    put_doubled(out, n - 1);
    buf_printf(out, "},{\"name\":\"b\",\"type\":\"R%d\"}]}", n - 1);
}

static rl_err *doubled(int n)
{
    rl_buf schema = {0};
    avro_form *f = NULL;
    put_doubled(&schema, n);
    rl_err *err = avro_form_new(schema.data, schema.len, &f);
    avro_form_free(f);
    buf_free(&schema);
    return err;
}

static void schemas_of_endless_records(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}",
        "{\"type\":\"fixed\",\"name\":\"F\",\"size\":4294967296}",
        "[\"null\",{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}]",
        RECORD(FIELD(
            "x",
            "{\"type\":\"array\",\"items\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":1e9}}")),
        "{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"next\",\"type\":\"L\"}]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        avro_form *f = NULL;
        rl_err *err = avro_form_new(bad[i], strlen(bad[i]), &f);
        if (!err)
            fail_msg("took %s", bad[i]);
        assert_string_equal(err->name, "SCHEMA");
        err_free(err);
    }
    assert_null(doubled(4));
    rl_err *err = doubled(30);
    assert_non_null(err);
    assert_string_equal(err->name, "SCHEMA");
    err_free(err);
}

static void hostile_schemas(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "{",
                                      "7",
                                      "\"strin\"",
                                      "{\"type\":\"record\"}",
                                      "{\"type\":\"record\",\"name\":\"R\",\"fields\":7}",
                                      "[]",
                                      "null"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        avro_form *f = NULL;
        rl_err *err = avro_form_new(bad[i], strlen(bad[i]), &f);
        if (!err)
            fail_msg("took %s", bad[i]);
        assert_string_equal(err->name, "SCHEMA");
        err_free(err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(resolution),
        cmocka_unit_test(what_cannot_be_written),
        cmocka_unit_test(hostile_bytes),
        cmocka_unit_test(hostile_schemas),
        cmocka_unit_test(schemas_of_endless_records),
    };
    return cmocka_run_group_tests_name("avro", tests, NULL, NULL);
}
