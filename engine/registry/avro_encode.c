#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "registry/avro_internal.h"
#include "registry/avro_skip.h"

/* Reads a JSON text token by token into a value of the schema. */
typedef struct encoding {
    const avro_form *form;
    json_reader in;
    int depth;
    rl_err *err;
} encoding;

static bool set(encoding *e, json_token token, avro_value_t *value, const cJSON *node,
                const char *field);

static bool fail(encoding *e, const char *field, const char *why)
{
    if (!e->err)
        e->err = avro_wrong("ENCODE", "the field '%s' %s", field, why);
    return false;
}

static bool set_default(encoding *e, avro_value_t *record, const cJSON *field, const char *name)
{
    avro_value_t value;
    const cJSON *otherwise = cJSON_GetObjectItemCaseSensitive(field, "default");
    char *text = otherwise ? cJSON_PrintUnformatted(otherwise) : NULL;
    if (!text)
        return fail(e, name, "is missing, and has no default");
    encoding inner = {.form = e->form, .depth = e->depth};
    json_open(&inner.in, text, strlen(text));
    avro_value_get_by_name(record, name, &value, NULL);
    bool ok = set(&inner, json_next(&inner.in), &value,
                  cJSON_GetObjectItemCaseSensitive(field, "type"), name);
    json_close(&inner.in);
    cJSON_free(text);
    e->err = inner.err;
    return ok;
}

static bool set_missing(encoding *e, avro_value_t *record, const cJSON *fields, const bool *given)
{
    const cJSON *field;
    size_t i = 0;
    cJSON_ArrayForEach(field, fields)
    {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(field, "name"));
        if (!given[i++] && !set_default(e, record, field, name))
            return false;
    }
    return true;
}

static bool set_given(encoding *e, avro_value_t *record, const cJSON *fields, bool *given)
{
    for (json_token token = json_next(&e->in); token == JSON_KEY; token = json_next(&e->in)) {
        avro_value_t value;
        size_t i;
        char *name = mem_dup(e->in.str.data, e->in.str.len);
        bool ok = avro_value_get_by_name(record, name, &value, &i) == 0;
        if (!ok)
            fail(e, name, "is not in the schema");
        ok = ok && set(e, json_next(&e->in), &value,
                       cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(fields, (int)i), "type"),
                       name);
        if (ok)
            given[i] = true;
        free(name);
        if (!ok)
            return false;
    }
    return true;
}

static bool set_record(encoding *e, avro_value_t *record, const cJSON *node)
{
    const cJSON *fields = cJSON_GetObjectItemCaseSensitive(node, "fields");
    bool *given = mem_zero((size_t)cJSON_GetArraySize(fields) + 1);
    bool ok = set_given(e, record, fields, given) && set_missing(e, record, fields, given);
    free(given);
    return ok;
}

static bool set_map(encoding *e, avro_value_t *map, const cJSON *node)
{
    const cJSON *values = cJSON_GetObjectItemCaseSensitive(node, "values");
    for (json_token token = json_next(&e->in); token == JSON_KEY; token = json_next(&e->in)) {
        avro_value_t value;
        char *name = mem_dup(e->in.str.data, e->in.str.len);
        bool ok = avro_value_add(map, name, &value, NULL, NULL) == 0 &&
                  set(e, json_next(&e->in), &value, values, name);
        free(name);
        if (!ok)
            return false;
    }
    return true;
}

static bool set_array(encoding *e, avro_value_t *array, const cJSON *node, const char *field)
{
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(node, "items");
    for (json_token token = json_next(&e->in); token != JSON_ARRAY_END; token = json_next(&e->in)) {
        avro_value_t value;
        if (token == JSON_ERROR || token == JSON_END)
            return fail(e, field, "ends within a list");
        if (avro_value_append(array, &value, NULL) || !set(e, token, &value, items, field))
            return false;
    }
    return true;
}

static bool set_int(encoding *e, json_token token, avro_value_t *value, const char *field)
{
    if (token != JSON_INT)
        return fail(e, field, "is an integer in the schema");
    if (avro_value_get_type(value) == AVRO_INT64)
        return avro_value_set_long(value, e->in.i) == 0;
    if (e->in.i < INT32_MIN || e->in.i > INT32_MAX)
        return fail(e, field, "is beyond 32 bits");
    return avro_value_set_int(value, (int32_t)e->in.i) == 0;
}

static bool set_float(encoding *e, json_token token, avro_value_t *value, const char *field)
{
    if (token != JSON_INT && token != JSON_FLOAT)
        return fail(e, field, "is a number in the schema");
    double x = token == JSON_INT ? (double)e->in.i : e->in.d;
    return avro_value_get_type(value) == AVRO_FLOAT ? avro_value_set_float(value, (float)x) == 0
                                                    : avro_value_set_double(value, x) == 0;
}

/* Text of U+0000 to U+00FF, a byte each. */
static bool bytes_of(const rl_buf *text, rl_buf *out)
{
    for (size_t i = 0; i < text->len; i++) {
        uint8_t c = (uint8_t)text->data[i],
                next = i + 1 < text->len ? (uint8_t)text->data[i + 1] : 0;
        if (c < 0x80)
            buf_u8(out, c);
        else if ((c == 0xc2 || c == 0xc3) && (next & 0xc0) == 0x80) {
            buf_u8(out, (uint8_t)(c << 6 | (next & 0x3f)));
            i++;
        } else
            return false;
    }
    return true;
}

