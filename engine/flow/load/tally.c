#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "flow/load/internal.h"

void load_tally_open(load_tally *t, const flow_load_opts *opts)
{
    pthread_mutex_init(&t->lock, NULL);
    t->cap = (size_t)opts->rows;
    t->rows = mem_zero((t->cap + 1) * sizeof *t->rows);
    t->process = mem_zero((size_t)opts->in_flight * sizeof *t->process);
}

void load_tally_close(load_tally *t)
{
    for (int64_t i = 0; i < t->stats.rows; i++)
        flow_load_row_free(&t->rows[(t->head + (size_t)i) % t->cap]);
    free(t->rows);
    free(t->process);
    pthread_mutex_destroy(&t->lock);
}

void flow_load_row_free(flow_load_row *row)
{
    free(row->id);
    free(row->body);
    free(row->error);
}

void load_tally_planned(flow_load *load)
{
    pthread_mutex_lock(&load->tally.lock);
    load->tally.stats.planned++;
    pthread_mutex_unlock(&load->tally.lock);
}

void load_tally_connected(flow_load *load)
{
    pthread_mutex_lock(&load->tally.lock);
    load->tally.stats.connects++;
    pthread_mutex_unlock(&load->tally.lock);
}

/* ---- the history ---- */

static void put_value(const load_request *r, const load_reply *reply, rl_buf *out)
{
    buf_printf(out, "{\"n\":%lld", (long long)r->n);
    if (r->id.len) {
        buf_str(out, ",\"id\":");
        json_put_string(out, r->id.data, r->id.len);
    }
    if (reply && reply->status)
        buf_printf(out, ",\"status\":%d", reply->status);
    if (reply && reply->partition >= 0)
        buf_printf(out, ",\"partition\":%d,\"offset\":%lld", (int)reply->partition,
                   (long long)reply->offset);
    buf_str(out, "}");
}

/* That a file cannot be written comes out when the history is closed. */
static void note_begin(flow_load *load, const load_request *r)
{
    if (!load->opts.history)
        return;
    rl_buf value = {0};
    put_value(r, NULL, &value);
    err_free(history_invoke(load->opts.history, load->name, load->f, value.data,
                            &load->tally.process[r->slot]));
    buf_free(&value);
}

static void note_end(flow_load *load, const load_request *r, const load_reply *reply)
{
    static const history_type types[] = {HISTORY_OK, HISTORY_FAIL, HISTORY_INFO, HISTORY_FAIL};
    if (!load->opts.history)
        return;
    rl_buf value = {0};
    put_value(r, reply, &value);
    err_free(history_complete(load->opts.history, load->tally.process[r->slot],
                              types[reply->outcome], value.data, reply->error));
    buf_free(&value);
}

/* ---- rows ---- */

static char *copy_text(const char *text, size_t len)
{
    return text ? mem_dup(text, len) : NULL;
}

/* Under the lock. */
static void keep_row(flow_load *load, const load_request *r, const load_reply *reply, int64_t now)
{
    load_tally *t = &load->tally;
    rl_assert(flow_lock_held(&t->lock) && t->stats.rows <= (int64_t)t->cap);
    if (t->stats.rows == (int64_t)t->cap) {
        t->stats.rows_lost += t->cap > 0;
        return;
    }
    size_t body = reply->body_len < load->opts.body ? reply->body_len : load->opts.body;
    t->rows[(t->head + (size_t)t->stats.rows++) % t->cap] =
        (flow_load_row){.n = r->n,
                        .intended = r->intended,
                        .started = r->started,
                        .ended = now,
                        .outcome = reply->outcome,
                        .reader = load->opts.readers ? r->slot + 1 : 0,
                        .status = reply->status,
                        .partition = reply->partition,
                        .offset = reply->offset,
                        .id = r->id.len ? mem_dup(r->id.data, r->id.len) : NULL,
                        .body = body ? copy_text(reply->body, body) : NULL,
                        .body_len = reply->body ? body : 0,
                        .error = reply->error ? mem_strdup(reply->error) : NULL};
}

size_t flow_load_take(flow_load *load, flow_load_row *rows, size_t n)
{
    load_tally *t = &load->tally;
    size_t taken = 0;
    pthread_mutex_lock(&t->lock);
    for (; taken < n && t->stats.rows > 0; taken++, t->stats.rows--) {
        rows[taken] = t->rows[t->head];
        t->head = (t->head + 1) % t->cap;
    }
    pthread_mutex_unlock(&t->lock);
    return taken;
}

/* ---- begin, end, drop ---- */

void load_begin(flow_load *load, load_request *r)
{
    load_tally *t = &load->tally;
    rl_assert(!r->open && r->slot >= 0 && r->slot < load->opts.in_flight);
    r->open = true;
    r->started = clock_ns();
    if (load->opts.readers)
        r->intended = r->started;
    pthread_mutex_lock(&t->lock);
    t->stats.started++;
    t->stats.late += (double)(r->started - r->intended) > load->opts.late * 1e9;
    if (++t->stats.in_flight > t->stats.most_in_flight)
        t->stats.most_in_flight = t->stats.in_flight;
    rl_assert(t->stats.in_flight <= load->opts.in_flight);
    note_begin(load, r);
    pthread_mutex_unlock(&t->lock);
    flow_hdr_record(&load->hdrs[LOAD_LATENESS], r->started - r->intended, 1);
}

/* Under the lock. */
static void count(flow_load_stats *s, const load_reply *reply)
{
    int64_t *const counters[] = {&s->ok, &s->failed, &s->unknown, &s->dropped};
    ++*counters[reply->outcome];
    if (reply->status >= 100 && reply->status < 600)
        s->status[reply->status / 100]++;
    s->bytes += (int64_t)reply->body_len;
}

void load_end(flow_load *load, load_request *r, const load_reply *reply)
{
    load_tally *t = &load->tally;
    int64_t now = clock_ns();
    rl_assert(r->open);
    r->open = false;
    pthread_mutex_lock(&t->lock);
    rl_assert(t->stats.in_flight > 0);
    t->stats.in_flight--;
    count(&t->stats, reply);
    keep_row(load, r, reply, now);
    note_end(load, r, reply);
    pthread_mutex_unlock(&t->lock);
    flow_hdr_record(&load->hdrs[LOAD_LATENCY], now - r->intended, 1);
    flow_hdr_record(&load->hdrs[LOAD_SERVICE], now - r->started, 1);
    load_slot_give(load, r);
}

/* It was never sent, but it waited: leaving it out would flatter the latencies. */
void load_drop(flow_load *load, int64_t n, int64_t intended)
{
    load_tally *t = &load->tally;
    int64_t now = clock_ns();
    load_request r = {.n = n, .intended = intended};
    load_reply reply = {
        .outcome = LOAD_DROPPED, .partition = -1, .error = "not sent: no slot was free in time"};
    pthread_mutex_lock(&t->lock);
    count(&t->stats, &reply);
    keep_row(load, &r, &reply, now);
    pthread_mutex_unlock(&t->lock);
    flow_hdr_record(&load->hdrs[LOAD_LATENCY], now - intended, 1);
}

flow_load_stats flow_load_stats_of(flow_load *load)
{
    pthread_mutex_lock(&load->tally.lock);
    flow_load_stats s = load->tally.stats;
    pthread_mutex_unlock(&load->tally.lock);
    return s;
}

flow_hdr *flow_load_hdr_of(flow_load *load, flow_load_hdr which)
{
    return &load->hdrs[which];
}
