#include "kafka/token/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define TOKEN_LETTERS LETTERS "-._~+/="

enum { SECRET_WORD = 8 };

typedef struct claims {
    rl_buf token; /* of JSON: access_token */
    double expires_in, exp;
    char subject[128];
} claims;

static double number_of(const json_reader *r, json_token token)
{
    if (token == JSON_INT)
        return (double)r->i;
    if (token == JSON_FLOAT)
        return r->d;
    return token == JSON_STRING ? strtod(r->str.data ? r->str.data : "", NULL) : 0;
}

static void keep(claims *all, const char *key, const json_reader *r, json_token token)
{
    const char *text = token == JSON_STRING && r->str.data ? r->str.data : "";
    if (strcmp(key, "access_token") == 0 && token == JSON_STRING)
        buf_add(&all->token, text, strlen(text));
    else if (strcmp(key, "expires_in") == 0)
        all->expires_in = number_of(r, token);
    else if (strcmp(key, "exp") == 0)
        all->exp = number_of(r, token);
    else if (strcmp(key, "sub") == 0)
        snprintf(all->subject, sizeof all->subject, "%.*s", (int)sizeof all->subject - 1, text);
}

/* The members of one object; what is inside of them is passed over. */
static bool members_of(const char *text, size_t len, claims *all)
{
    json_reader r;
    char key[32] = "";
    json_token token;
    json_open(&r, text, len);
    while ((token = json_next(&r)) != JSON_ERROR && token != JSON_END) {
        if (r.depth != 1)
            continue;
        if (token == JSON_KEY)
            snprintf(key, sizeof key, "%s", r.str.data ? r.str.data : "");
        else
            keep(all, key, &r, token);
    }
    json_close(&r);
    return token == JSON_END;
}

static int six_of(char c)
{
    static const char order[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *at = c ? strchr(order, c) : NULL;
    return at ? (int)(at - order) : -1;
}

/* base64url without padding, as far as it is such. */
static void from_base64url(const char *text, size_t len, rl_buf *out)
{
    uint32_t bits = 0;
    int held = 0;
    for (size_t i = 0; i < len && six_of(text[i]) >= 0; i++) {
        bits = bits << 6 | (uint32_t)six_of(text[i]);
        held += 6;
        if (held >= 8) {
            held -= 8;
            buf_u8(out, (uint8_t)(bits >> held & 0xff));
        }
    }
}

/* head.payload.signature */
static void read_payload(const char *token, claims *all)
{
    const char *from = strchr(token, '.'), *to = from ? strchr(from + 1, '.') : NULL;
    rl_buf payload = {0};
    if (to)
        from_base64url(from + 1, (size_t)(to - from - 1), &payload);
    claims own = {0};
    if (payload.len && members_of(payload.data, payload.len, &own)) {
        all->exp = own.exp;
        memcpy(all->subject, own.subject, sizeof own.subject);
    }
    buf_free(&own.token);
    buf_free(&payload);
}

static int64_t end_of(const claims *all, int64_t now_ms)
{
    double of_jwt = all->exp * 1000, of_json = (double)now_ms + all->expires_in * 1000;
    double end = all->exp > 0 ? of_jwt : 0;
    if (all->expires_in > 0 && (!(end > 0) || of_json < end))
        end = of_json;
    return end > 0 && end < 9e15 ? (int64_t)end : 0;
}

static rl_err *no_token(const char *why)
{
    return err_lab("TOKEN", "%s", why);
}

static rl_err *judge(const claims *all, int64_t now_ms, kafka_token *out)
{
    const char *text = all->token.data ? all->token.data : "";
    size_t len = strlen(text);
    if (len == 0)
        return no_token("it printed no token");
    if (strspn(text, TOKEN_LETTERS) != len)
        return no_token("what it printed is neither a token nor JSON with access_token");
    out->end_ms = end_of(all, now_ms);
    if (!out->end_ms)
        return no_token("it does not say when its token ends: neither a JWT with exp, nor JSON "
                        "with expires_in");
    if (out->end_ms <= now_ms)
        return err_lab("TOKEN", "its token ended %lld s ago",
                       (long long)((now_ms - out->end_ms) / 1000));
    out->got_ms = now_ms;
    out->text = mem_strdup(text);
    snprintf(out->subject, sizeof out->subject, "%s", *all->subject ? all->subject : "rlab");
    return NULL;
}

rl_err *kafka_token_read(const char *text, size_t len, int64_t now_ms, kafka_token *out)
{
    claims all = {0};
    rl_err *err = NULL;
    *out = (kafka_token){0};
    while (len && strchr(" \t\r\n", text[len - 1]))
        len--;
    if (len && text[0] == '{')
        err = members_of(text, len, &all) ? NULL : no_token("it printed broken JSON");
    else
        buf_add(&all.token, text, len);
    if (!err) {
        read_payload(all.token.data ? all.token.data : "", &all);
        err = judge(&all, now_ms, out);
    }
    buf_free(&all.token);
    return err;
}

void kafka_token_free(kafka_token *token)
{
    free(token->text);
    token->text = NULL;
}

static bool is_secret(const char *word, size_t len, const char *secret)
{
    if (len >= 3 && memcmp(word, "eyJ", 3) == 0)
        return true;
    char *copy = mem_dup(word, len);
    bool found = len >= SECRET_WORD && secret && strstr(secret, copy);
    free(copy);
    return found;
}

void kafka_token_hide(char *line, const char *secret)
{
    char *to = line;
    for (const char *from = line; *from;) {
        size_t len = strspn(from, TOKEN_LETTERS);
        if (len >= 3 && is_secret(from, len, secret)) {
            memcpy(to, "***", 3);
            to += 3;
        } else {
            len = len ? len : 1;
            memmove(to, from, len);
            to += len;
        }
        from += len;
    }
    *to = '\0';
}