static bool set_bytes(encoding *e, avro_value_t *value, const char *field)
{
    rl_buf bytes = {0};
    bool ok = bytes_of(&e->in.str, &bytes);
    char *data = bytes.data ? bytes.data : "";
    if (!ok)
        fail(e, field, "has characters above U+00FF, which are no bytes");
    else if (avro_value_get_type(value) == AVRO_BYTES)
        avro_value_set_bytes(value, data, bytes.len);
    else if (avro_value_set_fixed(value, data, bytes.len))
        ok = fail(e, field, "has not the length of its type");
    buf_free(&bytes);
    return ok;
}

static bool set_text(encoding *e, json_token token, avro_value_t *value, const char *field)
{
    if (token != JSON_STRING)
        return fail(e, field, "is a text in the schema");
    const char *text = e->in.str.data ? e->in.str.data : "";
    if (avro_value_get_type(value) == AVRO_STRING)
        return avro_value_set_string_len(value, text, e->in.str.len + 1) == 0;
    if (avro_value_get_type(value) != AVRO_ENUM)
        return set_bytes(e, value, field);
    int symbol = avro_schema_enum_get_by_name(avro_value_get_schema(value), text);
    return symbol < 0 ? fail(e, field, "is none of the enum's symbols")
                      : avro_value_set_enum(value, symbol) == 0;
}

/* ---- unions ---- */

static bool takes(avro_type_t type, json_token token)
{
    switch (token) {
    case JSON_NULL:
        return type == AVRO_NULL;
    case JSON_BOOL:
        return type == AVRO_BOOLEAN;
    case JSON_INT:
        return type == AVRO_INT32 || type == AVRO_INT64 || type == AVRO_FLOAT ||
               type == AVRO_DOUBLE;
    case JSON_FLOAT:
        return type == AVRO_FLOAT || type == AVRO_DOUBLE;
    case JSON_STRING:
        return type == AVRO_STRING || type == AVRO_ENUM || type == AVRO_BYTES || type == AVRO_FIXED;
    case JSON_OBJECT:
        return type == AVRO_RECORD || type == AVRO_MAP;
    case JSON_ARRAY:
        return type == AVRO_ARRAY;
    default:
        return false;
    }
}

/* The first branch that takes such a token. */
static bool set_branch(encoding *e, json_token token, avro_value_t *value, const cJSON *node,
                       const char *field)
{
    avro_schema_t schema = avro_value_get_schema(value);
    for (int i = 0; i < (int)avro_schema_union_size(schema); i++) {
        avro_schema_t of = avro_schema_union_branch(schema, i);
        avro_value_t branch;
        if (is_avro_link(of))
            of = avro_schema_link_target(of);
        if (takes(avro_typeof(of), token))
            return avro_value_set_branch(value, i, &branch) == 0 &&
                   set(e, token, &branch, cJSON_GetArrayItem(node, i), field);
    }
    return fail(e, field, "fits no branch of its union");
}

static bool set_value(encoding *e, json_token token, avro_value_t *value, const cJSON *node,
                      const char *field)
{
    switch (avro_value_get_type(value)) {
    case AVRO_RECORD:
        return token == JSON_OBJECT ? set_record(e, value, node)
                                    : fail(e, field, "is an object in the schema");
    case AVRO_MAP:
        return token == JSON_OBJECT ? set_map(e, value, node)
                                    : fail(e, field, "is an object in the schema");
    case AVRO_ARRAY:
        return token == JSON_ARRAY ? set_array(e, value, node, field)
                                   : fail(e, field, "is a list in the schema");
    case AVRO_UNION:
        return set_branch(e, token, value, node, field);
    case AVRO_INT32:
    case AVRO_INT64:
        return set_int(e, token, value, field);
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        return set_float(e, token, value, field);
    case AVRO_BOOLEAN:
        return token == JSON_BOOL ? avro_value_set_boolean(value, (int)e->in.i) == 0
                                  : fail(e, field, "is true or false in the schema");
    case AVRO_NULL:
        return token == JSON_NULL ? avro_value_set_null(value) == 0
                                  : fail(e, field, "is null in the schema");
    default:
        return set_text(e, token, value, field);
    }
}

static bool set(encoding *e, json_token token, avro_value_t *value, const cJSON *node,
                const char *field)
{
    if (++e->depth > AVRO_DEPTH_MAX)
        return fail(e, field, "is nested more than 64 deep");
    avro_type_of(e->form, &node);
    bool ok = set_value(e, token, value, node, field);
    e->depth--;
    return ok;
}

/* ---- the whole ---- */

static rl_err *write_out(avro_value_t *value, rl_buf *bytes)
{
    size_t size = 0;
    if (avro_value_sizeof(value, &size))
        return avro_wrong("ENCODE", "%s", avro_strerror());
    buf_reserve(bytes, size + 1);
    avro_writer_t target = avro_writer_memory(bytes->data + bytes->len, (int64_t)size);
    bool ok = avro_value_write(target, value) == 0;
    avro_writer_free(target);
    if (!ok)
        return avro_wrong("ENCODE", "%s", avro_strerror());
    bytes->len += size;
    bytes->data[bytes->len] = '\0';
    return NULL;
}

rl_err *avro_form_encode(const avro_form *form, const char *json, size_t len, rl_buf *bytes)
{
    encoding e = {.form = form};
    avro_value_t value;
    if (avro_generic_value_new(form->class, &value))
        return avro_wrong("ENCODE", "%s", avro_strerror());
    json_open(&e.in, json, len);
    bool ok = set(&e, json_next(&e.in), &value, form->json, "(the record)") &&
              json_next(&e.in) == JSON_END;
    if (!ok && (!e.err || *e.in.error)) {
        err_free(e.err);
        e.err = avro_wrong("ENCODE", "no JSON of its schema: %s",
                           *e.in.error ? e.in.error : avro_strerror());
    }
    rl_err *err = e.err ? e.err : write_out(&value, bytes);
    json_close(&e.in);
    avro_value_decref(&value);
    return err;
}
