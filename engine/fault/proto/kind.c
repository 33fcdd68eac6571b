/* The protocols by their names: sessions of one, and what rules and logs ask of it. */
#include <string.h>

#include "base/assert.h"
#include "base/json.h"
#include "fault/proto/internal.h"

enum { KINDS = PROTO_REDIS + 1 };

static const char *const kinds[KINDS] = {"tcp", "kafka", "mysql", "redis"};
static const proto_ops *const ops[KINDS] = {NULL, &proto_kafka, &proto_mysql, &proto_redis};

const char *proto_name(proto_kind kind)
{
    rl_assert((int)kind < KINDS);
    return kinds[kind];
}

bool proto_parse(const char *name, proto_kind *kind)
{
    for (int i = 0; i < KINDS; i++)
        if (strcmp(kinds[i], name) == 0) {
            *kind = (proto_kind)i;
            return true;
        }
    return false;
}

proto_session *proto_open(proto_kind kind, const proto_host *host)
{
    rl_assert(kind > PROTO_TCP && (int)kind < KINDS);
    rl_assert(host->emit && host->wants && host->request && host->response && host->failure);
    return proto_open_with(ops[kind], host);
}

rl_err *proto_find(proto_kind kind, const char *name, int *api)
{
    *api = *name && ops[kind] ? ops[kind]->command(name) : -1;
    if (*name && ops[kind] && ops[kind]->unseen && ops[kind]->unseen(name))
        return err_lab("API",
                       "%s is never seen: no answer belongs to it, and from there on the "
                       "connection passes unparsed",
                       name);
    if (*name && *api < 0)
        return err_lab("API", "%s has no request called '%s'", proto_name(kind), name);
    return NULL;
}

bool proto_can_fail(proto_kind kind, int api)
{
    return ops[kind] && (!ops[kind]->can_fail || ops[kind]->can_fail(api));
}

enum { TEXT_MAX = 400 };

static void put_text(rl_buf *out, const char *key, const char *text, size_t len)
{
    buf_printf(out, ",\"%s\":", key);
    json_put_string(out, text, len < TEXT_MAX ? len : TEXT_MAX);
}

static void put_params(const proto_msg *msg, rl_buf *out)
{
    const char *p = msg->params.data, *end = p ? p + msg->params.len : NULL;
    if (!p)
        return;
    buf_str(out, ",\"params\":[");
    for (const char *first = p; p < end; p += strlen(p) + 1) {
        if (p != first)
            buf_u8(out, ',');
        json_put_string(out, p, strnlen(p, TEXT_MAX));
    }
    buf_u8(out, ']');
}

void proto_describe(const proto_msg *msg, rl_buf *out)
{
    if (msg->command)
        put_text(out, "api", msg->command, msg->command_len);
    if (msg->text.data)
        put_text(out, "text", msg->text.data, msg->text.len);
    put_params(msg, out);
    if (msg->judged)
        buf_printf(out, ",\"error\":%d", msg->error);
    if (ops[msg->kind]->describe)
        ops[msg->kind]->describe(msg, out);
}

/* A topic stands in a body as its length and its bytes, in one of two encodings: both together are
 * looked for, and nothing else is parsed. */
bool proto_names_topic(const proto_msg *msg, const char *topic)
{
    rl_buf want = {0};
    frame_writer w = {.buf = &want, .flexible = frame_api_flexible(msg->api, msg->version)};
    frame_put_str(&w, topic);
    bool found = memmem(msg->data, msg->len, want.data, want.len) != NULL;
    buf_free(&want);
    return found;
}

bool proto_has_param(const proto_msg *msg, const char *text)
{
    const char *p = msg->params.data, *end = p ? p + msg->params.len : NULL;
    for (; p && p < end; p += strlen(p) + 1)
        if (strcmp(p, text) == 0)
            return true;
    return false;
}
