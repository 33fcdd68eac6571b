/* The toxics of a gate: added, changed, removed, and as JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/document.h"
#include "base/units.h"
#include "fault/proxy/internal.h"

static const struct {
    const char *name;
    const char *key[3];
} kinds[] = {
#define TOXIC(id, name, a, b, c) {name, {a, b, c}},
    PROXY_TOXICS(TOXIC)
#undef TOXIC
};

static proxy_toxic *toxic_find(const proxy_gate *gate, const char *name)
{
    for (proxy_toxic *toxic = gate->toxics; toxic; toxic = toxic->next)
        if (strcmp(toxic->name, name) == 0)
            return toxic;
    return NULL;
}

static rl_err *set_values(proxy_toxic *toxic, const proxy_toxic_spec *spec)
{
    const char *const *known = kinds[toxic->kind].key;
    for (int i = 0; spec->keys && spec->keys[i]; i++) {
        int k = 0;
        while (k < 3 && known[k] && strcmp(known[k], spec->keys[i]) != 0)
            k++;
        if (k == 3 || !known[k])
            return err_lab("ATTRIBUTE", "a %s toxic has no attribute '%s'", kinds[toxic->kind].name,
                           spec->keys[i]);
        if (spec->values[i] < 0)
            return err_lab("ATTRIBUTE", "%s cannot be negative", spec->keys[i]);
        if (spec->values[i] > TOXIC_VALUE_MAX)
            return err_lab("ATTRIBUTE", "%s is at most %lld", spec->keys[i],
                           (long long)TOXIC_VALUE_MAX);
        toxic->value[k] = spec->values[i];
    }
    return NULL;
}

static int kind_of(const char *type)
{
    for (int i = 0; i < PROXY_TOXIC_KINDS; i++)
        if (strcmp(kinds[i].name, type) == 0)
            return i;
    return -1;
}

static rl_err *no_kind(const char *type)
{
    const char *names[PROXY_TOXIC_KINDS + 1] = {NULL};
    for (int i = 0; i < PROXY_TOXIC_KINDS; i++)
        names[i] = kinds[i].name;
    const char *near = units_nearest(type, names);
    return err_lab("TYPE", "no toxic of type '%s'%s%s%s", type, near ? ", did you mean '" : "",
                   near ? near : "", near ? "'?" : "");
}

static rl_err *no_toxic(const char *gate, const char *name)
{
    return err_lab("NO_TOXIC", "%s has no toxic '%s'", gate, name);
}

static void each_stream(proxy_gate *gate, proto_dir dir, const proxy_toxic *gone)
{
    for (proxy_conn *conn = gate->conns, *next; conn; conn = next) {
        next = conn->next;
        if (gone)
            stage_detach(&conn->stream[dir], gone);
        else if (conn->connected)
            stage_attach(&conn->stream[dir]);
        conn_schedule(conn);
    }
}

static void toxic_free(proxy_toxic *toxic)
{
    free(toxic->name);
    free(toxic);
}

rl_err *proxy_toxic_add(rl_proxy *proxy, const char *gate_name, const proxy_toxic_spec *spec)
{
    proxy_gate *gate = gate_find(proxy, gate_name);
    if (!gate)
        return gate_unknown(gate_name);
    int kind = kind_of(spec->type);
    if (kind < 0)
        return no_kind(spec->type);
    rl_err *refused = name_refused("toxic", spec->name);
    if (refused)
        return refused;
    if (toxic_find(gate, spec->name))
        return err_lab("TOXIC_EXISTS", "%s has a toxic '%s' already", gate_name, spec->name);
    proxy_toxic *toxic = mem_zero(sizeof *toxic), **end = &gate->toxics;
    toxic->name = mem_strdup(spec->name);
    toxic->kind = (proxy_toxic_kind)kind;
    toxic->dir = spec->dir;
    toxic->toxicity = spec->toxicity;
    rl_err *err = set_values(toxic, spec);
    if (err) {
        toxic_free(toxic);
        return err;
    }
    while (*end && (toxic->dir != PROTO_UP || (*end)->dir == PROTO_UP)) /* upstream's come first */
        end = &(*end)->next;
    toxic->next = *end;
    *end = toxic;
    each_stream(gate, toxic->dir, NULL);
    return NULL;
}

rl_err *proxy_toxic_change(rl_proxy *proxy, const char *gate_name, const char *name,
                           const proxy_toxic_spec *spec)
{
    proxy_gate *gate = gate_find(proxy, gate_name);
    if (!gate)
        return gate_unknown(gate_name);
    proxy_toxic *toxic = toxic_find(gate, name);
    if (!toxic)
        return no_toxic(gate_name, name);
    if (spec->toxicity >= 0)
        toxic->toxicity = spec->toxicity;
    return set_values(toxic, spec);
}

static void take_out(proxy_gate *gate, proxy_toxic *toxic)
{
    proxy_toxic **at = &gate->toxics;
    while (*at != toxic)
        at = &(*at)->next;
    *at = toxic->next;
    each_stream(gate, toxic->dir, toxic);
    toxic_free(toxic);
}

rl_err *proxy_toxic_remove(rl_proxy *proxy, const char *gate_name, const char *name)
{
    proxy_gate *gate = gate_find(proxy, gate_name);
    if (!gate)
        return gate_unknown(gate_name);
    proxy_toxic *toxic = toxic_find(gate, name);
    if (!toxic)
        return no_toxic(gate_name, name);
    take_out(gate, toxic);
    return NULL;
}

void toxic_free_all(proxy_gate *gate)
{
    while (gate->toxics)
        take_out(gate, gate->toxics);
}

static cJSON *toxic_document(const proxy_toxic *toxic)
{
    cJSON *document = document_object();
    document_add_text(document, "name", toxic->name);
    document_add_text(document, "type", kinds[toxic->kind].name);
    document_add_text(document, "stream", toxic->dir == PROTO_UP ? "upstream" : "downstream");
    cJSON_AddNumberToObject(document, "toxicity", toxic->toxicity);
    cJSON *attributes = cJSON_AddObjectToObject(document, "attributes");
    for (int k = 0; k < 3 && kinds[toxic->kind].key[k]; k++)
        document_add_int(attributes, kinds[toxic->kind].key[k], toxic->value[k]);
    return document;
}

cJSON *toxic_list_document(const proxy_gate *gate)
{
    cJSON *list = document_array();
    for (const proxy_toxic *toxic = gate->toxics; toxic; toxic = toxic->next)
        cJSON_AddItemToArray(list, toxic_document(toxic));
    return list;
}

rl_err *proxy_toxics_json(const rl_proxy *proxy, const char *gate_name, const char *name,
                          rl_buf *out)
{
    const proxy_gate *gate = gate_find(proxy, gate_name);
    if (!gate)
        return gate_unknown(gate_name);
    const proxy_toxic *toxic = name ? toxic_find(gate, name) : NULL;
    if (name && !toxic)
        return no_toxic(gate_name, name);
    document_put(toxic ? toxic_document(toxic) : toxic_list_document(gate), out);
    return NULL;
}
