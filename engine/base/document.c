#include "base/document.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/json.h"

static void set_memory(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = mem_alloc, .free_fn = free});
}

static void ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_memory);
}

cJSON *document_object(void)
{
    ready();
    return cJSON_CreateObject();
}

cJSON *document_array(void)
{
    ready();
    return cJSON_CreateArray();
}

/* Takes the text, which is JSON already. */
static void add_raw(cJSON *object, const char *key, rl_buf *text)
{
    cJSON_AddRawToObject(object, key, text->data);
    buf_free(text);
}

void document_add_int(cJSON *object, const char *key, int64_t value)
{
    rl_buf text = {0};
    json_put_int(&text, value);
    add_raw(object, key, &text);
}

static bool is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x80)
        text++;
    return !*text;
}

void document_add_text(cJSON *object, const char *key, const char *value)
{
    rl_buf text = {0};
    if (is_ascii(value)) {
        cJSON_AddStringToObject(object, key, value);
        return;
    }
    json_put_cstr(&text, value);
    add_raw(object, key, &text);
}

void document_put(cJSON *document, rl_buf *out)
{
    char *text = cJSON_PrintUnformatted(document);
    buf_str(out, text);
    free(text);
    cJSON_Delete(document);
}
