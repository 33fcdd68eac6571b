/* Toxics: Toxiproxy's disturbances. Each is a queue in which chunks wait until they are due, or
 * end the connection. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/units.h"
#include "fault/proxy/internal.h"

enum { MS = 1000000, SLICES_PER_S = 10 };

static const struct {
    const char *name;
    const char *key[3];
} kinds[] = {
#define TOXIC(id, name, a, b, c) {name, {a, b, c}},
    PROXY_TOXICS(TOXIC)
#undef TOXIC
};

/* ---- stages ---- */

static void enqueue(proxy_stream *st, proxy_stage *stage, proxy_chunk *chunk, int64_t due)
{
    chunk->next = NULL;
    chunk->due = stage->last && stage->last->due > due ? stage->last->due : due;
    if (stage->last)
        stage->last->next = chunk;
    else
        stage->first = chunk;
    stage->last = chunk;
    st->staged += chunk->len - chunk->from;
}

static proxy_chunk *dequeue(proxy_stream *st, proxy_stage *stage)
{
    proxy_chunk *chunk = stage->first;
    stage->first = chunk->next;
    if (!stage->first)
        stage->last = NULL;
    st->staged -= chunk->len - chunk->from;
    return chunk;
}

static proxy_chunk *cut_off(proxy_chunk *chunk, size_t n)
{
    proxy_chunk *piece = mem_alloc(sizeof *piece + n);
    *piece = (proxy_chunk){.at = chunk->at, .len = n};
    memcpy(piece->data, chunk->data + chunk->from, n);
    chunk->from += n;
    return piece;
}

static int64_t around(rl_rng *rng, int64_t middle, int64_t spread)
{
    if (spread <= 0)
        return middle;
    return middle - spread + (int64_t)rng_below(rng, (uint64_t)(2 * spread + 1));
}

static void push_latency(proxy_stream *st, proxy_stage *s, proxy_chunk *chunk)
{
    int64_t ms = around(&s->rng, s->toxic->value[0], s->toxic->value[1]);
    enqueue(st, s, chunk, chunk->eof || ms <= 0 ? chunk->at : chunk->at + ms * MS);
}

/* rate: KB/s, in pieces of a tenth of a second; 0 lets nothing through. */
static void push_bandwidth(proxy_stream *st, proxy_stage *s, proxy_chunk *chunk)
{
    int64_t rate = s->toxic->value[0] * 1000;
    if (chunk->eof) {
        enqueue(st, s, chunk, s->busy_until);
        return;
    }
    size_t most = rate / SLICES_PER_S > 1 ? (size_t)(rate / SLICES_PER_S) : 1;
    if (s->busy_until < chunk->at)
        s->busy_until = chunk->at;
    while (chunk->from < chunk->len) {
        size_t left = chunk->len - chunk->from, n = left < most ? left : most;
        s->busy_until =
            rate > 0 ? s->busy_until + (int64_t)((double)n * 1e9 / (double)rate) : INT64_MAX / 2;
        enqueue(st, s, cut_off(chunk, n), s->busy_until);
    }
    free(chunk);
}

static void push_slicer(proxy_stream *st, proxy_stage *s, proxy_chunk *chunk)
{
    int64_t due = chunk->at;
    while (!chunk->eof && chunk->from < chunk->len) {
        int64_t n = around(&s->rng, s->toxic->value[0], s->toxic->value[1]);
        size_t left = chunk->len - chunk->from;
        enqueue(st, s, cut_off(chunk, n < 1 ? 1 : (size_t)n < left ? (size_t)n : left), due);
        due += s->toxic->value[2] * 1000;
    }
    if (chunk->eof)
        enqueue(st, s, chunk, due);
    else
        free(chunk);
}

