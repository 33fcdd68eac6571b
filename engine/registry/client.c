#include "registry/client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cond.h"
#include "base/document.h"
#include "http/client.h"

enum { ANSWER_MAX = 4 << 20, NAMES_MAX = 1 << 20, TRIES_MAX = 100 };

#define FIRST_PAUSE 0.05
#define LONGEST_PAUSE 2.0

struct registry_client {
    char *url;
    double timeout;
    int tries;
    http_client *http;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool cancelled;
};

rl_err *registry_client_new(const registry_opts *opts, registry_client **out)
{
    if (strncmp(opts->url, "http://", 7) != 0 && strncmp(opts->url, "https://", 8) != 0)
        return err_lab("USAGE", "the registry's url '%s' does not begin with http:// or https://",
                       opts->url);
    if (opts->tries < 1 || opts->tries > TRIES_MAX)
        return err_lab("USAGE", "tries is %d, not from 1 to %d", opts->tries, TRIES_MAX);
    registry_client *client = mem_zero(sizeof *client);
    client->url = mem_strdup(opts->url);
    for (size_t n = strlen(client->url); n && client->url[n - 1] == '/'; n--)
        client->url[n - 1] = '\0';
    client->timeout = opts->timeout;
    client->tries = opts->tries;
    client->http = http_client_new();
    pthread_mutex_init(&client->lock, NULL);
    cond_init(&client->woken);
    *out = client;
    return NULL;
}

void registry_client_free(registry_client *client)
{
    if (!client)
        return;
    http_client_free(client->http);
    pthread_cond_destroy(&client->woken);
    pthread_mutex_destroy(&client->lock);
    free(client->url);
    free(client);
}

void registry_client_cancel(registry_client *client)
{
    pthread_mutex_lock(&client->lock);
    client->cancelled = true;
    pthread_cond_signal(&client->woken);
    pthread_mutex_unlock(&client->lock);
    http_client_cancel(client->http);
}

void registry_schema_free(registry_schema *schema)
{
    free(schema->subject);
    free(schema->type);
    free(schema->text);
    *schema = (registry_schema){0};
}

void registry_names_free(char **names)
{
    for (char **name = names; name && *name; name++)
        free(*name);
    free(names);
}

/* ---- errors ---- */

static const struct {
    int code;
    const char *name;
} codes[] = {
    {404, "NOT_FOUND"},
    {409, "INCOMPATIBLE"},
    {422, "INVALID"},
    {40401, "SUBJECT_NOT_FOUND"},
    {40402, "VERSION_NOT_FOUND"},
    {40403, "SCHEMA_NOT_FOUND"},
    {40408, "LEVEL_NOT_FOUND"},
    {42201, "INVALID_SCHEMA"},
    {42202, "INVALID_VERSION"},
    {42203, "INVALID_COMPATIBILITY"},
};

static const char *name_of(int code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == code)
            return codes[i].name;
    return "REFUSED";
}

/* Text of the server in one line of ours: what is no printable ASCII becomes a dot. */
static void put_tame(rl_buf *out, const char *text, size_t max)
{
    for (size_t i = 0; text[i] && i < max; i++)
        buf_u8(out, text[i] >= ' ' && text[i] < 0x7f ? (uint8_t)text[i] : '.');
    if (strlen(text) > max)
        buf_str(out, " ...");
}

/* {"error_code":40403,"message":"..."}; a proxy in between may answer anything else. */
static rl_err *refused(const http_call *call, const http_answer *answer)
{
    cJSON *document =
        cJSON_ParseWithLength(answer->body.data ? answer->body.data : "", answer->body.len);
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(document, "error_code"),
                *message = cJSON_GetObjectItemCaseSensitive(document, "message");
    int number = cJSON_IsNumber(code) && code->valueint > 0 ? code->valueint : answer->status;
    rl_buf text = {0};
    buf_printf(&text, "%s %s: %d ", call->method, call->url, answer->status);
    put_tame(&text, cJSON_IsString(message) ? message->valuestring : name_of(answer->status), 300);
    rl_err *err = err_new(RL_REGISTRY, number,
                          answer->status >= 500 ? "UNAVAILABLE" : name_of(number), "%s", text.data);
    err->retriable = answer->status >= 500;
    err->happened = answer->status >= 500 ? ERR_UNKNOWN : ERR_NOT_DONE;
    buf_free(&text);
    cJSON_Delete(document);
    return err;
}

static rl_err *missing(const char *url, const char *what)
{
    return err_new(RL_REGISTRY, 0, "ANSWER", "%s: the answer has no %s", url, what);
}

/* ---- one call ---- */

/* False when the call was cancelled meanwhile. */
static bool pause_for(registry_client *client, double seconds)
{
    rl_deadline until = deadline_in(seconds);
    pthread_mutex_lock(&client->lock);
    while (!client->cancelled && cond_wait_until(&client->woken, &client->lock, until)) {}
    bool cancelled = client->cancelled;
    pthread_mutex_unlock(&client->lock);
    return !cancelled;
}

