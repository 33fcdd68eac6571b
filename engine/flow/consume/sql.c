/* The statements, as text: one statement of many rows costs the server a fraction of many
 * statements, and parsing it little beside the rows. */
#include <string.h>

#include "base/assert.h"
#include "flow/consume/internal.h"

/* A row is written in place: room for it is made once. */
enum { ROW_MAX = 256 };

static char *row_begin(rl_buf *sql)
{
    buf_reserve(sql, ROW_MAX);
    return sql->data + sql->len;
}

static void row_end(rl_buf *sql, char *p)
{
    rl_assert(p >= sql->data + sql->len && p < sql->data + sql->len + ROW_MAX);
    *p = 0;
    sql->len = (size_t)(p - sql->data);
}

static char *put_bytes(char *p, const char *text, size_t len)
{
    memcpy(p, text, len);
    return p + len;
}
#define PUT(p, literal) put_bytes(p, literal, sizeof literal - 1)

static char *put_id(char *p, const unsigned char id[UUID_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    p = PUT(p, "0x");
    for (int i = 0; i < UUID_BYTES; i++) {
        *p++ = digits[id[i] >> 4];
        *p++ = digits[id[i] & 15];
    }
    return p;
}

static char *put_int(char *p, int64_t v)
{
    char text[24], *q = text + sizeof text;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--q = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0)
        *--q = '-';
    return put_bytes(p, q, (size_t)(text + sizeof text - q));
}

/* Names are checked when the consumer is opened: nothing in them needs an escape. */
static char *put_name(char *p, const char *name)
{
    size_t len = strlen(name);
    *p++ = '\'';
    memcpy(p, name, len);
    p[len] = '\'';
    return p + len + 1;
}

static const unsigned char *dedup_id(const consume_worker *w, const consume_item *item,
                                     unsigned char place[UUID_BYTES])
{
    if (w->consume->opts.dedup != CONSUME_DEDUP_POSITION)
        return item->event.id;
    consume_id_of_place(item->msg, place);
    return place;
}

void consume_sql_dedup(consume_worker *w, consume_item **list, int n)
{
    unsigned char place[UUID_BYTES];
    buf_str(&w->sql, "INSERT INTO processed_event (consumer, event_id) VALUES ");
    for (int i = 0; i < n; i++) {
        char *p = row_begin(&w->sql);
        p = i ? PUT(p, ",(") : PUT(p, "(");
        p = put_name(p, w->consume->opts.consumer_name);
        p = put_id(PUT(p, ","), dedup_id(w, list[i], place));
        row_end(&w->sql, PUT(p, ")"));
    }
}

void consume_sql_known(consume_worker *w, consume_item **list, int n)
{
    unsigned char place[UUID_BYTES];
    buf_printf(&w->sql,
               "SELECT event_id FROM processed_event WHERE consumer = '%s' AND event_id IN (",
               w->consume->opts.consumer_name);
    for (int i = 0; i < n; i++) {
        char *p = row_begin(&w->sql);
        p = i ? PUT(p, ",") : p;
        row_end(&w->sql, put_id(p, dedup_id(w, list[i], place)));
    }
    buf_str(&w->sql, ") ORDER BY event_id");
}

void consume_sql_views(consume_worker *w, const consume_sum *sums, int n)
{
    buf_str(&w->sql, "INSERT INTO account_view (account_id, balance, version, entries) VALUES ");
    for (int i = 0; i < n; i++) {
        char *p = row_begin(&w->sql);
        p = i ? PUT(p, ",(") : PUT(p, "(");
        p = put_int(p, sums[i].account);
        p = put_int(PUT(p, ","), sums[i].amount);
        p = put_int(PUT(p, ","), sums[i].version);
        p = put_int(PUT(p, ","), sums[i].entries);
        row_end(&w->sql, PUT(p, ")"));
    }
    buf_str(&w->sql, " AS new ON DUPLICATE KEY UPDATE balance = account_view.balance + new.balance,"
                     " version = GREATEST(account_view.version, new.version),"
                     " entries = account_view.entries + new.entries");
}

void consume_sql_effects(consume_worker *w, consume_item **list, int n)
{
    bool first = true;
    buf_str(&w->sql, "INSERT INTO effect_log (event_id, account_id, version, member) VALUES ");
    for (int i = 0; i < n; i++) {
        const consume_event *event = &list[i]->event;
        for (int leg = 0; leg < event->nlegs; leg++, first = false) {
            char *p = row_begin(&w->sql);
            p = first ? PUT(p, "(") : PUT(p, ",(");
            p = put_int(PUT(put_id(p, event->id), ","), event->legs[leg].account);
            p = put_name(PUT(put_int(PUT(p, ","), event->version), ","), w->consume->opts.member);
            row_end(&w->sql, PUT(p, ")"));
        }
    }
}

static void put_place(consume_worker *w, const consume_part *part, const char *between)
{
    buf_printf(&w->sql, "'%s'%s'%s'", w->consume->opts.consumer_name, between, part->topic);
}

/* Only from the offset that we have read or written: whoever has moved it in between makes this
 * one fail, so two members never both count. */
void consume_sql_offset(consume_worker *w, const consume_part *part, int64_t next)
{
    if (part->db_next < 0) {
        buf_str(&w->sql, "INSERT INTO consumer_offset (consumer, topic, partition_id, next_offset)"
                         " VALUES (");
        put_place(w, part, ", ");
        buf_printf(&w->sql, ", %d, %lld)", (int)part->partition, (long long)next);
        return;
    }
    buf_printf(&w->sql,
               "UPDATE consumer_offset SET next_offset = %lld WHERE consumer = ", (long long)next);
    put_place(w, part, " AND topic = ");
    buf_printf(&w->sql, " AND partition_id = %d AND next_offset = %lld", (int)part->partition,
               (long long)part->db_next);
}

void consume_sql_load(consume_worker *w, const consume_part *part)
{
    buf_str(&w->sql, "SELECT next_offset FROM consumer_offset WHERE consumer = ");
    put_place(w, part, " AND topic = ");
    buf_printf(&w->sql, " AND partition_id = %d", (int)part->partition);
}
