/* The proxy's parsers under libFuzzer: Kafka, MySQL, Redis. An input is a protocol and what it
 * asks of the host, then pieces of the two streams: a byte with the direction and the length of
 * the piece, and the piece. With FUZZ_SEEDS=DIR in the environment the samples of the unit test
 * are written there first. */
#include <assert.h>

#include "fault/proto/internal.h"
#include "fuzz.h"
#include "proxy_samples.h"

/* A line of Redis is waited for longest, by far; a message of many megabytes is out of reach. */
enum { PIECE_MAX = 127, BYTES = PROTO_LINE_MAX + 4096, LONGEST = 3 + BYTES + BYTES / PIECE_MAX };

typedef struct host {
    size_t out[2];
    unsigned dice;
    rl_buf told;
} host;

static void emit(void *arg, proto_dir dir, const char *data, size_t len)
{
    host *h = arg;
    static volatile char seen;
    for (size_t i = 0; i < len; i++) /* so that reading what is not there is noticed */
        seen = (char)(seen ^ data[i]);
    h->out[dir] += len;
}

static bool wants(void *arg, int api)
{
    host *h = arg;
    return !(h->dice & 8) || api & 1;
}

static void tell(host *h, const proto_msg *msg)
{
    buf_reset(&h->told);
    proto_describe(msg, &h->told);
    proto_names_topic(msg, "orders");
    proto_has_param(msg, "17");
}

static proto_verdict on_request(void *arg, const proto_msg *msg, proto_pending *pending)
{
    host *h = arg;
    tell(h, msg);
    pending->wanted = h->dice & 1;
    proto_verdict v = (proto_verdict)((h->dice >> 1) % 5);
    h->dice = h->dice * 1103515245u + 12345u;
    return v == PROTO_ERROR && !proto_can_fail(msg->kind, msg->api) ? PROTO_PASS : v;
}

static proto_verdict on_response(void *arg, const proto_msg *msg, const proto_pending *pending)
{
    (void)pending;
    tell(arg, msg);
    return PROTO_PASS;
}

static proto_failure failure(void *arg)
{
    (void)arg;
    return (proto_failure){7, "made by the fuzzer"};
}

/* One piece, in memory of its own; what a socket would splice passes unseen now and then. */
static void feed(proto_session *s, proto_dir dir, const uint8_t *data, size_t n)
{
    uint64_t unseen = proto_unseen(s, dir);
    if (unseen && unseen != PROTO_ALL && n & 1) {
        size_t skip = unseen < n ? (size_t)unseen : n;
        proto_passed(s, dir, skip);
        data += skip;
        n -= skip;
    }
    if (n == 0)
        return;
    char *copy = malloc(n);
    memcpy(copy, data, n);
    size_t used = proto_feed(s, dir, copy, n);
    assert(used <= n);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    host h = {.dice = data[1]};
    proto_host as = {&h, emit, wants, on_request, on_response, failure};
    proto_session *s = proto_open((proto_kind)(PROTO_KAFKA + data[0] % 3), &as);
    for (size_t at = 2; at < len;) {
        proto_dir dir = data[at] & 1 ? PROTO_DOWN : PROTO_UP;
        size_t n = data[at++] >> 1, left = len - at;
        n = n < left ? n : left;
        feed(s, dir, data + at, n);
        at += n;
    }
    proto_end(s, PROTO_UP);
    proto_end(s, PROTO_DOWN);
    proto_close(s);
    buf_free(&h.told);
    return 0;
}

/* ---- seeds ---- */

static void put_pieces(rl_buf *out, proto_dir dir, const rl_buf *bytes)
{
    for (size_t at = 0; at < bytes->len; at += PIECE_MAX) {
        size_t n = bytes->len - at < PIECE_MAX ? bytes->len - at : PIECE_MAX;
        char head = (char)(n << 1 | dir);
        buf_add(out, &head, 1);
        buf_add(out, bytes->data + at, n);
    }
}

static void seed(int kind, int dice, const rl_buf *up, const rl_buf *down, const char *name)
{
    rl_buf out = {0};
    char head[2] = {(char)kind, (char)dice};
    buf_add(&out, head, 2);
    put_pieces(&out, PROTO_UP, up);
    put_pieces(&out, PROTO_DOWN, down);
    fuzz_seed(name, &out);
    buf_free(&out);
}

static void seed_sample(int kind, int dice)
{
    rl_buf up = {0}, down = {0};
    char name[32];
    snprintf(name, sizeof name, "sample-%d-%d", kind, dice);
    sample((proto_kind)(PROTO_KAFKA + kind), &up, &down);
    seed(kind, dice, &up, &down, name);
    buf_free(&up);
    buf_free(&down);
}

/* A command and a reply of one line each, as long as may be, and with a byte more. */
static void seed_lines(int more)
{
    rl_buf up = {0}, down = {0};
    while (up.len < (size_t)(PROTO_LINE_MAX - 1 + more))
        buf_add(&up, "PING ", 1 + (size_t)(up.len == 0) * 4);
    buf_str(&down, "+");
    while (down.len < (size_t)(PROTO_LINE_MAX - 2 + more))
        buf_add(&down, "x", 1);
    buf_add(&down, "\r\n", 2);
    seed(PROTO_REDIS - PROTO_KAFKA, 0, &up, &down, more ? "line-too-long" : "line-longest");
    buf_free(&up);
    buf_free(&down);
}

/* A client that logs in, asks, prepares, and announces a packet of 16 MiB that does not come whole:
 * a proxy that waited for the rest kept its connection for ever. */
static void seed_unfinished(void)
{
    static const char login[] = "P\0\0\1\1\xa2\10\0\0\0\0\1!",
                      words[] = "lab\0\24AAAAAAAAAAAAAAAAAAAAcaching_sha2_password\0"
                                "\10\0\0\0\3select1\5\0\0\0\26a=?b\xff\xff\xff\0";
    rl_buf up = {0}, down = {0};
    buf_add(&up, login, sizeof login - 1);
    buf_add(&up, (const char[23]){0}, 23);
    buf_add(&up, words, sizeof words - 1);
    for (int i = 0; i < 100; i++)
        buf_add(&up, "z", 1);
    seed(PROTO_MYSQL - PROTO_KAFKA, 0, &up, &down, "mysql-unfinished");
    buf_free(&up);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_longest(argc, argv, LONGEST);
    for (int kind = 0; kind < 3; kind++) {
        for (int dice = 0; dice < 16; dice += 3)
            seed_sample(kind, dice);
    }
    seed_lines(0);
    seed_lines(1);
    seed_unfinished();
    return 0;
}