static bool take_cancel(registry_client *client)
{
    pthread_mutex_lock(&client->lock);
    bool cancelled = client->cancelled;
    client->cancelled = false;
    pthread_mutex_unlock(&client->lock);
    return cancelled;
}

static rl_err *one_try(registry_client *client, const http_call *call, http_answer *answer)
{
    http_answer_free(answer);
    *answer = (http_answer){0};
    rl_err *err = http_client_call(client->http, call, answer);
    if (err)
        return err;
    return answer->status >= 200 && answer->status < 300 ? NULL : refused(call, answer);
}

static rl_err *tries(registry_client *client, http_call *call, http_answer *answer)
{
    rl_deadline until = deadline_in(client->timeout);
    double pause = FIRST_PAUSE;
    rl_err *err = NULL;
    for (int i = 1; i <= client->tries; i++) {
        call->timeout = (double)deadline_left(until) / 1e9;
        err = one_try(client, call, answer);
        double left = (double)deadline_left(until) / 1e9;
        if (!err || !err->retriable || i == client->tries || left <= pause)
            break;
        if (!pause_for(client, pause))
            break;
        err_free(err);
        pause = pause * 2 > LONGEST_PAUSE ? LONGEST_PAUSE : pause * 2;
    }
    if (take_cancel(client) && err) {
        err_free(err);
        return err_lab("CANCELLED", "the call was cancelled");
    }
    return err;
}

static const char *const headers[] = {"Accept: application/vnd.schemaregistry.v1+json",
                                      "Content-Type: application/vnd.schemaregistry.v1+json", NULL};

/* path and body are freed; *out is the answer's document, the caller's to delete. */
static rl_err *ask(registry_client *client, const char *method, rl_buf *path, rl_buf *body,
                   cJSON **out)
{
    http_call call = {.method = method,
                      .url = path->data,
                      .headers = headers,
                      .body = body ? body->data : NULL,
                      .len = body ? body->len : 0,
                      .connect_timeout = client->timeout,
                      .max_body = ANSWER_MAX};
    http_answer answer = {0};
    rl_err *err = tries(client, &call, &answer);
    if (!err) {
        *out = cJSON_ParseWithLength(answer.body.data ? answer.body.data : "", answer.body.len);
        err = *out ? NULL : missing(call.url, "JSON");
    }
    http_answer_free(&answer);
    buf_free(path);
    if (body)
        buf_free(body);
    return err;
}

/* ---- paths and bodies ---- */

static void put_escaped(rl_buf *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool plain = (*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'z') ||
                     strchr("-._~", *p);
        if (plain)
            buf_u8(out, *p);
        else
            buf_printf(out, "%%%02X", *p);
    }
}

/* "/subjects/" "a b" "/versions" -> the url with the name escaped; name and after may be NULL */
static rl_buf path_of(const registry_client *client, const char *before, const char *name,
                      const char *after)
{
    rl_buf path = {0};
    buf_printf(&path, "%s%s", client->url, before);
    if (name)
        put_escaped(&path, name);
    if (after)
        buf_str(&path, after);
    return path;
}

static rl_buf body_of(const char *key, const char *value)
{
    rl_buf body = {0};
    cJSON *document = document_object();
    document_add_text(document, key, value);
    document_put(document, &body);
    return body;
}

/* ---- fields ---- */

static bool int_field(const cJSON *document, const char *key, int32_t *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(document, key);
    if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble > INT32_MAX ||
        item->valuedouble != (double)(int32_t)item->valuedouble)
        return false;
    *out = (int32_t)item->valuedouble;
    return true;
}

static char *text_field(const cJSON *document, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(document, key);
    return cJSON_IsString(item) ? mem_strdup(item->valuestring) : NULL;
}

/* ---- the calls ---- */

rl_err *registry_register(registry_client *client, const char *subject, const char *schema,
                          int32_t *id)
{
    rl_buf path = path_of(client, "/subjects/", subject, "/versions"),
           body = body_of("schema", schema);
    cJSON *document = NULL;
    rl_err *err = ask(client, "POST", &path, &body, &document);
    if (!err && !int_field(document, "id", id))
        err = missing(client->url, "id");
    cJSON_Delete(document);
    return err;
}

static rl_err *take_schema(const registry_client *client, cJSON *document, registry_schema *out)
{
    out->text = text_field(document, "schema");
    if (!out->text)
        return missing(client->url, "schema");
    out->type = text_field(document, "schemaType");
    if (!out->type)
        out->type = mem_strdup("AVRO"); /* the API leaves the usual type out */
    return NULL;
}

