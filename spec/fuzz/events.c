/* Records of foreign producers under libFuzzer: the value and the headers that a consumer reads. An
 * input is a byte that says how it is read, headers (which name, how long, the bytes), a byte 255,
 * and the value. */
#include <assert.h>

#include "flow/consume/event.h"
#include "flow/dlq.h"
#include "fuzz.h"

enum { LONGEST = 1 << 12, NO_MORE = 255 };

static const char *const names[] = {"event-id",       DLQ_ATTEMPT, DLQ_DUE_AT,
                                    DLQ_TARGET_GROUP, DLQ_CUT,     "attempt"};
enum { NAMES = sizeof names / sizeof *names };

/* Where the value begins. */
static size_t read_headers(rd_kafka_headers_t *headers, const uint8_t *data, size_t len)
{
    size_t at = 1;
    while (at + 1 < len && data[at] != NO_MORE) {
        const char *name = names[data[at] % NAMES];
        size_t n = data[at + 1], left = len - at - 2;
        n = n < left ? n : left;
        rd_kafka_header_add(headers, name, -1, n ? (const void *)(data + at + 2) : NULL,
                            n ? (ssize_t)n : 0);
        at += 2 + n;
    }
    return at < len && data[at] == NO_MORE ? at + 1 : len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    size_t at = read_headers(headers, data, len);
    const consume_reading reading = {
        .group = "mine", .amount = data[0] & 1 ? "amount,amount_minor" : NULL, .zero = data[0] & 2};
    char *value = fuzz_text(data + at, len - at);
    consume_event event;
    consume_story story;
    rl_err *err = consume_decode_apart(data[0] & 4 ? NULL : headers, &reading,
                                       (consume_value){value, len - at}, &event, &story);
    assert(story.attempt >= 0 && story.attempt <= CONSUME_ATTEMPTS_MAX);
    assert(story.due_ms >= 0 && story.due_ms <= CONSUME_DUE_MAX_MS);
    assert(err || (event.nlegs >= 1 && event.nlegs <= CONSUME_LEGS && event.version >= 0));
    err_free(err);
    free(value);
    rd_kafka_headers_destroy(headers);
    return 0;
}

/* ---- seeds ---- */

static void put_header(rl_buf *out, int name, const char *value)
{
    buf_u8(out, (uint8_t)name);
    buf_u8(out, (uint8_t)strlen(value));
    buf_str(out, value);
}

static void seed(const char *name, const char *attempt, const char *due, const char *value)
{
    rl_buf out = {0};
    buf_u8(&out, 0);
    put_header(&out, 0, "0190b5e6-0000-7000-8000-0123456789ab");
    put_header(&out, 1, attempt);
    put_header(&out, 2, due);
    put_header(&out, 3, "mine");
    buf_u8(&out, NO_MORE);
    buf_str(&out, value);
    fuzz_seed(name, &out);
    buf_free(&out);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_longest(argc, argv, LONGEST);
    seed("entry", "2", "1700000000000", "{\"account_id\":17,\"amount\":-250,\"version\":3}");
    seed("entry-slowly", "7", "", "{ \"account_id\": 17, \"amount\": 5, \"note\": \"\\u00e9\"}");
    seed("attempt-negative", "-1000", "-1", "{\"account_id\":1,\"amount\":2}");
    seed("attempt-beyond", "4294967297", "1700000000000000000",
         "{\"amount\":-9223372036854775808}");
    seed("transfer", "", "", "{\"type\":\"transfer\",\"from\":1,\"to\":2,\"amount\":30}");
    seed("transfer-least", "1", "0",
         "{\"type\":\"transfer\",\"from\":1,\"to\":2,\"amount\":-9223372036854775808}");
    seed("surrogate", "1", "0", "{\"event_id\":\"\\ud83d\",\"account_id\":1,\"amount\":1}");
    return 0;
}
