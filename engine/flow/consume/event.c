#include "flow/consume/event.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/uuid.h"
#include "flow/dlq.h"

#define EVENT_ID "event-id"

/* ---- ids ---- */

static void put_be(unsigned char *out, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, v >>= 8)
        out[i] = (unsigned char)v;
}

void consume_id_of_place(const rd_kafka_message_t *msg, unsigned char id[UUID_BYTES])
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

static bool header_text(const rd_kafka_headers_t *headers, const char *name, text *out)
{
    const void *value;
    if (rd_kafka_header_get_last(headers, name, &value, &out->len) || !value)
        return false;
    out->at = value;
    return true;
}

/* A whole number that is not negative, at most INT64_MAX whatever stands there; 0: none. */
static int64_t header_number(const text *t)
{
    int64_t v = 0;
    for (size_t i = 0; i < t->len; i++) {
        int digit = t->at[i] - '0';
        if (digit < 0 || digit > 9)
            return 0;
        v = v > (INT64_MAX - digit) / 10 ? INT64_MAX : v * 10 + digit;
    }
    return v;
}

static int attempts(const text *t)
{
    int64_t v = header_number(t);
    return v < CONSUME_ATTEMPTS_MAX ? (int)v : CONSUME_ATTEMPTS_MAX;
}

static int64_t due_time(const text *t)
{
    int64_t v = header_number(t);
    return v <= CONSUME_DUE_MAX_MS ? v : 0;
}

static void read_story(const rd_kafka_headers_t *headers, const char *group, consume_story *out)
{
    text t;
    *out = (consume_story){.read = true};
    if (!headers)
        return;
    if (header_text(headers, DLQ_ATTEMPT, &t))
        out->attempt = attempts(&t);
    if (header_text(headers, DLQ_DUE_AT, &t))
        out->due_ms = due_time(&t);
    if (header_text(headers, DLQ_TARGET_GROUP, &t) && t.len > 0) /* no group is called nothing */
        out->other_group = t.len != strlen(group) || memcmp(t.at, group, t.len) != 0;
}

static rd_kafka_headers_t *event_headers(const rd_kafka_message_t *msg)
{
    rd_kafka_headers_t *headers;
    return rd_kafka_message_headers(msg, &headers) ? NULL : headers;
}

void consume_story_read(const rd_kafka_message_t *msg, const char *group, consume_story *out)
{
    read_story(event_headers(msg), group, out);
}

/* ---- the value ---- */

/* AMOUNT is the first of its names, the one behind it the second. */
typedef enum field {
    NO_FIELD = -1,
    EVENT,
    TYPE,
    ACCOUNT,
    BALANCE,
    VERSION,
    FROM,
    TO,
    AMOUNT
} field;

enum { FIELDS_MAX = 32 };

static const char *const field_names[] = {"event_id", "type", "account_id", "balance",
                                          "version",  "from", "to",         "the amount"};

typedef struct fields {
    consume_event *event;
    const char *amount_names;
    uint32_t seen, twice; /* bits of fields */
    bool have_id, have_account, have_amount, have_from, have_to, transfer, wrong_version;
    int64_t account, amount, from, to;
} fields;

static bool is_key(const text *key, const char *name, size_t len)
{
    return key->len == len && memcmp(key->at, name, len) == 0;
}

/* The place of the key among names, which commas part; -1: it is none of them. */
static int place_among(const text *key, const char *names)
{
    int place = 0;
    for (const char *at = names; *at; place++) {
        size_t len = strcspn(at, ",");
        if (is_key(key, at, len))
            return place;
        at += len + (at[len] == ',');
    }
    return -1;
}

/* Which readers take the first and which the last of two members of one name differs, so that
 * such a value means no one thing (RFC 8259, 4). */
static field field_named(fields *f, const text *key)
{
    int at = EVENT;
    while (at < AMOUNT && !is_key(key, field_names[at], strlen(field_names[at])))
        at++;
    if (at == AMOUNT) {
        int place = place_among(key, f->amount_names);
        if (place < 0 || place >= FIELDS_MAX - AMOUNT)
            return NO_FIELD;
        at += place;
    }
    f->twice |= f->seen & UINT32_C(1) << at;
    f->seen |= UINT32_C(1) << at;
    return at < AMOUNT ? (field)at : AMOUNT;
}

static void take_int(fields *f, field which, int64_t v)
{
    if (which == ACCOUNT)
        f->account = v, f->have_account = true;
    else if (which == AMOUNT)
        f->amount = v, f->have_amount = true;
    else if (which == BALANCE)
        f->event->balance = v;
    else if (which == VERSION)
        f->event->version = v;
    else if (which == FROM)
        f->from = v, f->have_from = true;
    else if (which == TO)
        f->to = v, f->have_to = true;
}

static void take_string(fields *f, field which, const text *value)
{
    if (which == EVENT && !f->have_id)
        f->have_id = uuid_parse(value->at, value->len, f->event->id);
    else if (which == TYPE)
        f->transfer = is_key(value, "transfer", 8);
    else if (which == VERSION)
        f->wrong_version = true;
}