static void push_limit(proxy_stream *st, proxy_stage *s, proxy_chunk *chunk)
{
    int64_t left = s->toxic->value[0] - s->passed;
    if (chunk->eof) {
        enqueue(st, s, chunk, chunk->at);
        return;
    }
    size_t n =
        chunk->len < (size_t)(left > 0 ? left : 0) ? chunk->len : (size_t)(left > 0 ? left : 0);
    s->passed += (int64_t)n;
    if (n)
        enqueue(st, s, cut_off(chunk, n), chunk->at);
    free(chunk);
    if (s->passed >= s->toxic->value[0])
        s->due = 1; /* the end, as soon as what is queued here is through */
}

/* The sink is not told of the end; the connection goes when both sides have left, or when the
 * toxic says so. */
static void keep_end(proxy_stream *st)
{
    st->deaf = true;
    if (st->conn->stream[!st->dir].eof)
        conn_cut(st->conn);
}

void stage_push(proxy_stream *st, proxy_stage *s, proxy_chunk *chunk)
{
    switch (s->toxic ? s->toxic->kind : PROXY_TOXIC_KINDS) {
    case PROXY_LATENCY:
        push_latency(st, s, chunk);
        break;
    case PROXY_BANDWIDTH:
        push_bandwidth(st, s, chunk);
        break;
    case PROXY_SLICER:
        push_slicer(st, s, chunk);
        break;
    case PROXY_LIMIT_DATA:
        push_limit(st, s, chunk);
        break;
    case PROXY_TIMEOUT:
    case PROXY_RESET_PEER: /* nothing passes any more */
        if (chunk->eof)
            keep_end(st);
        free(chunk);
        break;
    case PROXY_SLOW_CLOSE:
        enqueue(st, s, chunk, chunk->at + (chunk->eof ? s->toxic->value[0] * MS : 0));
        break;
    default:
        enqueue(st, s, chunk, chunk->at);
    }
}

static void pass_on(proxy_stream *st, proxy_stage *s, proxy_chunk *chunk)
{
    if (s->next) {
        chunk->at = chunk->due;
        stage_push(st, s->next, chunk);
        return;
    }
    if (chunk->eof)
        stream_end(st);
    else
        stream_deliver(st, chunk->data + chunk->from, chunk->len - chunk->from);
    free(chunk);
}

static void stage_over(proxy_stream *st, const proxy_stage *s)
{
    if (s->toxic->kind == PROXY_RESET_PEER) {
        conn_reset(st->conn);
    } else if (s->toxic->kind == PROXY_LIMIT_DATA && st->unsent) {
        st->cut_when_sent = true;
    } else {
        conn_cut(st->conn);
    }
}

void stage_tick(proxy_stream *st)
{
    int64_t now = clock_ns();
    for (proxy_stage *s = st->stages; s && !st->conn->closing; s = s->next) {
        while (s->first && (s->first->due <= now || !s->toxic) && !st->conn->closing)
            pass_on(st, s, dequeue(st, s));
        if (s->due && s->due <= now && !s->first && !st->conn->closing)
            stage_over(st, s);
    }
}

int64_t stage_due(const proxy_stream *st)
{
    int64_t due = INT64_MAX;
    for (const proxy_stage *s = st->stages; s; s = s->next) {
        if (s->first && s->first->due < due)
            due = s->first->due;
        if (s->due > 1 && s->due < due)
            due = s->due;
    }
    return due;
}

static void stage_free(proxy_stage *s)
{
    while (s->first) {
        proxy_chunk *chunk = s->first;
        s->first = chunk->next;
        free(chunk);
    }
    free(s);
}

void stage_free_all(proxy_stream *st)
{
    while (st->stages) {
        proxy_stage *s = st->stages;
        st->stages = s->next;
        stage_free(s);
    }
}

/* Toxicity is drawn for each connection and toxic from the seed, the toxic's name and the
 * connection's number: not by who comes first. */
static bool struck(const proxy_stream *st, const proxy_toxic *toxic, rl_rng *rng)
{
    const proxy_conn *conn = st->conn;
    rl_buf label = {0};
    buf_printf(&label, "%s/%s/%llu", conn->gate->name, toxic->name,
               (unsigned long long)(conn->number));
    rng_split(&conn->proxy->rng, label.data, label.len, rng);
    buf_free(&label);
    return rng_double(rng) < toxic->toxicity;
}

