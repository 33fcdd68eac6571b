/* The other readers of foreign bytes under libFuzzer: JSON, failpoint expressions, HTTP replies.
 * The first byte says which. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "fault/point/parse.h"
#include "flow/load/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

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
    if (data[0] % 3 == 0)
        read_json(text, len - 1);
    else if (data[0] % 3 == 1)
        read_expr(text);
    else
        read_reply(text, len - 1);
    free(text);
    return 0;
}
