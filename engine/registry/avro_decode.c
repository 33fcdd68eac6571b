#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "registry/avro_internal.h"
#include "registry/avro_skip.h"

/* Writes a value as the reader's schema wants it. reader is NULL where nobody reads otherwise than it was
 * written. */
typedef struct decoding {
    const avro_form *reader;
    rl_buf *out;
    rl_err *err;
} decoding;

static bool put(decoding *d, avro_value_t *value, const cJSON *node, const char *field);

static bool fail(decoding *d, const char *field, const char *why)
{
    if (!d->err)
        d->err = avro_wrong("DECODE", "the field '%s' %s", field, why);
    return false;
}

/* Bytes as text: each is one character. */
static void put_bytes(rl_buf *out, const void *bytes, size_t n)
{
    const uint8_t *b = bytes;
    rl_buf text = {0};
    for (size_t i = 0; i < n; i++) {
        if (b[i] >= 0x80)
            buf_u8(&text, (uint8_t)(0xc0 | b[i] >> 6));
        buf_u8(&text, b[i] >= 0x80 ? (uint8_t)(0x80 | (b[i] & 0x3f)) : b[i]);
    }
    json_put_string(out, text.data ? text.data : "", text.len);
    buf_free(&text);
}

/* ---- resolution ---- */

static bool one_of(const char *type, const char *words)
{
    size_t n = strlen(type);
    for (const char *at = strstr(words, type); at; at = strstr(at + 1, type))
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

/* The types that may read what was written as one: promotions go up only. */
static const char *readers_of(avro_type_t written)
{
    switch (written) {
    case AVRO_INT32:
        return "int long float double";
    case AVRO_INT64:
        return "long float double";
    case AVRO_FLOAT:
        return "float double";
    case AVRO_DOUBLE:
        return "double";
    case AVRO_STRING:
        return "string bytes";
    case AVRO_BYTES:
        return "bytes string";
    case AVRO_BOOLEAN:
        return "boolean";
    case AVRO_NULL:
        return "null";
    case AVRO_RECORD:
        return "record";
    case AVRO_ENUM:
        return "enum";
    case AVRO_FIXED:
        return "fixed";
    case AVRO_MAP:
        return "map";
    case AVRO_ARRAY:
        return "array";
    default:
        return "";
    }
}

static bool fits(const decoding *d, avro_type_t written, const cJSON *node)
{
    const char *type = avro_type_of(d->reader, &node);
    return type && one_of(type, readers_of(written));
}

/* The reader's branch that fits what was written: the very type first, then a promotion. */
static const cJSON *branch_for(const decoding *d, avro_type_t written, const cJSON *branches)
{
    const cJSON *branch;
    size_t n = strcspn(readers_of(written), " ");
    cJSON_ArrayForEach(branch, branches)
    {
        const cJSON *node = branch;
        const char *type = avro_type_of(d->reader, &node);
        if (type && strlen(type) == n && strncmp(type, readers_of(written), n) == 0)
            return branch;
    }
    cJSON_ArrayForEach(branch, branches) if (fits(d, written, branch)) return branch;
    return NULL;
}

/* ---- values ---- */

static bool put_default(decoding *d, const cJSON *field, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(field, "default");
    char *text = value ? cJSON_PrintUnformatted(value) : NULL;
    if (!text)
        return fail(d, name, "is not in the record, and the reader's schema has no default for it");
    buf_str(d->out, text);
    cJSON_free(text);
    return true;
}

static bool put_field(decoding *d, avro_value_t *record, const cJSON *field, size_t i)
{
    avro_value_t value;
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(field, "name"));
    if (!name)
        return fail(d, "?", "of the reader's schema has no name");
    if (i)
        buf_u8(d->out, ',');
    json_put_cstr(d->out, name);
    buf_u8(d->out, ':');
    if (avro_value_get_by_name(record, name, &value, NULL))
        return put_default(d, field, name);
    return put(d, &value, cJSON_GetObjectItemCaseSensitive(field, "type"), name);
}

static bool put_as_read(decoding *d, avro_value_t *record, const cJSON *node)
{
    const cJSON *field, *fields = cJSON_GetObjectItemCaseSensitive(node, "fields");
    size_t i = 0;
    cJSON_ArrayForEach(field, fields) if (!put_field(d, record, field, i++)) return false;
    return true;
}

/* The parts of a record, a map or an array as they were written. */
static bool put_parts(decoding *d, avro_value_t *value, bool named, const cJSON *node,
                      const char *field)
{
    size_t n = 0;
    avro_value_get_size(value, &n);
    for (size_t i = 0; i < n; i++) {
        avro_value_t part;
        const char *name = NULL;
        if (avro_value_get_by_index(value, i, &part, &name))
            return fail(d, field, avro_strerror());
        if (i)
            buf_u8(d->out, ',');
        if (named) {
            json_put_cstr(d->out, name);
            buf_u8(d->out, ':');
        }
        if (!put(d, &part, node, name ? name : field))
            return false;
    }
    return true;
}

static bool put_record(decoding *d, avro_value_t *value, const cJSON *node, const char *field)
{
    buf_u8(d->out, '{');
    bool ok = d->reader ? put_as_read(d, value, node) : put_parts(d, value, true, NULL, field);
    buf_u8(d->out, '}');
    return ok;
}

