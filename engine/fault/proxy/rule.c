/* Rules: which request is meant, what is done to it, and the count of both. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "fault/proxy/internal.h"

/* ---- acting ---- */

static void note(proxy_rule *rule, proxy_conn *conn, const proto_msg *msg)
{
    rule->fired++;
    rule->last_ns = clock_ns();
    buf_reset(&rule->last);
    buf_printf(&rule->last, "\"at\":%lld,\"conn\":%llu", (long long)clock_unix_ms(),
               (unsigned long long)conn->number);
    if (conn->client_id[0]) {
        buf_str(&rule->last, ",\"client_id\":");
        json_put_cstr(&rule->last, conn->client_id);
    }
    proto_describe(msg, &rule->last);
    traffic_note(conn, msg, "rule", rule->spec.owner, rule);
}

static bool rule_takes(proxy_rule *rule)
{
    rule->matched++;
    if (rule->matched < rule->spec.nth)
        return false;
    if (rule->spec.chance < 1 && rng_double(&rule->rng) >= rule->spec.chance)
        return false;
    rule->taken++;
    return true;
}

static proto_verdict black_hole(proxy_conn *conn, proxy_rule *rule, const proto_msg *msg)
{
    conn->stream[PROTO_UP].swallow = conn->stream[PROTO_DOWN].swallow = true;
    conn->black_hole = rule;
    rule->bytes += (int64_t)msg->len;
    return PROTO_STOP;
}

static proto_verdict act(proxy_conn *conn, proxy_rule *rule, const proto_msg *msg,
                         proto_pending *pending)
{
    if (rule->spec.action == PROXY_CUT_AFTER) { /* counted when the response is lost */
        pending->wanted = true;
        pending->rule = rule->id;
        return PROTO_PASS;
    }
    note(rule, conn, msg);
    switch (rule->spec.action) {
    case PROXY_CUT_BEFORE:
        conn_cut(conn);
        return PROTO_STOP;
    case PROXY_DELAY:
        conn_hold(conn, rule, msg, *pending, rule->spec.delay, false);
        return PROTO_STOP;
    case PROXY_HOLD:
        conn_hold(conn, rule, msg, *pending, 0, false);
        return PROTO_STOP;
    case PROXY_LATE:
        conn_hold(conn, rule, msg, *pending, rule->spec.delay, true);
        return PROTO_STOP;
    case PROXY_BLACK_HOLE:
        return black_hole(conn, rule, msg);
    case PROXY_DROP:
        rule->bytes += (int64_t)msg->len;
        return PROTO_DROP;
    case PROXY_DUPLICATE:
        return PROTO_TWICE;
    case PROXY_ERROR:
        conn->failure = (proto_failure){rule->spec.code, rule->spec.error};
        return PROTO_ERROR;
    default:
        return PROTO_PASS;
    }
}

proto_verdict rules_on_request(proxy_conn *conn, const proto_msg *msg, proto_pending *pending)
{
    proto_verdict verdict = PROTO_PASS;
    bool acted = false;
    for (proxy_rule *rule = conn->proxy->rules; rule; rule = rule->next) {
        if (rule_spent(rule) || !rule_matches(rule, conn, msg))
            continue;
        if (rule->spec.action == PROXY_COUNT) {
            rule->matched++;
        } else if (acted) {
            rule->matched++;
        } else if (rule_takes(rule)) {
            acted = true;
            verdict = act(conn, rule, msg, pending);
        }
        if (conn->closing)
            return PROTO_STOP;
    }
    return verdict;
}

static proxy_rule *rule_find(const rl_proxy *proxy, int64_t id)
{
    for (proxy_rule *rule = proxy->rules; rule; rule = rule->next)
        if (rule->id == id)
            return rule;
    return NULL;
}

proto_verdict rules_on_response(proxy_conn *conn, const proto_msg *msg,
                                const proto_pending *pending)
{
    proxy_rule *rule = pending->rule ? rule_find(conn->proxy, pending->rule) : NULL;
    if (!rule)
        return conn->client_gone ? PROTO_DROP : PROTO_PASS;
    note(rule, conn, msg);
    conn_cut(conn);
    return PROTO_STOP;
}

