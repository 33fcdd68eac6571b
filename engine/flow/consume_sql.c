/* The statements, as text: one statement of many rows costs the server a fraction of many statements, and parsing it little beside the rows. */
#include <string.h>

#include "flow/consume_internal.h"

static void put_id(rl_buf *sql, const unsigned char id[CONSUME_ID])
{
    static const char digits[] = "0123456789abcdef";
    buf_reserve(sql, 2 + 2 * CONSUME_ID);
    char *p = sql->data + sql->len;
    *p++ = '0';
    *p++ = 'x';
    for (int i = 0; i < CONSUME_ID; i++) {
        *p++ = digits[id[i] >> 4];
        *p++ = digits[id[i] & 15];
    }
    *p = 0;
    sql->len += 2 + 2 * CONSUME_ID;
}

static void put_int(rl_buf *sql, int64_t v)
{
    char text[24], *p = text + sizeof text;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0)
        *--p = '-';
    buf_add(sql, p, (size_t)(text + sizeof text - p));
}

/* Names are checked when the consumer is opened: nothing in them needs an escape. */
static void put_name(rl_buf *sql, const char *name)
{
    buf_add(sql, "'", 1);
    buf_str(sql, name);
    buf_add(sql, "'", 1);
}

static const unsigned char *dedup_id(const consume_worker *w, const consume_item *item,
                                     unsigned char place[CONSUME_ID])
{
    if (w->c->o.dedup != CONSUME_DEDUP_POSITION)
        return item->event.id;
    consume_id_of_place(item->msg, place);
    return place;
}

void consume_sql_dedup(consume_worker *w, consume_item **list, int n)
{
    const char *comma = "INSERT INTO processed_event (consumer, event_id) VALUES ";
    unsigned char place[CONSUME_ID];
    for (int i = 0; i < n; i++, comma = ",") {
        buf_str(&w->sql, comma);
        buf_add(&w->sql, "(", 1);
        put_name(&w->sql, w->c->o.consumer_name);
        buf_add(&w->sql, ",", 1);
        put_id(&w->sql, dedup_id(w, list[i], place));
        buf_add(&w->sql, ")", 1);
    }
}

void consume_sql_known(consume_worker *w, consume_item **list, int n)
{
    const char *comma = " AND event_id IN (";
    unsigned char place[CONSUME_ID];
    buf_str(&w->sql, "SELECT event_id FROM processed_event WHERE consumer = ");
    put_name(&w->sql, w->c->o.consumer_name);
    for (int i = 0; i < n; i++, comma = ",") {
        buf_str(&w->sql, comma);
        put_id(&w->sql, dedup_id(w, list[i], place));
    }
    buf_str(&w->sql, ") ORDER BY event_id");
}

void consume_sql_views(consume_worker *w, const consume_sum *sums, int n)
{
    const char *comma = "INSERT INTO account_view (account_id, balance, version, entries) VALUES ";
    for (int i = 0; i < n; i++, comma = ",") {
        buf_str(&w->sql, comma);
        buf_add(&w->sql, "(", 1);
        put_int(&w->sql, sums[i].account);
        buf_add(&w->sql, ",", 1);
        put_int(&w->sql, sums[i].amount);
        buf_add(&w->sql, ",", 1);
        put_int(&w->sql, sums[i].version);
        buf_add(&w->sql, ",", 1);
        put_int(&w->sql, sums[i].entries);
        buf_add(&w->sql, ")", 1);
    }
    buf_str(&w->sql, " AS new ON DUPLICATE KEY UPDATE balance = account_view.balance + new.balance,"
                     " version = GREATEST(account_view.version, new.version),"
                     " entries = account_view.entries + new.entries");
}

void consume_sql_effects(consume_worker *w, consume_item **list, int n)
{
    const char *comma = "INSERT INTO effect_log (event_id, account_id, version, member) VALUES ";
    for (int i = 0; i < n; i++) {
        const consume_event *e = &list[i]->event;
        for (int leg = 0; leg < e->nlegs; leg++, comma = ",") {
            buf_str(&w->sql, comma);
            buf_add(&w->sql, "(", 1);
            put_id(&w->sql, e->id);
            buf_add(&w->sql, ",", 1);
            put_int(&w->sql, e->legs[leg].account);
            buf_add(&w->sql, ",", 1);
            put_int(&w->sql, e->version);
            buf_add(&w->sql, ",", 1);
            put_name(&w->sql, w->c->o.member);
            buf_add(&w->sql, ")", 1);
        }
    }
}

static void put_place(consume_worker *w, const consume_lane *lane, const char *between)
{
    put_name(&w->sql, w->c->o.consumer_name);
    buf_printf(&w->sql, "%s", between);
    put_name(&w->sql, lane->topic);
}

/* Only from the offset that we have read or written: whoever has moved it in between makes this one fail, so two members never both count. */
void consume_sql_offset(consume_worker *w, const consume_lane *lane, int64_t next)
{
    if (lane->db_next < 0) {
        buf_str(&w->sql, "INSERT INTO consumer_offset (consumer, topic, partition_id, next_offset)"
                         " VALUES (");
        put_place(w, lane, ", ");
        buf_printf(&w->sql, ", %d, %lld)", (int)lane->partition, (long long)next);
        return;
    }
    buf_printf(&w->sql,
               "UPDATE consumer_offset SET next_offset = %lld WHERE consumer = ", (long long)next);
    put_place(w, lane, " AND topic = ");
    buf_printf(&w->sql, " AND partition_id = %d AND next_offset = %lld", (int)lane->partition,
               (long long)lane->db_next);
}

void consume_sql_load(consume_worker *w, const consume_lane *lane)
{
    buf_str(&w->sql, "SELECT next_offset FROM consumer_offset WHERE consumer = ");
    put_place(w, lane, " AND topic = ");
    buf_printf(&w->sql, " AND partition_id = %d", (int)lane->partition);
}