static bool put_map(decoding *d, avro_value_t *value, const cJSON *node, const char *field)
{
    buf_u8(d->out, '{');
    bool ok = put_parts(d, value, true, cJSON_GetObjectItemCaseSensitive(node, "values"), field);
    buf_u8(d->out, '}');
    return ok;
}

static bool put_array(decoding *d, avro_value_t *value, const cJSON *node, const char *field)
{
    buf_u8(d->out, '[');
    bool ok = put_parts(d, value, false, cJSON_GetObjectItemCaseSensitive(node, "items"), field);
    buf_u8(d->out, ']');
    return ok;
}

static bool has_symbol(const cJSON *node, const char *symbol)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(
                                 node, "symbols")) if (cJSON_IsString(item) &&
                                                       strcmp(item->valuestring, symbol) ==
                                                           0) return true;
    return false;
}

static bool put_enum(decoding *d, avro_value_t *value, const cJSON *node, const char *field)
{
    int i = 0;
    avro_value_get_enum(value, &i);
    const char *symbol = avro_schema_enum_get(avro_value_get_schema(value), i),
               *otherwise = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(node, "default"));
    if (d->reader && !has_symbol(node, symbol)) {
        if (!otherwise)
            return fail(d, field, "has a symbol that the reader's schema does not know");
        symbol = otherwise;
    }
    json_put_cstr(d->out, symbol);
    return true;
}

static bool put_float(decoding *d, double v, const char *field)
{
    if (!isfinite(v))
        return fail(d, field, "is no finite number, which JSON cannot say");
    json_put_float(d->out, v);
    return true;
}

static bool put_scalar(decoding *d, avro_value_t *value, const char *field)
{
    int32_t i;
    int64_t l;
    float f;
    double x;
    int b;
    switch (avro_value_get_type(value)) {
    case AVRO_INT32:
        avro_value_get_int(value, &i);
        json_put_int(d->out, i);
        return true;
    case AVRO_INT64:
        avro_value_get_long(value, &l);
        json_put_int(d->out, l);
        return true;
    case AVRO_FLOAT:
        avro_value_get_float(value, &f);
        return put_float(d, (double)f, field);
    case AVRO_DOUBLE:
        avro_value_get_double(value, &x);
        return put_float(d, x, field);
    case AVRO_BOOLEAN:
        avro_value_get_boolean(value, &b);
        buf_str(d->out, b ? "true" : "false");
        return true;
    default:
        buf_str(d->out, "null");
        return true;
    }
}

static void put_text(decoding *d, avro_value_t *value)
{
    const char *text = "";
    const void *bytes = "";
    size_t n = 0;
    switch (avro_value_get_type(value)) {
    case AVRO_STRING: /* its size counts the NUL */
        avro_value_get_string(value, &text, &n);
        json_put_string(d->out, text, n ? n - 1 : 0);
        return;
    case AVRO_FIXED:
        avro_value_get_fixed(value, &bytes, &n);
        break;
    default:
        avro_value_get_bytes(value, &bytes, &n);
        break;
    }
    put_bytes(d->out, bytes, n);
}

static bool put_value(decoding *d, avro_value_t *value, const cJSON *node, const char *field)
{
    switch (avro_value_get_type(value)) {
    case AVRO_RECORD:
        return put_record(d, value, node, field);
    case AVRO_MAP:
        return put_map(d, value, node, field);
    case AVRO_ARRAY:
        return put_array(d, value, node, field);
    case AVRO_ENUM:
        return put_enum(d, value, node, field);
    case AVRO_STRING:
    case AVRO_BYTES:
    case AVRO_FIXED:
        put_text(d, value);
        return true;
    default:
        return put_scalar(d, value, field);
    }
}

static bool put(decoding *d, avro_value_t *value, const cJSON *node, const char *field)
{
    avro_value_t branch = *value;
    if (avro_value_get_type(value) == AVRO_UNION && avro_value_get_current_branch(value, &branch))
        return fail(d, field, avro_strerror());
    if (d->reader) {
        avro_type_t written = avro_value_get_type(&branch);
        avro_type_of(d->reader, &node);
        if (cJSON_IsArray(node))
            node = branch_for(d, written, node);
        if (!node || !fits(d, written, node))
            return fail(d, field, "was written as a type that the reader's schema does not take");
        avro_type_of(d->reader, &node);
    }
    return put_value(d, &branch, node, field);
}

rl_err *avro_form_decode(const avro_form *writer, const avro_form *reader, const void *bytes,
                         size_t len, rl_buf *json)
{
    const char *wrong = avro_walk(writer->schema, bytes, len);
    if (wrong)
        return avro_wrong("DECODE", "no record of its schema: %s", wrong);
    decoding d = {.reader = reader, .out = json};
    avro_value_t value;
    if (avro_generic_value_new(writer->class, &value))
        return avro_wrong("DECODE", "%s", avro_strerror());
    avro_reader_t source = avro_reader_memory(bytes, (int64_t)len);
    if (avro_value_read(source, &value))
        d.err = avro_wrong("DECODE", "no record of its schema: %s", avro_strerror());
    else
        put(&d, &value, reader ? reader->json : NULL, "(the record)");
    avro_reader_free(source);
    avro_value_decref(&value);
    return d.err;
}