/* ---- held requests ---- */

/* Those that are held now: what a release lets through may be held again. */
static int64_t release_all(proxy_rule *rule, bool late_too)
{
    int64_t n = 0, count = 0, released = 0;
    for (proxy_held *held = rule->held; held; held = held->next)
        count++;
    proxy_conn **conns = mem_alloc((size_t)(count + 1) * sizeof *conns);
    for (proxy_held *held = rule->held; held; held = held->next)
        conns[n++] = held->conn;
    for (int64_t i = 0; i < count; i++) {
        if (conns[i]->held && conns[i]->held->late && !late_too)
            conn_cut(conns[i]);
        else
            released += conn_release(conns[i]);
    }
    free(conns);
    return released;
}

static rl_err *no_rule(int64_t id)
{
    return err_lab("NO_RULE", "there is no rule %lld", (long long)id);
}

rl_err *proxy_rule_release(rl_proxy *proxy, int64_t id, int64_t *released)
{
    proxy_rule *rule = rule_find(proxy, id);
    if (!rule)
        return no_rule(id);
    *released = release_all(rule, true);
    return NULL;
}

/* ---- the list ---- */

static void take_texts(proxy_rule_spec *spec)
{
    const char **texts[] = {&spec->owner,     &spec->gate,  &spec->api,
                            &spec->client_id, &spec->topic, &spec->statement,
                            &spec->contains,  &spec->param, &spec->error};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = mem_strdup(*texts[i] ? *texts[i] : "");
}

void rule_free(proxy_rule *rule)
{
    const proxy_rule_spec *spec = &rule->spec;
    const char *texts[] = {spec->owner,     spec->gate,  spec->api,
                           spec->client_id, spec->topic, spec->statement,
                           spec->contains,  spec->param, spec->error};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free((char *)texts[i]);
    buf_free(&rule->last);
    free(rule);
}

static rl_err *check_rule(const proxy_rule_spec *spec, int *api)
{
    rl_err *err = proto_find(spec->proto, spec->api, api);
    if (err)
        return err;
    if (spec->proto == PROTO_TCP)
        return err_lab("ACTION", "rules need a protocol: kafka, mysql or redis");
    if (spec->action == PROXY_ERROR && (*api < 0 || !proto_can_fail(spec->proto, *api)) &&
        spec->proto == PROTO_KAFKA)
        return err_lab("ACTION", "no error reply can be made for %s",
                       *spec->api ? spec->api : "every API: name one");
    if (spec->action == PROXY_DUPLICATE && spec->proto == PROTO_MYSQL)
        return err_lab("ACTION", "duplicate is not possible for mysql");
    return NULL;
}

/* What a rule's numbers become on the way: nanoseconds, an int16 of Kafka, an uint16 of MySQL. */
static rl_err *check_limits(const rl_proxy *proxy, const proxy_rule_spec *spec)
{
    int rules = 0;
    for (const proxy_rule *rule = proxy->rules; rule; rule = rule->next)
        rules++;
    if (rules >= RULES_MAX)
        return err_lab("LIMIT", "there are %d rules already", rules);
    if (!(spec->delay >= 0 && spec->delay <= RULE_DELAY_MAX))
        return err_lab("LIMIT", "a delay is at most %d s", RULE_DELAY_MAX);
    if (spec->code < INT16_MIN ||
        spec->code > (spec->proto == PROTO_KAFKA ? INT16_MAX : UINT16_MAX))
        return err_lab("LIMIT", "%s has no error code %d", proto_name(spec->proto), spec->code);
    if (spec->error && strlen(spec->error) > RULE_ERROR_MAX)
        return err_lab("LIMIT", "the text of an error has at most %d bytes", RULE_ERROR_MAX);
    return NULL;
}