/* The members of the outermost object; what lies deeper is passed over. */
static rl_err *event_members(json_reader *r, fields *f)
{
    field which = NO_FIELD;
    json_token t = json_next(r);
    if (t != JSON_OBJECT)
        return err_lab("UNDECODABLE", "the value is no JSON object%s%s", r->error[0] ? ": " : "",
                       r->error);
    while ((t = json_next(r)) != JSON_END) {
        if (t == JSON_ERROR)
            return err_lab("UNDECODABLE", "the value is no JSON: %s", r->error);
        if (r->depth != 1)
            continue;
        text str = {r->str.len ? r->str.data : "", r->str.len};
        if (t == JSON_KEY)
            which = field_named(f, &str);
        else if (t == JSON_INT)
            take_int(f, which, r->i);
        else if (t == JSON_STRING)
            take_string(f, which, &str);
        else if (which == VERSION && t != JSON_NULL)
            f->wrong_version = true;
    }
    return NULL;
}

/* ---- the same for the values that our own services write: a flat object of plain strings and
 * short integers, without blanks ---- */

typedef struct scan {
    const char *p, *end;
} scan;

static bool is_next(scan *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* Printable ASCII only: what may need decoding, or is not allowed, is for the reader. */
static bool scan_string(scan *s, text *out)
{
    if (!is_next(s, '"'))
        return false;
    out->at = s->p;
    while (s->p < s->end && *s->p != '"') {
        if (*s->p < ' ' || *s->p > '~' || *s->p == '\\')
            return false;
        s->p++;
    }
    out->len = (size_t)(s->p - out->at);
    return is_next(s, '"');
}

static bool scan_int(scan *s, int64_t *out)
{
    enum { DIGITS_MAX = 18 };
    bool negative = is_next(s, '-');
    const char *first = s->p;
    int64_t v = 0;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9' && s->p - first < DIGITS_MAX)
        v = v * 10 + (*s->p++ - '0');
    *out = negative ? -v : v;
    return s->p > first && (*first != '0' || s->p == first + 1);
}

static bool scan_member(scan *s, fields *f)
{
    text key, value;
    int64_t v;
    if (!scan_string(s, &key) || !is_next(s, ':'))
        return false;
    field which = field_named(f, &key);
    if (s->p < s->end && *s->p == '"') {
        if (!scan_string(s, &value))
            return false;
        take_string(f, which, &value);
        return true;
    }
    if (!scan_int(s, &v))
        return false;
    take_int(f, which, v);
    return true;
}

static bool scan_members(consume_value value, fields *f)
{
    scan s = {value.json, value.json + value.len};
    if (!is_next(&s, '{'))
        return false;
    do
        if (!scan_member(&s, f))
            return false;
    while (is_next(&s, ','));
    return is_next(&s, '}') && s.p == s.end;
}

static rl_err *read_slowly(consume_value value, fields *f)
{
    json_reader r;
    json_open(&r, value.json ? value.json : "", value.len);
    rl_err *err = event_members(&r, f);
    json_close(&r);
    return err;
}

static const char *first_of(uint32_t bits)
{
    int at = EVENT;
    while (at < AMOUNT && !(bits & UINT32_C(1) << at))
        at++;
    return field_names[at];
}

static rl_err *make_legs(const fields *f, bool zero)
{
    consume_event *event = f->event;
    if (f->twice)
        return err_lab("UNDECODABLE", "%s is there twice", first_of(f->twice));
    if (!f->have_id)
        return err_lab("UNDECODABLE", "neither header nor value has an event id that is a UUID");
    if (!zero &&
        (!f->have_amount || (f->transfer ? !f->have_from || !f->have_to : !f->have_account)))
        return err_lab("UNDECODABLE", "%s",
                       f->transfer ? "a transfer needs from, to and amount"
                                   : "account_id or amount is missing");
    if (f->wrong_version)
        return err_lab("UNDECODABLE", "the version is no whole number");
    if (event->version < 0)
        return err_lab("UNDECODABLE", "the version is negative");
    event->nlegs = f->transfer ? 2 : 1;
    event->legs[0] = (consume_leg){f->transfer ? f->from : f->account, f->amount};
    if (!f->transfer)
        return NULL;
    if (f->amount == INT64_MIN)
        return err_lab("UNDECODABLE", "the amount is out of range");
    event->legs[0].amount = -f->amount;
    event->legs[1] = (consume_leg){f->to, f->amount};
    return NULL;
}

static fields fields_of(consume_event *out, const rd_kafka_headers_t *headers, const char *amount)
{
    fields f = {.event = out, .amount_names = amount ? amount : "amount"};
    text t;
    *out = (consume_event){.nlegs = 0};
    if (headers && header_text(headers, EVENT_ID, &t))
        f.have_id = uuid_parse(t.at, t.len, out->id);
    return f;
}

rl_err *consume_decode_apart(const rd_kafka_headers_t *headers, const consume_reading *reading,
                             consume_value value, consume_event *out, consume_story *story)
{
    fields f = fields_of(out, headers, reading->amount);
    rl_err *err = NULL;
    read_story(headers, reading->group, story);
    if (!value.json || !scan_members(value, &f)) {
        f = fields_of(out, headers, reading->amount);
        err = read_slowly(value, &f);
    }
    if (!err)
        err = make_legs(&f, reading->zero);
    if (f.have_id)
        uuid_text(out->id, out->id_text);
    rl_assert(err || (out->id_text[0] && out->nlegs >= 1 && out->nlegs <= CONSUME_LEGS));
    return err;
}

rl_err *consume_decode(const rd_kafka_message_t *msg, const consume_reading *reading,
                       consume_value value, consume_event *out, consume_story *story)
{
    return consume_decode_apart(event_headers(msg), reading, value, out, story);
}
