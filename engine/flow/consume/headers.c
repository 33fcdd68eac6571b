#include <string.h>

#include "base/assert.h"
#include "flow/consume/internal.h"
#include "flow/dlq.h"

static bool is_among(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(name, *list) == 0)
            return true;
    return false;
}

/* Written anew with each failure; the rest of the record's headers is kept as it is. */
static const char *const replaced[] = {DLQ_ERROR_CLASS, DLQ_ERROR_MESSAGE, DLQ_ATTEMPT,
                                       DLQ_DUE_AT,      DLQ_CUT,           NULL};

/* What a copy without the record's own headers has still: where it came from, and what it is. */
static const char *const story[] = {
    "event-id",          DLQ_ORIGINAL_TOPIC,     DLQ_ORIGINAL_PARTITION,
    DLQ_ORIGINAL_OFFSET, DLQ_ORIGINAL_TIMESTAMP, DLQ_ORIGINAL_GROUP,
    DLQ_FIRST_FAILURE,   DLQ_REPLAY_COUNT,       NULL};

enum { STORY_BYTES_MAX = 256 };

static bool is_kept(const char *name, size_t len, consume_whole whole)
{
    if (whole == COPY_STORY && (!is_among(name, story) || len > STORY_BYTES_MAX))
        return false;
    return !is_among(name, replaced);
}

static rd_kafka_headers_t *kept_headers(const rd_kafka_message_t *msg, consume_whole whole)
{
    rd_kafka_headers_t *out = rd_kafka_headers_new(16), *in;
    const char *name;
    const void *value;
    size_t len;
    if (rd_kafka_message_headers(msg, &in))
        return out;
    for (size_t i = 0; !rd_kafka_header_get_all(in, i, &name, &value, &len); i++)
        if (is_kept(name, len, whole))
            rd_kafka_header_add(out, name, -1, value, value ? (ssize_t)len : 0);
    return out;
}

static void put_text(rd_kafka_headers_t *headers, const char *name, const char *text)
{
    rd_kafka_header_add(headers, name, -1, text, (ssize_t)strlen(text));
}

static bool has_header(const rd_kafka_headers_t *headers, const char *name)
{
    const void *value;
    size_t len;
    return rd_kafka_header_get_last(headers, name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void put_text_once(rd_kafka_headers_t *headers, const char *name, const char *text)
{
    if (!has_header(headers, name))
        put_text(headers, name, text);
}

static void put_number(rd_kafka_headers_t *headers, const char *name, int64_t v, bool once)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)v);
    (once ? put_text_once : put_text)(headers, name, text);
}

/* One line, cut where it is too long (but not inside a UTF-8 sequence). */
static void put_message(rd_kafka_headers_t *headers, const char *message)
{
    size_t len = strlen(message);
    char text[DLQ_MESSAGE_MAX + 1];
    if (len > DLQ_MESSAGE_MAX)
        for (len = DLQ_MESSAGE_MAX; len && ((unsigned char)message[len] & 0xc0) == 0x80;)
            len--;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)((unsigned char)message[i] < ' ' ? ' ' : message[i]);
    text[len] = 0;
    put_text(headers, DLQ_ERROR_MESSAGE, text);
}

rd_kafka_headers_t *consume_headers(const rd_kafka_message_t *msg, const consume_failure *failure)
{
    rl_assert(failure->attempt > 0 && failure->due_ms >= 0 && failure->error_class &&
              failure->message);
    rd_kafka_headers_t *headers = kept_headers(msg, failure->whole);
    put_text_once(headers, DLQ_ORIGINAL_TOPIC, rd_kafka_topic_name(msg->rkt));
    put_number(headers, DLQ_ORIGINAL_PARTITION, msg->partition, true);
    put_number(headers, DLQ_ORIGINAL_OFFSET, msg->offset, true);
    put_number(headers, DLQ_ORIGINAL_TIMESTAMP, rd_kafka_message_timestamp(msg, NULL), true);
    put_text_once(headers, DLQ_ORIGINAL_GROUP, failure->group);
    put_text(headers, DLQ_ERROR_CLASS, failure->error_class);
    put_message(headers, failure->message);
    put_number(headers, DLQ_ATTEMPT, failure->attempt, false);
    put_number(headers, DLQ_FIRST_FAILURE, failure->first_ms ? failure->first_ms : failure->now_ms,
               true);
    if (failure->due_ms)
        put_number(headers, DLQ_DUE_AT, failure->due_ms, false);
    if (failure->whole != COPY_WHOLE)
        put_number(headers, DLQ_CUT, (int64_t)msg->len, false);
    return headers;
}
