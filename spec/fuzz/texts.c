/* The other readers of foreign bytes under libFuzzer: JSON, failpoint expressions, HTTP replies.
 * The first byte says which. */
#include <assert.h>

#include "base/err.h"
#include "base/json.h"
#include "fault/point/parse.h"
#include "flow/load/parse.h"
#include "fuzz.h"

/* A reply's head, then the size line of a chunk. Its body's limit of many megabytes is out of reach. */
enum { LONGEST = PARSE_HEAD_MAX + PARSE_LINE_MAX + 4096 };
static_assert((int)LONGEST > (int)FAIL_TEXT_MAX && (int)LONGEST > 2 * (int)JSON_DEPTH_MAX,
              "the other texts are shorter");

typedef enum text_kind { JSON_TEXT, EXPR_TEXT, REPLY_TEXT, TEXT_KINDS } text_kind;

static void read_json(const char *text, size_t len)
{
    json_reader r;
    json_open(&r, text, len);
    for (json_token t = json_next(&r); t != JSON_END && t != JSON_ERROR; t = json_next(&r))
        ;
    json_close(&r);
}

static void read_expr(const char *text)
{
    fail_expr expr = {0};
    rl_buf told = {0};
    rl_err *err = fail_parse(text, &expr);
    if (!err) {
        fail_explain(&expr, &told);
        fail_expr_free(&expr);
    }
    err_free(err);
    buf_free(&told);
}

/* It comes in two pieces, as a socket may deliver it. */
static void read_reply(const char *text, size_t len)
{
    load_parse p = {0};
    rl_buf in = {0};
    load_parse_begin(&p, false);
    buf_add(&in, text, len / 2);
    if (load_parse_feed(&p, &in, false) == PARSE_MORE) {
        buf_add(&in, text + len / 2, len - len / 2);
        load_parse_feed(&p, &in, true);
    }
    buf_free(&p.body);
    buf_free(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    char *text = malloc(len); /* its own, and ended by a zero byte in the place of the first */
    for (size_t i = 1; i < len; i++)
        text[i - 1] = (char)data[i];
    text[len - 1] = 0;
    if (data[0] % TEXT_KINDS == JSON_TEXT)
        read_json(text, len - 1);
    else if (data[0] % TEXT_KINDS == EXPR_TEXT)
        read_expr(text);
    else
        read_reply(text, len - 1);
    free(text);
    return 0;
}

/* ---- seeds: each with what it may have at most, and with a byte more ---- */

static void seed(text_kind kind, const rl_buf *text, const char *name)
{
    rl_buf out = {0};
    buf_u8(&out, (uint8_t)kind);
    buf_add(&out, text->data, text->len);
    fuzz_seed(name, &out);
    buf_free(&out);
}

static void repeat(rl_buf *out, char c, size_t until)
{
    while (out->len < until)
        buf_add(out, &c, 1);
}

static void seed_json(int more)
{
    rl_buf text = {0};
    buf_str(&text, "{\"a\":[1,-2.5e3,true,null,\"\\u00e9\\n\"],\"b\":");
    repeat(&text, '[', text.len + (size_t)(JSON_DEPTH_MAX - 1 + more));
    repeat(&text, ']', text.len + (size_t)(JSON_DEPTH_MAX - 1 + more));
    buf_str(&text, "}");
    seed(JSON_TEXT, &text, more ? "json-too-deep" : "json-deepest");
    buf_free(&text);
}

static void seed_expr(int more)
{
    rl_buf text = {0};
    buf_str(&text, "50%3*error(");
    repeat(&text, '7', (size_t)(FAIL_TEXT_MAX - 20 + more));
    buf_str(&text, ") [if key=a]->#2kill");
    seed(EXPR_TEXT, &text, more ? "expr-too-long" : "expr-longest");
    buf_free(&text);
}

static void seed_reply(int more)
{
    rl_buf text = {0};
    buf_str(&text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: ");
    repeat(&text, 'x', (size_t)(PARSE_HEAD_MAX + more));
    buf_str(&text, "\r\n\r\n5;");
    repeat(&text, 'y', text.len + (size_t)(PARSE_LINE_MAX - 2 + more));
    buf_str(&text, "\r\nhello\r\n0\r\nTrailer: z\r\n\r\n");
    seed(REPLY_TEXT, &text, more ? "reply-too-long" : "reply-longest");
    buf_free(&text);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_longest(argc, argv, LONGEST);
    for (int more = 0; more < 2; more++) {
        seed_json(more);
        seed_expr(more);
        seed_reply(more);
    }
    return 0;
}
