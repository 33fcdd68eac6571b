#include "flow/consume_event.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/json.h"
#include "flow/dlq.h"

#define EVENT_ID "event-id"

/* ---- ids ---- */

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_dash(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

bool consume_id_parse(const char *text, size_t len, unsigned char id[CONSUME_ID])
{
    int half = 0;
    if (len != CONSUME_ID_TEXT - 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        int n = nibble(text[i]);
        if (is_dash(i) ? text[i] != '-' : n < 0)
            return false;
        if (is_dash(i))
            continue;
        id[half / 2] = (unsigned char)(half % 2 ? id[half / 2] | n : n << 4);
        half++;
    }
    return true;
}

void consume_id_print(const unsigned char id[CONSUME_ID], char text[CONSUME_ID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    char *p = text;
    for (int i = 0; i < CONSUME_ID; i++) {
        if (is_dash((size_t)(p - text)))
            *p++ = '-';
        *p++ = digits[id[i] >> 4];
        *p++ = digits[id[i] & 15];
    }
    *p = 0;
}

static void put_be(unsigned char *out, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, v >>= 8)
        out[i] = (unsigned char)v;
}

void consume_id_of_place(const rd_kafka_message_t *msg, unsigned char id[CONSUME_ID])
{
    const char *topic = rd_kafka_topic_name(msg->rkt);
    put_be(id, crc32(0, (const Bytef *)topic, (uInt)strlen(topic)), 4);
    put_be(id + 4, (uint32_t)msg->partition, 4);
    put_be(id + 8, (uint64_t)msg->offset, 8);
}

/* ---- headers ---- */

typedef struct text {
    const char *at;
    size_t len;
} text;

static bool header(const rd_kafka_headers_t *headers, const char *name, text *out)
{
    const void *value;
    if (rd_kafka_header_get_last(headers, name, &value, &out->len) || !value)
        return false;
    out->at = value;
    return true;
}

static int64_t number(const text *t)
{
    char digits[24] = "";
    if (t->len == 0 || t->len >= sizeof digits)
        return 0;
    memcpy(digits, t->at, t->len);
    return strtoll(digits, NULL, 10);
}

void consume_story_read(const rd_kafka_message_t *msg, const char *group, consume_story *out)
{
    rd_kafka_headers_t *headers;
    text t;
    *out = (consume_story){0};
    if (rd_kafka_message_headers(msg, &headers))
        return;
    if (header(headers, DLQ_ATTEMPT, &t))
        out->attempt = (int)number(&t);
    if (header(headers, DLQ_DUE_AT, &t))
        out->due_ms = number(&t);
    if (header(headers, DLQ_TARGET_GROUP, &t))
        out->other_group = t.len != strlen(group) || memcmp(t.at, group, t.len) != 0;
}

/* ---- the value ---- */

typedef struct fields {
    consume_event *event;
    bool have_id, have_account, have_amount, have_from, have_to, transfer;
    int64_t account, amount, from, to;
} fields;

static void take_int(fields *f, const char *key, int64_t v)
{
    if (strcmp(key, "account_id") == 0)
        f->account = v, f->have_account = true;
    else if (strcmp(key, "amount") == 0)
        f->amount = v, f->have_amount = true;
    else if (strcmp(key, "balance") == 0)
        f->event->balance = v;
    else if (strcmp(key, "version") == 0)
        f->event->version = v;
    else if (strcmp(key, "from") == 0)
        f->from = v, f->have_from = true;
    else if (strcmp(key, "to") == 0)
        f->to = v, f->have_to = true;
}

static void take_string(fields *f, const char *key, const rl_buf *value)
{
    if (strcmp(key, "event_id") == 0 && !f->have_id)
        f->have_id = consume_id_parse(value->data, value->len, f->event->id);
    else if (strcmp(key, "type") == 0)
        f->transfer = value->len == 8 && memcmp(value->data, "transfer", 8) == 0;
}

/* The members of the outermost object; what lies deeper is passed over. */
static rl_err *read_members(json_reader *r, fields *f)
{
    char key[32] = "";
    json_token t = json_next(r);
    if (t != JSON_OBJECT)
        return err_lab("UNDECODABLE", "the value is no JSON object%s%s", r->error[0] ? ": " : "",
                       r->error);
    while ((t = json_next(r)) != JSON_END) {
        if (t == JSON_ERROR)
            return err_lab("UNDECODABLE", "the value is no JSON: %s", r->error);
        if (r->depth != 1)
            continue;
        if (t == JSON_KEY)
            strncpy(key, r->str.len < sizeof key ? r->str.data : "", sizeof key - 1);
        else if (t == JSON_INT)
            take_int(f, key, r->i);
        else if (t == JSON_STRING)
            take_string(f, key, &r->str);
    }
    return NULL;
}

static rl_err *make_legs(const fields *f)
{
    consume_event *e = f->event;
    if (!f->have_id)
        return err_lab("UNDECODABLE", "neither header nor value has an event id that is a UUID");
    if (!f->have_amount || (f->transfer ? !f->have_from || !f->have_to : !f->have_account))
        return err_lab("UNDECODABLE", "%s",
                       f->transfer ? "a transfer needs from, to and amount"
                                   : "account_id or amount is missing");
    e->nlegs = f->transfer ? 2 : 1;
    e->legs[0] = (consume_leg){f->transfer ? f->from : f->account, f->amount};
    if (!f->transfer)
        return NULL;
    if (f->amount == INT64_MIN)
        return err_lab("UNDECODABLE", "the amount is out of range");
    e->legs[0].amount = -f->amount;
    e->legs[1] = (consume_leg){f->to, f->amount};
    return NULL;
}

static void id_of_header(const rd_kafka_message_t *msg, fields *f)
{
    rd_kafka_headers_t *headers;
    text t;
    if (!rd_kafka_message_headers(msg, &headers) && header(headers, EVENT_ID, &t))
        f->have_id = consume_id_parse(t.at, t.len, f->event->id);
}

rl_err *consume_decode(const rd_kafka_message_t *msg, consume_event *out)
{
    fields f = {.event = out};
    json_reader r;
    *out = (consume_event){0};
    id_of_header(msg, &f);
    json_open(&r, msg->payload ? msg->payload : "", msg->len);
    rl_err *err = read_members(&r, &f);
    json_close(&r);
    if (!err)
        err = make_legs(&f);
    if (f.have_id)
        consume_id_print(out->id, out->id_text);
    return err;
}