rl_err *proxy_rule_add(rl_proxy *proxy, const proxy_rule_spec *spec, int64_t *id)
{
    int api;
    rl_assert(spec->nth >= 1 && spec->chance >= 0 && spec->chance <= 1);
    rl_err *err = check_rule(spec, &api);
    if (!err)
        err = check_limits(proxy, spec);
    if (err)
        return err;
    proxy_rule *rule = mem_zero(sizeof *rule), **end = &proxy->rules;
    rule->spec = *spec;
    take_texts(&rule->spec);
    rule->api = spec->proto == PROTO_REDIS ? -1 : api;
    rule->id = *id = ++proxy->next_rule;
    rl_buf label = {0};
    buf_printf(&label, "rule %s %s", spec->owner, spec->api);
    rng_split(&proxy->rng, label.data, label.len, &rule->rng);
    buf_free(&label);
    while (*end)
        end = &(*end)->next;
    *end = rule;
    return NULL;
}

/* What was swallowed cannot be given back: those connections end, so that the other side makes
 * new ones. */
static void forget_black_holes(rl_proxy *proxy, const proxy_rule *rule)
{
    for (proxy_gate *gate = proxy->gates; gate; gate = gate->next)
        for (proxy_conn *conn = gate->conns, *next; conn; conn = next) {
            next = conn->next;
            if (conn->black_hole != rule)
                continue;
            conn->black_hole = NULL;
            conn_cut(conn);
        }
}

rl_err *proxy_rule_remove(rl_proxy *proxy, int64_t id)
{
    proxy_rule *rule = rule_find(proxy, id), **at = &proxy->rules;
    if (!rule)
        return no_rule(id);
    rule->off = true;
    release_all(rule, false);
    forget_black_holes(proxy, rule);
    while (*at != rule)
        at = &(*at)->next;
    *at = rule->next;
    rule_free(rule);
    return NULL;
}

/* ---- as JSON ---- */

static void put_word(rl_buf *out, const char *key, const char *text)
{
    if (!*text)
        return;
    buf_printf(out, ",\"%s\":", key);
    json_put_cstr(out, text);
}

static void put_spec(const proxy_rule_spec *spec, rl_buf *out)
{
    buf_printf(out, ",\"proto\":\"%s\",\"action\":\"%s\"", proto_name(spec->proto),
               proxy_action_name(spec->action));
    put_word(out, "owner", spec->owner);
    put_word(out, "proxy", spec->gate);
    put_word(out, "api", spec->api);
    put_word(out, "client_id", spec->client_id);
    put_word(out, "topic", spec->topic);
    put_word(out, "statement", spec->statement);
    put_word(out, "contains", spec->contains);
    put_word(out, "param", spec->param);
    buf_printf(out, ",\"nth\":%lld,\"times\":%lld,\"chance\":", (long long)spec->nth,
               (long long)spec->times);
    json_put_float(out, spec->chance);
    if (spec->delay > 0) {
        buf_str(out, ",\"delay\":");
        json_put_float(out, spec->delay);
    }
    if (spec->action == PROXY_ERROR) {
        buf_printf(out, ",\"code\":%d", spec->code);
        put_word(out, "error", spec->error);
    }
}

static void rule_json(const proxy_rule *rule, rl_buf *out)
{
    int held = 0;
    for (const proxy_held *one = rule->held; one; one = one->next)
        held++;
    buf_printf(out, "{\"id\":%lld", (long long)rule->id);
    put_spec(&rule->spec, out);
    buf_printf(out, ",\"matched\":%lld,\"fired\":%lld,\"held\":%d,\"released\":%lld,\"bytes\":%lld",
               (long long)rule->matched, (long long)rule->fired, held, (long long)rule->released,
               (long long)rule->bytes);
    if (rule->fired) {
        buf_printf(out, ",\"last\":{\"ns\":%lld,", (long long)rule->last_ns);
        buf_add(out, rule->last.data, rule->last.len);
        buf_u8(out, '}');
    }
    buf_u8(out, '}');
}

rl_err *proxy_rules_json(const rl_proxy *proxy, int64_t id, rl_buf *out)
{
    if (id) {
        const proxy_rule *rule = rule_find(proxy, id);
        if (!rule)
            return no_rule(id);
        rule_json(rule, out);
        return NULL;
    }
    buf_u8(out, '[');
    for (const proxy_rule *rule = proxy->rules; rule; rule = rule->next) {
        if (rule != proxy->rules)
            buf_u8(out, ',');
        rule_json(rule, out);
    }
    buf_u8(out, ']');
    return NULL;
}
