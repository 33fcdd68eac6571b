/* What brokers answer to the wire client, under libFuzzer: the size and the header of a frame, the
 * bodies, and a server's side of a SCRAM login. The first byte says which. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fuzz.h"
#include "kafka/wire/scram.h"
#include "wire_bodies.h"

enum { ANSWER = BODIES, REQUEST, SCRAM, VERSIONS, KINDS, LONGEST = 1 << 14 };
#define NONCE "rOprNGfwEbeRWgbNEkqO"
#define FIRST "r=" NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

/* A size, then as much of a frame as it says; the API and its version stand in front. */
static void read_answer(const char *bytes, size_t len)
{
    size_t size;
    int32_t correlation;
    if (len < 6)
        return;
    rl_err *err = frame_size(bytes + 2, LONGEST, &size);
    if (err) {
        err_free(err);
        return;
    }
    frame_reader r = frame_read(bytes + 6, size < len - 6 ? size : len - 6, false);
    err_free(frame_response_header(&r, bytes[0] & 0x7f, bytes[1] & 15, &correlation));
    assert(r.pos <= r.len);
}

static void read_request(const char *bytes, size_t len)
{
    frame_request request;
    rl_err *err = frame_request_header(bytes, len, &request);
    assert(err || request.body <= len);
    err_free(err);
}

/* The number of rounds is what an honest server says at most: more cost time and show nothing. */
static bool is_quick(const char *text)
{
    const char *rounds = strstr(text, "i=");
    return !rounds || strspn(rounds + 2, "0123456789") < 5;
}

static void log_in(const char *text, size_t len)
{
    scram s;
    rl_buf out = {0};
    const char *line = memchr(text, '\n', len);
    size_t first = line ? (size_t)(line - text) : len;
    if (!is_quick(text))
        return;
    if (scram_begin(&s, "SHA256", "user", "pencil", NONCE, &out))
        abort();
    rl_err *err = scram_answer(&s, (frame_slice){text, first}, &out);
    if (!err && line)
        err = scram_finish(&s, (frame_slice){line + 1, len - first - 1});
    err_free(err);
    scram_free(&s);
    buf_free(&out);
}

static void read_versions(const char *bytes, size_t len)
{
    wire_range speaks[WIRE_APIS];
    frame_reader r = frame_read(bytes, len, false);
    wire_read_versions(&r, speaks);
    err_free(frame_end(&r, "ApiVersions response"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    size_t kind = data[0] % KINDS;
    char *text = fuzz_text(data + 1, len - 1);
    if (kind < BODIES) {
        uint8_t *exact = malloc(len > 1 ? len - 1 : 1);
        memcpy(exact, data + 1, len - 1);
        frame_reader r = frame_read(exact, len - 1, bodies[kind].flexible);
        err_free(bodies[kind].parse(&r, false));
        free(exact);
    } else if (kind == ANSWER) {
        read_answer(text, len - 1);
    } else if (kind == REQUEST) {
        read_request(text, len - 1);
    } else if (kind == VERSIONS) {
        read_versions(text, len - 1);
    } else {
        log_in(text, len - 1);
    }
    free(text);
    return 0;
}

/* ---- seeds ---- */

static void seed_bodies(void)
{
    for (size_t i = 0; i < BODIES; i++) {
        rl_buf body = {0};
        char name[32];
        snprintf(name, sizeof name, "body-%02zu", i);
        write_body(i, &body);
        fuzz_seed_text(name, (int)i, body.data, body.len);
        buf_free(&body);
    }
}

static void seed_headers(void)
{
    rl_buf frame = {0};
    buf_u8(&frame, FRAME_METADATA);
    buf_u8(&frame, 12);
    frame_writer w = frame_begin_response(&frame, FRAME_METADATA, 12, 7);
    w.start = 2;
    frame_finish(&w);
    fuzz_seed_text("answer", ANSWER, frame.data, frame.len);
    buf_reset(&frame);
    w = frame_begin(&frame, FRAME_METADATA, 12, 7, "client");
    frame_finish(&w);
    fuzz_seed_text("request", REQUEST, frame.data + 4, frame.len - 4);
    buf_free(&frame);
}

/* A list that is null ends librdkafka (docs/findings/null-api-versions.md). */
static void seed_versions(void)
{
    static const char none[] = "\0\0\xff\xff\xff\xff",
                      two[] = "\0\0\0\0\0\2\0\3\0\0\0\x0c\x7f\xff\0\0\0\1";
    fuzz_seed_text("versions-null", VERSIONS, none, sizeof none - 1);
    fuzz_seed_text("versions", VERSIONS, two, sizeof two - 1);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char login[] = FIRST "\nv=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
                      complaint[] = FIRST "\ne=invalid-proof";
    fuzz_longest(argc, argv, LONGEST);
    seed_bodies();
    seed_headers();
    seed_versions();
    fuzz_seed_text("login", SCRAM, login, sizeof login - 1);
    fuzz_seed_text("login-refused", SCRAM, complaint, sizeof complaint - 1);
    return 0;
}
