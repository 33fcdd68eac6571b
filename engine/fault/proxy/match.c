/* Which message a rule or a watch means. */
#include <string.h>
#include <strings.h>

#include "fault/proxy/internal.h"

static bool text_begins(const char *text, size_t len, const char *prefix)
{
    size_t n = strlen(prefix);
    return n <= len && memcmp(text ? text : "", prefix, n) == 0;
}

static bool begins_like(frame_slice text, const char *prefix)
{
    size_t n = strlen(prefix), i = 0;
    while (i < text.len && strchr(" \t\r\n", text.data[i]))
        i++;
    return text.data && text.len - i >= n && strncasecmp(text.data + i, prefix, n) == 0;
}

static bool same_command(const proto_msg *msg, const char *name)
{
    return strlen(name) == msg->command_len &&
           strncasecmp(msg->command, name, msg->command_len) == 0;
}

enum { COM_STMT_PREPARE = 22 };

/* A statement is prepared once and executed often: a rule without an API means what is executed. */
static bool api_fits(const proxy_rule *rule, const proto_msg *msg)
{
    if (!*rule->spec.api)
        return msg->kind != PROTO_MYSQL || msg->api != COM_STMT_PREPARE;
    if (msg->kind == PROTO_REDIS)
        return same_command(msg, rule->spec.api);
    return rule->api == msg->api;
}

static bool gate_fits(const char *name, proto_kind proto, const proxy_gate *gate)
{
    return proto == gate->proto && (!*name || strcmp(name, gate->name) == 0);
}

bool rule_matches(const proxy_rule *rule, const proxy_conn *conn, const proto_msg *msg)
{
    const proxy_rule_spec *spec = &rule->spec;
    return gate_fits(spec->gate, spec->proto, conn->gate) && api_fits(rule, msg) &&
           text_begins(msg->client.data, msg->client.len, spec->client_id) &&
           (!*spec->topic || proto_names_topic(msg, spec->topic)) &&
           (!*spec->statement || begins_like(msg->text, spec->statement)) &&
           (!*spec->contains ||
            memmem(msg->data, msg->len, spec->contains, strlen(spec->contains))) &&
           (!*spec->param || proto_has_param(msg, spec->param));
}

bool watch_matches(const proxy_watch *watch, const proxy_conn *conn, const proto_msg *msg)
{
    return gate_fits(watch->gate, watch->proto, conn->gate) &&
           (watch->api < 0 || watch->api == msg->api) &&
           (msg->kind != PROTO_REDIS || !*watch->command || same_command(msg, watch->command)) &&
           text_begins(msg->client.data, msg->client.len, watch->client_id) &&
           (!*watch->topic || proto_names_topic(msg, watch->topic)) &&
           (!*watch->contains ||
            memmem(msg->data, msg->len, watch->contains, strlen(watch->contains)));
}

/* A rule that has done all it may is out of the way. */
bool rule_spent(const proxy_rule *rule)
{
    const proxy_rule_spec *spec = &rule->spec;
    return rule->off ||
           (spec->action != PROXY_COUNT && spec->times > 0 && rule->taken >= spec->times);
}

bool rules_want(const proxy_conn *conn, int api)
{
    for (const proxy_rule *rule = conn->proxy->rules; rule; rule = rule->next)
        if (!rule_spent(rule) && gate_fits(rule->spec.gate, rule->spec.proto, conn->gate) &&
            (rule->api < 0 || rule->api == api))
            return true;
    for (const proxy_watch *watch = conn->proxy->watches; watch; watch = watch->next)
        if (gate_fits(watch->gate, watch->proto, conn->gate) &&
            (watch->api < 0 || watch->api == api))
            return true;
    return false;
}
