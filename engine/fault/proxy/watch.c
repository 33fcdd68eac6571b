/* The wire log: what watches asked for, as JSON rows in a bounded ring. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "fault/proxy/internal.h"

enum { ROWS_MAX = 1 << 17, BYTES_MAX = 64 << 20 };

static void drop_first(rl_proxy *proxy)
{
    traffic_row *row = &proxy->rows[proxy->rows_first];
    proxy->rows_bytes -= row->len;
    free(row->text);
    proxy->rows_first = (proxy->rows_first + 1) % ROWS_MAX;
    proxy->rows_count--;
}

void traffic_free(rl_proxy *proxy)
{
    while (proxy->rows_count)
        drop_first(proxy);
    free(proxy->rows);
}

static void add_row(rl_proxy *proxy, const proxy_conn *conn, const char *owner, rl_buf *text)
{
    if (!proxy->rows)
        proxy->rows = mem_zero(ROWS_MAX * sizeof *proxy->rows);
    while (proxy->rows_count == ROWS_MAX ||
           (proxy->rows_count && proxy->rows_bytes + text->len > BYTES_MAX))
        drop_first(proxy);
    traffic_row *row = &proxy->rows[(proxy->rows_first + proxy->rows_count++) % ROWS_MAX];
    row->number = proxy->rows_next++;
    row->text = text->data;
    row->len = text->len;
    proxy->rows_bytes += text->len;
    snprintf(row->owner, sizeof row->owner, "%s", owner);
    snprintf(row->gate, sizeof row->gate, "%s", conn->gate->name);
}

static void begin(proxy_conn *conn, const char *direction, rl_buf *out)
{
    buf_printf(out, "{\"n\":%llu,\"time\":%lld,\"ns\":%lld,\"conn\":%llu,\"direction\":\"%s\"",
               (unsigned long long)conn->proxy->rows_next, (long long)clock_unix_ms(),
               (long long)clock_ns(), (unsigned long long)conn->number, direction);
    buf_str(out, ",\"proxy\":");
    json_put_cstr(out, conn->gate->name);
    if (conn->client_id[0]) {
        buf_str(out, ",\"client_id\":");
        json_put_cstr(out, conn->client_id);
    }
}

static void put_rule(const proxy_rule *rule, rl_buf *out)
{
    if (!rule)
        return;
    buf_printf(out, ",\"rule\":%lld,\"action\":\"%s\"", (long long)rule->id,
               proxy_action_name(rule->spec.action));
}

void traffic_note(proxy_conn *conn, const proto_msg *msg, const char *direction, const char *owner,
                  const proxy_rule *rule)
{
    rl_buf text = {0};
    begin(conn, direction, &text);
    put_rule(rule, &text);
    buf_printf(&text, ",\"bytes\":%zu", msg->len);
    proto_describe(msg, &text);
    buf_u8(&text, '}');
    add_row(conn->proxy, conn, owner, &text);
}

void traffic_event(proxy_conn *conn, const char *what, const proxy_rule *rule)
{
    rl_buf text = {0};
    begin(conn, "event", &text);
    put_rule(rule, &text);
    buf_str(&text, ",\"what\":");
    json_put_cstr(&text, what);
    buf_u8(&text, '}');
    add_row(conn->proxy, conn, rule ? rule->spec.owner : "", &text);
}

/* ---- watches ---- */

rl_err *proxy_watch_add(rl_proxy *proxy, const proxy_watch_spec *spec, int64_t *id)
{
    int api;
    if (spec->proto == PROTO_TCP)
        return err_lab("API", "a wire log needs a protocol: kafka, mysql or redis");
    rl_err *err = proto_find(spec->proto, spec->api, &api);
    if (err)
        return err;
    proxy_watch *watch = mem_zero(sizeof *watch);
    watch->owner = mem_strdup(spec->owner);
    watch->gate = mem_strdup(spec->gate);
    watch->client_id = mem_strdup(spec->client_id);
    watch->topic = mem_strdup(spec->topic);
    watch->contains = mem_strdup(spec->contains);
    watch->command = mem_strdup(spec->api);
    watch->proto = spec->proto;
    watch->api = spec->proto == PROTO_REDIS ? -1 : api;
    watch->id = *id = ++proxy->next_watch;
    watch->next = proxy->watches;
    proxy->watches = watch;
    return NULL;
}