static proxy_stage *stage_of(const proxy_stream *st, const proxy_toxic *toxic)
{
    for (proxy_stage *s = st->stages; s; s = s->next)
        if (s->toxic == toxic)
            return s;
    return NULL;
}

static void add_stage(proxy_stream *st, const proxy_toxic *toxic)
{
    rl_rng rng;
    if (!struck(st, toxic, &rng))
        return;
    proxy_stage *s = mem_zero(sizeof *s), **end = &st->stages;
    s->toxic = toxic;
    s->rng = rng;
    bool ends =
        toxic->kind == PROXY_TIMEOUT ? toxic->value[0] > 0 : toxic->kind == PROXY_RESET_PEER;
    s->due = ends ? clock_ns() + toxic->value[0] * MS + 2 : 0;
    while (*end)
        end = &(*end)->next;
    *end = s;
}

void stage_attach(proxy_stream *st)
{
    for (const proxy_toxic *t = st->conn->gate->toxics; t; t = t->next)
        if (t->dir == st->dir && !stage_of(st, t))
            add_stage(st, t);
}

/* A toxic that goes lets its chunks go at once; the one that kept everything leaves nothing to
 * go on with, so the connection ends. */
static void detach(proxy_stream *st, const proxy_toxic *toxic)
{
    proxy_stage *s = stage_of(st, toxic), **at = &st->stages;
    if (!s)
        return;
    if (toxic->kind == PROXY_TIMEOUT || toxic->kind == PROXY_RESET_PEER) {
        conn_cut(st->conn);
        return;
    }
    s->toxic = NULL;
    s->due = 0;
    stage_tick(st);
    if (st->conn->closing)
        return;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    stage_free(s);
    conn_schedule(st->conn);
    stream_flow(st);
}

/* ---- the list of a gate ---- */

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

static rl_err *no_gate(const char *name)
{
    return err_lab("NO_PROXY", "there is no proxy '%s'", name);
}

static void each_stream(proxy_gate *gate, proto_dir dir, const proxy_toxic *gone)
{
    for (proxy_conn *conn = gate->conns, *next; conn; conn = next) {
        next = conn->next;
        if (gone)
            detach(&conn->stream[dir], gone);
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
        return no_gate(name);
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
        return no_gate(name);
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
        return no_gate(name);
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

static void toxic_json(const proxy_toxic *t, rl_buf *out)
{
    buf_str(out, "{\"name\":");
    json_put_cstr(out, t->name);
    buf_printf(out, ",\"type\":\"%s\",\"stream\":\"%s\",\"toxicity\":", kinds[t->kind].name,
               t->dir == PROTO_UP ? "upstream" : "downstream");
    json_put_float(out, t->toxicity);
    buf_str(out, ",\"attributes\":{");
    for (int k = 0; k < 3 && kinds[t->kind].key[k]; k++)
        buf_printf(out, "%s\"%s\":%lld", k ? "," : "", kinds[t->kind].key[k],
                   (long long)t->value[k]);
    buf_str(out, "}}");
}

void toxic_list_json(const proxy_gate *gate, rl_buf *out)
{
    buf_u8(out, '[');
    for (const proxy_toxic *t = gate->toxics; t; t = t->next) {
        if (t != gate->toxics)
            buf_u8(out, ',');
        toxic_json(t, out);
    }
    buf_u8(out, ']');
}

rl_err *proxy_toxics_json(const rl_proxy *proxy, const char *name, const char *toxic, rl_buf *out)
{
    const proxy_gate *gate = gate_find(proxy, name);
    if (!gate)
        return no_gate(name);
    if (!toxic) {
        toxic_list_json(gate, out);
        return NULL;
    }
    const proxy_toxic *t = find(gate, toxic);
    if (!t)
        return no_toxic(name, toxic);
    toxic_json(t, out);
    return NULL;
}
