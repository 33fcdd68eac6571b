#include "registry/avro_skip.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct walk {
    const uint8_t *at, *end;
    int depth, items;
    const char *wrong;
} walk;

static bool fail(walk *w, const char *why)
{
    w->wrong = why;
    return false;
}

static bool skip_bytes(walk *w, int64_t n)
{
    if (n < 0)
        return fail(w, "a length is negative");
    if (n > w->end - w->at)
        return fail(w, "it ends within a value");
    w->at += n;
    return true;
}

/* Zigzag, seven bits a byte, the lowest first: 64 bits have ten bytes at most. */
static bool take_long(walk *w, int64_t *out)
{
    uint64_t value = 0;
    for (int i = 0; i < 10; i++) {
        if (w->at == w->end)
            return fail(w, "it ends within a number");
        uint8_t byte = *w->at++;
        if (i == 9 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *out = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
            return true;
        }
    }
    return fail(w, "a number is longer than 64 bits");
}

static bool skip(walk *w, avro_schema_t schema);

static bool skip_record(walk *w, avro_schema_t schema)
{
    size_t n = avro_schema_record_size(schema);
    for (size_t i = 0; i < n; i++)
        if (!skip(w, avro_schema_record_field_get_by_index(schema, (int)i)))
            return false;
    return true;
}

static bool skip_items(walk *w, avro_schema_t of, bool keyed, int64_t count)
{
    int64_t len;
    for (int64_t i = 0; i < count; i++) {
        if (++w->items > AVRO_ITEMS_MAX)
            return fail(w, "it has more than a million items");
        if (keyed && !(take_long(w, &len) && skip_bytes(w, len)))
            return false;
        if (!skip(w, of))
            return false;
    }
    return true;
}

/* Blocks of items, a negative count with the block's size behind it, until a count of 0. */
static bool skip_blocks(walk *w, avro_schema_t of, bool keyed)
{
    int64_t count, size;
    for (;;) {
        if (!take_long(w, &count))
            return false;
        if (count == 0)
            return true;
        if (count == INT64_MIN)
            return fail(w, "a block has too many items");
        if (count < 0 && !take_long(w, &size))
            return false;
        if (!skip_items(w, of, keyed, count < 0 ? -count : count))
            return false;
    }
}

static bool skip_branch(walk *w, avro_schema_t schema)
{
    int64_t branch;
    if (!take_long(w, &branch))
        return false;
    if (branch < 0 || branch >= (int64_t)avro_schema_union_size(schema))
        return fail(w, "a union has no such branch");
    return skip(w, avro_schema_union_branch(schema, (int)branch));
}

static bool skip_enum(walk *w, avro_schema_t schema)
{
    int64_t symbol;
    if (!take_long(w, &symbol))
        return false;
    if (symbol < 0 || symbol >= avro_schema_enum_number_of_symbols(schema))
        return fail(w, "an enum has no such symbol");
    return true;
}

static bool skip_int(walk *w)
{
    int64_t value;
    if (!take_long(w, &value))
        return false;
    return value >= INT32_MIN && value <= INT32_MAX ? true
                                                    : fail(w, "an int is longer than 32 bits");
}

static bool skip_boolean(walk *w)
{
    if (w->at == w->end)
        return fail(w, "it ends within a value");
    return *w->at++ <= 1 ? true : fail(w, "a boolean is neither 0 nor 1");
}

static bool skip_value(walk *w, avro_schema_t schema)
{
    int64_t n;
    switch (avro_typeof(schema)) {
    case AVRO_STRING:
    case AVRO_BYTES:
        return take_long(w, &n) && skip_bytes(w, n);
    case AVRO_INT32:
        return skip_int(w);
    case AVRO_INT64:
        return take_long(w, &n);
    case AVRO_FLOAT:
        return skip_bytes(w, 4);
    case AVRO_DOUBLE:
        return skip_bytes(w, 8);
    case AVRO_BOOLEAN:
        return skip_boolean(w);
    case AVRO_NULL:
        return true;
    case AVRO_RECORD:
        return skip_record(w, schema);
    case AVRO_ENUM:
        return skip_enum(w, schema);
    case AVRO_FIXED:
        return skip_bytes(w, avro_schema_fixed_size(schema));
    case AVRO_MAP:
        return skip_blocks(w, avro_schema_map_values(schema), true);
    case AVRO_ARRAY:
        return skip_blocks(w, avro_schema_array_items(schema), false);
    case AVRO_UNION:
        return skip_branch(w, schema);
    case AVRO_LINK:
        return skip(w, avro_schema_link_target(schema));
    }
    return fail(w, "its schema has a type that nobody knows");
}

static bool skip(walk *w, avro_schema_t schema)
{
    if (++w->depth > AVRO_DEPTH_MAX)
        return fail(w, "it is nested more than 64 deep");
    bool ok = skip_value(w, schema);
    w->depth--;
    return ok;
}

const char *avro_walk(avro_schema_t schema, const void *bytes, size_t len)
{
    walk w = {.at = bytes, .end = (const uint8_t *)bytes + len};
    if (skip(&w, schema) && w.at != w.end)
        fail(&w, "bytes are left behind it");
    return w.wrong;
}