rl_err *registry_by_id(registry_client *client, int32_t id, registry_schema *out)
{
    char number[16];
    snprintf(number, sizeof number, "%d", (int)id);
    rl_buf path = path_of(client, "/schemas/ids/", number, NULL);
    cJSON *document = NULL;
    *out = (registry_schema){.id = id};
    rl_err *err = ask(client, "GET", &path, NULL, &document);
    if (!err)
        err = take_schema(client, document, out);
    cJSON_Delete(document);
    return err;
}

rl_err *registry_by_version(registry_client *client, const char *subject, int version,
                            registry_schema *out)
{
    char tail[40] = "/versions/latest";
    if (version > 0)
        snprintf(tail, sizeof tail, "/versions/%d", version);
    rl_buf path = path_of(client, "/subjects/", subject, tail);
    cJSON *document = NULL;
    *out = (registry_schema){0};
    rl_err *err = ask(client, "GET", &path, NULL, &document);
    if (!err)
        err = take_schema(client, document, out);
    if (!err &&
        !(int_field(document, "id", &out->id) && int_field(document, "version", &out->version)))
        err = missing(client->url, "id and version");
    if (err)
        registry_schema_free(out);
    else
        out->subject = mem_strdup(subject);
    cJSON_Delete(document);
    return err;
}

/* Confluent says `messages`, a list; Apicurio `reason`. */
static char *reason_of(const cJSON *document)
{
    const cJSON *messages = cJSON_GetObjectItemCaseSensitive(document, "messages"),
                *first = cJSON_IsArray(messages) ? cJSON_GetArrayItem(messages, 0) : NULL;
    return cJSON_IsString(first) ? mem_strdup(first->valuestring) : text_field(document, "reason");
}

rl_err *registry_check(registry_client *client, const char *subject, const char *schema,
                       bool *compatible, char **why)
{
    rl_buf path = path_of(client, "/compatibility/subjects/", subject,
                          "/versions/latest?verbose=true"),
           body = body_of("schema", schema);
    cJSON *document = NULL;
    *why = NULL;
    rl_err *err = ask(client, "POST", &path, &body, &document);
    const cJSON *answer = cJSON_GetObjectItemCaseSensitive(document, "is_compatible");
    if (!err && !cJSON_IsBool(answer))
        err = missing(client->url, "is_compatible");
    if (!err) {
        *compatible = cJSON_IsTrue(answer);
        *why = *compatible ? NULL : reason_of(document);
    }
    cJSON_Delete(document);
    return err;
}

rl_err *registry_level(registry_client *client, const char *subject, char out[REGISTRY_LEVEL_SIZE])
{
    rl_buf path = path_of(client, subject ? "/config/" : "/config", subject,
                          subject ? "?defaultToGlobal=true" : NULL);
    cJSON *document = NULL;
    rl_err *err = ask(client, "GET", &path, NULL, &document);
    const cJSON *level = cJSON_GetObjectItemCaseSensitive(document, "compatibilityLevel");
    if (!err && (!cJSON_IsString(level) || strlen(level->valuestring) >= REGISTRY_LEVEL_SIZE))
        err = missing(client->url, "compatibilityLevel");
    if (!err)
        snprintf(out, REGISTRY_LEVEL_SIZE, "%s", level->valuestring);
    cJSON_Delete(document);
    return err;
}

rl_err *registry_set_level(registry_client *client, const char *subject, const char *level)
{
    rl_buf path = path_of(client, subject ? "/config/" : "/config", subject, NULL),
           body = body_of("compatibility", level);
    cJSON *document = NULL;
    rl_err *err = ask(client, "PUT", &path, &body, &document);
    cJSON_Delete(document);
    return err;
}

static char *name_item(const cJSON *item)
{
    char number[16];
    if (cJSON_IsString(item))
        return mem_strdup(item->valuestring);
    if (!cJSON_IsNumber(item))
        return NULL;
    snprintf(number, sizeof number, "%d", item->valueint);
    return mem_strdup(number);
}

static rl_err *names(registry_client *client, rl_buf *path, char ***out)
{
    cJSON *document = NULL;
    const cJSON *item;
    rl_err *err = ask(client, "GET", path, NULL, &document);
    if (!err && (!cJSON_IsArray(document) || cJSON_GetArraySize(document) > NAMES_MAX))
        err = missing(client->url, "list");
    if (!err) {
        size_t n = 0;
        *out = mem_zero(((size_t)cJSON_GetArraySize(document) + 1) * sizeof **out);
        cJSON_ArrayForEach(item, document)
        {
            char *name = name_item(item);
            if (name)
                (*out)[n++] = name;
        }
    }
    cJSON_Delete(document);
    return err;
}

rl_err *registry_subjects(registry_client *client, char ***out)
{
    rl_buf path = path_of(client, "/subjects", NULL, NULL);
    return names(client, &path, out);
}

rl_err *registry_versions(registry_client *client, const char *subject, char ***out)
{
    rl_buf path = path_of(client, "/subjects/", subject, "/versions");
    return names(client, &path, out);
}
