/* Records with a schema's id in front under libFuzzer: the wire format, and Avro by schemas that
 * have each type. The first byte says which schema, and whether it is read by another; 255, that the
 * rest is a schema itself, as a registry hands it out. */
#include "fuzz.h"
#include "registry/avro.h"
#include "registry/schemas.h"

enum { LONGEST = 1 << 16, SCHEMA_TEXT = 255 };

static const char *const texts[] = {
    "{\"type\":\"record\",\"name\":\"E\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},"
    "{\"name\":\"amount\",\"type\":\"long\"},{\"name\":\"note\",\"type\":[\"null\",\"string\"],"
    "\"default\":null}]}",
    "{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"next\",\"type\":[\"null\",\"L\"]},"
    "{\"name\":\"v\",\"type\":\"int\"}]}",
    "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"array\","
    "\"items\":\"null\"}},{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":{\"type\":"
    "\"array\","
    "\"items\":\"double\"}}},{\"name\":\"b\",\"type\":\"bytes\"},{\"name\":\"f\",\"type\":{"
    "\"type\":"
    "\"fixed\",\"name\":\"F\",\"size\":3}},{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":"
    "\"N\","
    "\"symbols\":[\"X\",\"Y\"]}},{\"name\":\"t\",\"type\":\"boolean\"},{\"name\":\"g\",\"type\":"
    "\"float\"}]}",
    "{\"type\":\"record\",\"name\":\"E\",\"fields\":[{\"name\":\"id\",\"type\":\"bytes\"},"
    "{\"name\":\"amount\",\"type\":\"double\"},{\"name\":\"cur\",\"type\":\"string\",\"default\":"
    "\"EUR\"}]}",
};
enum { FORMS = sizeof texts / sizeof *texts };
static avro_form *forms[FORMS];

/* What was decoded as it was written can be written again, unless text stands for bytes. */
static void decode(const avro_form *writer, const avro_form *reader, const void *bytes, size_t len)
{
    rl_buf json = {0}, again = {0};
    err_free(avro_form_decode(writer, reader, bytes, len, &json));
    err_free(avro_form_encode(writer, json.data ? json.data : "", json.len, &again));
    buf_free(&json);
    buf_free(&again);
}

static void read_schema(const uint8_t *data, size_t len)
{
    char *text = fuzz_text(data, len);
    avro_form *form = NULL;
    rl_err *err = avro_form_new(text, len, &form);
    if (!err) {
        rl_buf bytes = {0}, json = {0};
        err_free(avro_form_encode(form, "{}", 2, &bytes));
        err_free(avro_form_decode(form, NULL, "\0\2\2\4ab\0", 7, &json));
        buf_free(&bytes);
        buf_free(&json);
    }
    err_free(err);
    avro_form_free(form);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    if (data[0] == SCHEMA_TEXT) {
        read_schema(data + 1, len - 1);
        return 0;
    }
    int32_t id = 0;
    rl_err *err = registry_wire_id(data + 1, len - 1, &id);
    if (!err) {
        const avro_form *reader = data[0] & 0x80 ? forms[data[0] / FORMS % FORMS] : NULL;
        size_t n = len - 1 - REGISTRY_WIRE_HEAD;
        void *bytes = malloc(n ? n : 1); /* its own, so that a byte behind it is noticed */
        memcpy(bytes, data + 1 + REGISTRY_WIRE_HEAD, n);
        decode(forms[data[0] % FORMS], reader, bytes, n);
        free(bytes);
    }
    err_free(err);
    return 0;
}

/* ---- seeds: a record of each schema, and some that promise more than they have ---- */

static void seed(uint8_t which, const char *name, const void *record, size_t len)
{
    rl_buf out = {0};
    buf_u8(&out, which);
    buf_u8(&out, 0);
    buf_be32(&out, 7);
    buf_add(&out, record, len);
    fuzz_seed(name, &out);
    buf_free(&out);
}

static void seed_json(uint8_t which, const char *name, const char *json)
{
    rl_buf record = {0};
    if (avro_form_encode(forms[which], json, strlen(json), &record))
        abort();
    seed(which, name, record.data, record.len);
    seed(which | 0x80, name, record.data, record.len);
    buf_free(&record);
}

static void seed_schemas(void)
{
    static const char *const odd[] = {"\"string\"", "[\"null\",\"long\"]",
                                      "{\"type\":{\"type\":\"int\"}}",
                                      "{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}",
                                      "{\"type\":\"enum\",\"name\":\"a.b.E\",\"symbols\":[]}"};
    char name[32];
    for (size_t i = 0; i < FORMS + sizeof odd / sizeof *odd; i++) {
        const char *text = i < FORMS ? texts[i] : odd[i - FORMS];
        snprintf(name, sizeof name, "schema-%zu", i);
        fuzz_seed_text(name, SCHEMA_TEXT, text, strlen(text));
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_longest(argc, argv, LONGEST);
    seed_schemas();
    for (int i = 0; i < FORMS; i++)
        if (avro_form_new(texts[i], strlen(texts[i]), &forms[i]))
            abort();
    seed_json(0, "avro-entry", "{\"id\":\"abc\",\"amount\":-5,\"note\":\"x\"}");
    seed_json(1, "avro-list", "{\"next\":{\"next\":null,\"v\":1},\"v\":2}");
    seed_json(2, "avro-all",
              "{\"a\":[null,null],\"m\":{\"k\":[1.5]},\"b\":\"\\u0001\",\"f\":\"abc\","
              "\"e\":\"Y\",\"t\":true,\"g\":0.5}");
    seed(2, "avro-huge-block", "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
    seed(1, "avro-deep",
         "\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2"
         "\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2",
         70);
    return 0;
}