void watch_free(proxy_watch *watch)
{
    free(watch->owner);
    free(watch->gate);
    free(watch->client_id);
    free(watch->topic);
    free(watch->contains);
    free(watch->command);
    free(watch);
}

rl_err *proxy_watch_remove(rl_proxy *proxy, int64_t id)
{
    for (proxy_watch **at = &proxy->watches; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            proxy_watch *watch = *at;
            *at = watch->next;
            watch_free(watch);
            return NULL;
        }
    return err_lab("NO_WATCH", "there is no watch %lld", (long long)id);
}

/* ---- what they see ---- */

static proxy_watch *watch_find(const rl_proxy *proxy, int64_t id)
{
    for (proxy_watch *watch = proxy->watches; watch; watch = watch->next)
        if (watch->id == id)
            return watch;
    return NULL;
}

static bool noted_for(const proxy_conn *conn, const proto_pending *pending, int n,
                      const char *owner)
{
    for (int i = 0; i < n; i++)
        if (strcmp(watch_find(conn->proxy, pending->watch[i])->owner, owner) == 0)
            return true;
    return false;
}

void watches_on_request(proxy_conn *conn, const proto_msg *msg, proto_pending *pending)
{
    enum { OWNERS = sizeof pending->watch / sizeof *pending->watch };
    int n = 0;
    for (const proxy_watch *watch = conn->proxy->watches; watch && n < OWNERS; watch = watch->next)
        if (watch_matches(watch, conn, msg) && !noted_for(conn, pending, n, watch->owner)) {
            traffic_note(conn, msg, "request", watch->owner, NULL);
            pending->watch[n++] = watch->id;
            pending->wanted = true;
        }
}

void watches_on_response(proxy_conn *conn, const proto_msg *msg, const proto_pending *pending)
{
    for (size_t i = 0; i < sizeof pending->watch / sizeof *pending->watch; i++) {
        const proxy_watch *watch = watch_find(conn->proxy, pending->watch[i]);
        if (watch)
            traffic_note(conn, msg, conn->client_gone ? "late response" : "response", watch->owner,
                         NULL);
    }
}

/* Rows above `since` that had no room any more. What went before it is nobody's loss: a stack that
 * is up for long has no room for all of what former runs noted. */
static uint64_t lost_since(const rl_proxy *proxy, uint64_t since)
{
    uint64_t oldest = proxy->rows_count ? proxy->rows[proxy->rows_first].number : proxy->rows_next;
    return oldest - 1 > since ? oldest - 1 - since : 0;
}

void proxy_traffic_json(const rl_proxy *proxy, uint64_t since, const char *owner, const char *gate,
                        rl_buf *out)
{
    buf_printf(out, "{\"next\":%llu,\"dropped\":%llu,\"rows\":[",
               (unsigned long long)proxy->rows_next - 1,
               (unsigned long long)lost_since(proxy, since));
    bool first = true;
    for (size_t i = 0; i < proxy->rows_count; i++) {
        const traffic_row *row = &proxy->rows[(proxy->rows_first + i) % ROWS_MAX];
        if (row->number <= since || (*owner && strcmp(row->owner, owner) != 0) ||
            (*gate && strncmp(row->gate, gate, sizeof row->gate - 1) != 0))
            continue;
        if (!first)
            buf_u8(out, ',');
        first = false;
        buf_add(out, row->text, row->len);
    }
    buf_str(out, "]}");
}
