#include "flow/cache/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/document.h"

bool cache_http_account(const char *path, int64_t *account)
{
    static const char before[] = "/accounts/";
    if (strncmp(path, before, sizeof before - 1) != 0)
        return false;
    const char *text = path + sizeof before - 1;
    size_t digits = strspn(text + (*text == '-'), "0123456789");
    char *end;
    errno = 0;
    *account = strtoll(text, &end, 10);
    return digits > 0 && errno == 0 && *end == '\0';
}

static int status_of(const flow_cache_result *result)
{
    if (result->source != CACHE_FROM_NOBODY)
        return 404;
    if (result->failure->domain == RL_LAB && !result->refused)
        return 500;
    return err_is(result->failure, RL_MYSQL, "TIMEOUT") ? 504 : 503;
}

static void problem(http_request *req, const flow_cache_result *result)
{
    rl_buf body = {0}, detail = {0};
    int status = status_of(result);
    if (status == 404)
        buf_printf(&detail, "there is no account %lld", (long long)result->account);
    else
        buf_printf(&detail, "%s: %s", result->failure->name, result->failure->msg);
    cJSON *document = document_object();
    document_add_text(document, "type", "about:blank");
    document_add_text(document, "title", http_reason(status));
    document_add_int(document, "status", status);
    document_add_text(document, "detail", detail.data);
    document_add_int(document, "account_id", result->account);
    document_add_text(document, "source", flow_cache_source_names[result->source]);
    document_put(document, &body);
    const http_field fields[] = {{"Content-Type", "application/problem+json"},
                                 {"X-Cache", flow_cache_source_names[result->source]},
                                 {"Retry-After", "1"}};
    http_reply(req, &(http_reply_opts){.status = status,
                                       .fields = fields,
                                       .fields_count = status == 503 ? 3 : 2,
                                       .body = body.data,
                                       .len = body.len});
    buf_free(&detail);
    buf_free(&body);
}

static void reply(const flow_cache_result *result, void *arg)
{
    http_request *req = arg;
    if (result->source == CACHE_FROM_NOBODY || result->entry.state != CACHE_VALUE) {
        problem(req, result);
        return;
    }
    char body[256], age[24];
    int len = snprintf(body, sizeof body,
                       "{\"account_id\":%lld,\"balance\":%lld,\"version\":%lld,\"source\":\"%s\","
                       "\"age_ms\":%lld}",
                       (long long)result->account, (long long)result->entry.balance,
                       (long long)result->entry.version, flow_cache_source_names[result->source],
                       (long long)result->age_ms);
    snprintf(age, sizeof age, "%lld", (long long)(result->age_ms / 1000));
    const http_field fields[] = {{"Content-Type", "application/json"},
                                 {"X-Cache", flow_cache_source_names[result->source]},
                                 {"Age", age}};
    http_reply(
        req,
        &(http_reply_opts){
            .status = 200, .fields = fields, .fields_count = 3, .body = body, .len = (size_t)len});
}

static void let_go(void *req)
{
    http_let_go(req);
}

static bool take(http_request *req, void *cache)
{
    int64_t account;
    bool get = strcmp(http_method(req), "GET") == 0 || strcmp(http_method(req), "HEAD") == 0;
    if (!get || !cache_http_account(http_path(req), &account))
        return false;
    if (flow_cache_get_kept(cache, account, http_thread(), reply, let_go, req))
        http_keep(req);
    return true;
}

static void turn(http_request *req, void *cache)
{
    (void)req;
    flow_cache_turn(cache, http_thread());
}

const http_front flow_cache_http_front = {.take = take, .turn = turn};
