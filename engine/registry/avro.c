#include "registry/avro.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "registry/avro_internal.h"

enum { SCHEMA_MAX = 1 << 20, RECORD_MAX = 16 << 20, PART_BYTES = 64, DEPTH_MAX = 64 };

rl_err *avro_wrong(const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rl_err *err = err_newv(RL_REGISTRY, 0, name, fmt, ap);
    va_end(ap);
    return err;
}

/* ---- names ---- */

static const char *text_of(const cJSON *node, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(node, key));
}

/* "a.b.C" and "C" are taken for one: a form is one schema, whose names differ in their last part. */
static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

static const cJSON *find_named(const avro_form *form, const char *name)
{
    for (int i = 0; i < form->named_count; i++)
        if (strcmp(last_part(text_of(form->named[i], "name")), last_part(name)) == 0)
            return form->named[i];
    return NULL;
}

static bool collect_named(avro_form *form, const cJSON *node)
{
    const char *type = text_of(node, "type");
    const cJSON *item;
    bool defines =
        cJSON_IsObject(node) && type && text_of(node, "name") &&
        (strcmp(type, "record") == 0 || strcmp(type, "enum") == 0 || strcmp(type, "fixed") == 0);
    if (defines && form->named_count == AVRO_NAMES_MAX)
        return false;
    if (defines)
        form->named[form->named_count++] = node;
    cJSON_ArrayForEach(item, node)
    {
        bool is_default = item->string && strcmp(item->string, "default") == 0;
        if (!is_default && !collect_named(form, item))
            return false;
    }
    return true;
}

const char *avro_type_of(const avro_form *form, const cJSON **node)
{
    const char *type;
    while (cJSON_IsObject(*node)) { /* {"type": {"type": ...}} wraps */
        const cJSON *inner = cJSON_GetObjectItemCaseSensitive(*node, "type");
        if (cJSON_IsString(inner))
            break;
        *node = inner;
    }
    if (cJSON_IsArray(*node))
        return NULL;
    type = cJSON_IsString(*node) ? (*node)->valuestring : text_of(*node, "type");
    const cJSON *defined = type ? find_named(form, type) : NULL;
    if (!defined)
        return type;
    *node = defined;
    return text_of(defined, "type");
}

/* ---- what a record takes before anything is read ---- */

static size_t weigh_fixed(const cJSON *node)
{
    const cJSON *size = cJSON_GetObjectItemCaseSensitive(node, "size");
    bool fits = cJSON_IsNumber(size) && size->valuedouble >= 0 && size->valuedouble <= RECORD_MAX;
    return PART_BYTES + (fits ? (size_t)size->valuedouble : RECORD_MAX);
}

/* Records within records and fixed bytes lie in one piece of memory, which libavro allocates by the
 * schema alone: more than RECORD_MAX is as good as any more, also for one that has itself for a field. */
static size_t weigh(const avro_form *form, const cJSON *node, int depth)
{
    const char *type = avro_type_of(form, &node);
    const cJSON *field;
    size_t bytes = PART_BYTES;
    if (type && strcmp(type, "fixed") == 0)
        return weigh_fixed(node);
    if (!type || strcmp(type, "record") != 0)
        return bytes;
    if (depth == DEPTH_MAX)
        return RECORD_MAX + 1;
    cJSON_ArrayForEach(field, cJSON_GetObjectItemCaseSensitive(node, "fields"))
    {
        bytes += weigh(form, cJSON_GetObjectItemCaseSensitive(field, "type"), depth + 1);
        if (bytes > RECORD_MAX)
            break;
    }
    return bytes;
}

static bool too_heavy(const avro_form *form)
{
    if (weigh(form, form->json, 0) > RECORD_MAX)
        return true;
    for (int i = 0; i < form->named_count; i++) /* those in arrays, maps and unions */
        if (weigh(form, form->named[i], 0) > RECORD_MAX)
            return true;
    return false;
}

/* ---- a form ---- */

rl_err *avro_form_new(const char *schema, size_t len, avro_form **out)
{
    if (len > SCHEMA_MAX)
        return avro_wrong("SCHEMA", "the schema has more than %d bytes", SCHEMA_MAX);
    avro_form *form = mem_zero(sizeof *form);
    form->json = cJSON_ParseWithLength(schema, len);
    rl_err *err = form->json ? NULL : avro_wrong("SCHEMA", "the schema is no JSON");
    if (!err && avro_schema_from_json_length(schema, len, &form->schema))
        err = avro_wrong("SCHEMA", "no Avro schema: %s", avro_strerror());
    if (!err && !collect_named(form, form->json))
        err = avro_wrong("SCHEMA", "the schema has more than %d names", AVRO_NAMES_MAX);
    if (!err && too_heavy(form))
        err = avro_wrong("SCHEMA", "a record of the schema takes more than %d bytes", RECORD_MAX);
    if (!err && !(form->class = avro_generic_class_from_schema(form->schema)))
        err = avro_wrong("SCHEMA", "no Avro schema: %s", avro_strerror());
    if (err)
        avro_form_free(form);
    else
        *out = form;
    return err;
}

void avro_form_free(avro_form *form)
{
    if (!form)
        return;
    if (form->class)
        avro_value_iface_decref(form->class);
    if (form->schema)
        avro_schema_decref(form->schema);
    cJSON_Delete(form->json);
    free(form);
}
