/* Toxics at work: Toxiproxy's disturbances. Each is a queue in which chunks wait until they are
 * due, or ends the connection. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fault/proxy/internal.h"

enum { MS = 1000000, SLICES_PER_S = 10 };

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

static void push_latency(proxy_stream *st, proxy_stage *stage, proxy_chunk *chunk)
{
    int64_t ms = around(&stage->rng, stage->toxic->value[0], stage->toxic->value[1]);
    stage_put(st, stage, chunk, chunk->eof || ms <= 0 ? chunk->at : chunk->at + ms * MS);
}

/* rate: KB/s, in pieces of a tenth of a second; 0 lets nothing through. */
static void push_bandwidth(proxy_stream *st, proxy_stage *stage, proxy_chunk *chunk)
{
    int64_t rate = stage->toxic->value[0] * 1000;
    if (chunk->eof) {
        stage_put(st, stage, chunk, stage->busy_until);
        return;
    }
    size_t most = rate / SLICES_PER_S > 1 ? (size_t)(rate / SLICES_PER_S) : 1;
    if (stage->busy_until < chunk->at)
        stage->busy_until = chunk->at;
    while (chunk->from < chunk->len) {
        size_t left = chunk->len - chunk->from, n = left < most ? left : most;
        stage->busy_until = rate > 0 ? stage->busy_until + (int64_t)((double)n * 1e9 / (double)rate)
                                     : INT64_MAX / 2;
        stage_put(st, stage, cut_off(chunk, n), stage->busy_until);
    }
    free(chunk);
}

static void push_slicer(proxy_stream *st, proxy_stage *stage, proxy_chunk *chunk)
{
    int64_t due = chunk->at;
    while (!chunk->eof && chunk->from < chunk->len) {
        int64_t n = around(&stage->rng, stage->toxic->value[0], stage->toxic->value[1]);
        size_t left = chunk->len - chunk->from;
        stage_put(st, stage, cut_off(chunk, n < 1 ? 1 : (size_t)n < left ? (size_t)n : left), due);
        due = due < INT64_MAX / 2 ? due + stage->toxic->value[2] * 1000 : due;
    }
    if (chunk->eof)
        stage_put(st, stage, chunk, due);
    else
        free(chunk);
}

static void push_limit(proxy_stream *st, proxy_stage *stage, proxy_chunk *chunk)
{
    int64_t left = stage->toxic->value[0] - stage->passed;
    if (chunk->eof) {
        stage_put(st, stage, chunk, chunk->at);
        return;
    }
    size_t n =
        chunk->len < (size_t)(left > 0 ? left : 0) ? chunk->len : (size_t)(left > 0 ? left : 0);
    stage->passed += (int64_t)n;
    if (n)
        stage_put(st, stage, cut_off(chunk, n), chunk->at);
    free(chunk);
    if (stage->passed >= stage->toxic->value[0])
        stage->due = 1; /* the end, as soon as what is queued here is through */
}

/* The sink does not hear of the end; the connection goes when both sides have left, or when the
 * toxic says so. */
static void keep_end(proxy_stream *st)
{
    st->deaf = true;
    if (st->conn->stream[!st->dir].eof)
        conn_cut(st->conn);
}

void stage_push(proxy_stream *st, proxy_stage *stage, proxy_chunk *chunk)
{
    switch (stage->toxic ? stage->toxic->kind : PROXY_TOXIC_KINDS) {
    case PROXY_LATENCY:
        push_latency(st, stage, chunk);
        break;
    case PROXY_BANDWIDTH:
        push_bandwidth(st, stage, chunk);
        break;
    case PROXY_SLICER:
        push_slicer(st, stage, chunk);
        break;
    case PROXY_LIMIT_DATA:
        push_limit(st, stage, chunk);
        break;
    case PROXY_TIMEOUT:
    case PROXY_RESET_PEER: /* nothing passes any more */
        if (chunk->eof)
            keep_end(st);
        free(chunk);
        break;
    case PROXY_SLOW_CLOSE:
        stage_put(st, stage, chunk, chunk->at + (chunk->eof ? stage->toxic->value[0] * MS : 0));
        break;
    default:
        stage_put(st, stage, chunk, chunk->at);
    }
}

static void pass_on(proxy_stream *st, proxy_stage *stage, proxy_chunk *chunk)
{
    if (stage->next) {
        chunk->at = chunk->due;
        stage_push(st, stage->next, chunk);
        return;
    }
    if (chunk->eof)
        stream_end(st);
    else
        stream_deliver(st, chunk->data + chunk->from, chunk->len - chunk->from);
    free(chunk);
}

static void stage_over(proxy_stream *st, const proxy_stage *stage)
{
    if (stage->toxic->kind == PROXY_RESET_PEER) {
        conn_reset(st->conn);
    } else if (stage->toxic->kind == PROXY_LIMIT_DATA && st->unsent) {
        st->cut_when_sent = true;
    } else {
        conn_cut(st->conn);
    }
}

void stage_tick(proxy_stream *st)
{
    int64_t now = clock_ns();
    for (proxy_stage *stage = st->stages; stage && !st->conn->closing; stage = stage->next) {
        while (stage->first && (stage->first->due <= now || !stage->toxic) && !st->conn->closing)
            pass_on(st, stage, stage_take(st, stage));
        if (stage->due && stage->due <= now && !stage->first && !st->conn->closing)
            stage_over(st, stage);
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
    for (proxy_stage *stage = st->stages; stage; stage = stage->next)
        if (stage->toxic == toxic)
            return stage;
    return NULL;
}

static void add_stage(proxy_stream *st, const proxy_toxic *toxic)
{
    rl_rng rng;
    if (toxic->kind == PROXY_NOOP || !struck(st, toxic, &rng))
        return;
    proxy_stage *stage = mem_zero(sizeof *stage), **end = &st->stages;
    stage->toxic = toxic;
    stage->rng = rng;
    bool ends =
        toxic->kind == PROXY_TIMEOUT ? toxic->value[0] > 0 : toxic->kind == PROXY_RESET_PEER;
    stage->due = ends ? clock_ns() + toxic->value[0] * MS + 2 : 0;
    while (*end)
        end = &(*end)->next;
    *end = stage;
}

void stage_attach(proxy_stream *st)
{
    for (const proxy_toxic *toxic = st->conn->gate->toxics; toxic; toxic = toxic->next)
        if (toxic->dir == st->dir && !stage_of(st, toxic))
            add_stage(st, toxic);
}

/* A toxic that goes lets its chunks go at once; the one that kept everything leaves nothing to
 * go on with, so the connection ends. */
void stage_detach(proxy_stream *st, const proxy_toxic *toxic)
{
    proxy_stage *stage = stage_of(st, toxic), **at = &st->stages;
    if (!stage)
        return;
    if (toxic->kind == PROXY_TIMEOUT || toxic->kind == PROXY_RESET_PEER) {
        conn_cut(st->conn);
        return;
    }
    stage->toxic = NULL;
    stage->due = 0;
    stage_tick(st);
    if (st->conn->closing)
        return;
    while (*at != stage)
        at = &(*at)->next;
    *at = stage->next;
    stage_free(stage);
    conn_schedule(st->conn);
    stream_flow(st);
}
