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

static proxy_toxic *find(const proxy_gate *gate, const char *name)
{
    for (proxy_toxic *t = gate->toxics; t; t = t->next)
        if (strcmp(t->name, name) == 0)
            return t;
    return NULL;
}

static rl_err *set_values(proxy_toxic *t, const proxy_toxic_spec *spec)
{
    const char *const *known = kinds[t->kind].key;
    for (int i = 0; spec->keys && spec->keys[i]; i++) {
        int k = 0;
        while (k < 3 && known[k] && strcmp(known[k], spec->keys[i]) != 0)
            k++;
        if (k == 3 || !known[k])
            return err_lab("ATTRIBUTE", "a %s toxic has no attribute '%s'", kinds[t->kind].name,
                           spec->keys[i]);
        if (spec->values[i] < 0)
            return err_lab("ATTRIBUTE", "%s cannot be negative", spec->keys[i]);
        t->value[k] = spec->values[i];
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

static void toxic_free(proxy_toxic *t)
{
    free(t->name);
    free(t);
}

rl_err *proxy_toxic_add(rl_proxy *proxy, const char *name, const proxy_toxic_spec *spec)
{
    proxy_gate *gate = gate_find(proxy, name);
    if (!gate)
        return gate_unknown(name);
    if (find(gate, spec->name))
        return err_lab("EXISTS", "%s has a toxic '%s' already", name, spec->name);
    int kind = kind_of(spec->type);
    if (kind < 0)
        return no_kind(spec->type);
    proxy_toxic *t = mem_zero(sizeof *t), **end = &gate->toxics;
    t->name = mem_strdup(spec->name);
    t->kind = (proxy_toxic_kind)kind;
    t->dir = spec->dir;
    t->toxicity = spec->toxicity;
    rl_err *err = set_values(t, spec);
    if (err) {
        toxic_free(t);
        return err;
    }
    while (*end)
        end = &(*end)->next;
    *end = t;
    each_stream(gate, t->dir, NULL);
    return NULL;
}

rl_err *proxy_toxic_change(rl_proxy *proxy, const char *name, const char *toxic,
                           const proxy_toxic_spec *spec)
{
    proxy_gate *gate = gate_find(proxy, name);
    if (!gate)
        return gate_unknown(name);
    proxy_toxic *t = find(gate, toxic);
    if (!t)
        return no_toxic(name, toxic);
    if (spec->toxicity >= 0)
        t->toxicity = spec->toxicity;
    return set_values(t, spec);
}

static void take_out(proxy_gate *gate, proxy_toxic *t)
{
    proxy_toxic **at = &gate->toxics;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    each_stream(gate, t->dir, t);
    toxic_free(t);
}

rl_err *proxy_toxic_remove(rl_proxy *proxy, const char *name, const char *toxic)
{
    proxy_gate *gate = gate_find(proxy, name);
    if (!gate)
        return gate_unknown(name);
    proxy_toxic *t = find(gate, toxic);
    if (!t)
        return no_toxic(name, toxic);
    take_out(gate, t);
    return NULL;
}

void toxic_free_all(proxy_gate *gate)
{
    while (gate->toxics)
        take_out(gate, gate->toxics);
}

static cJSON *toxic_document(const proxy_toxic *t)
{
    cJSON *toxic = document_object();
    document_add_text(toxic, "name", t->name);
    document_add_text(toxic, "type", kinds[t->kind].name);
    document_add_text(toxic, "stream", t->dir == PROTO_UP ? "upstream" : "downstream");
    cJSON_AddNumberToObject(toxic, "toxicity", t->toxicity);
    cJSON *attributes = cJSON_AddObjectToObject(toxic, "attributes");
    for (int k = 0; k < 3 && kinds[t->kind].key[k]; k++)
        document_add_int(attributes, kinds[t->kind].key[k], t->value[k]);
    return toxic;
}

cJSON *toxic_list_document(const proxy_gate *gate)
{
    cJSON *list = document_array();
    for (const proxy_toxic *t = gate->toxics; t; t = t->next)
        cJSON_AddItemToArray(list, toxic_document(t));
    return list;
}

rl_err *proxy_toxics_json(const rl_proxy *proxy, const char *name, const char *toxic, rl_buf *out)
{
    const proxy_gate *gate = gate_find(proxy, name);
    if (!gate)
        return gate_unknown(name);
    const proxy_toxic *t = toxic ? find(gate, toxic) : NULL;
    if (toxic && !t)
        return no_toxic(name, toxic);
    document_put(toxic ? toxic_document(t) : toxic_list_document(gate), out);
    return NULL;
}
