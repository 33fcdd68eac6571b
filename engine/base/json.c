#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What may come next. */
enum { WANT_VALUE, WANT_VALUE_OR_END, WANT_KEY, WANT_KEY_OR_END, WANT_COMMA_OR_END, WANT_EOF };

/* The mark that some editors put before a text: it is none of it (RFC 8259, 8.1). */
static size_t mark_length(const char *text, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf";
    return len >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
}

void json_open(json_reader *r, const char *text, size_t len)
{
    size_t mark = mark_length(text, len);
    text += mark;
    len -= mark;
    memset(r, 0, sizeof *r);
    r->text = text;
    r->len = len;
    r->state = WANT_VALUE;
}

void json_close(json_reader *r)
{
    buf_free(&r->str);
}

static json_token fail(json_reader *r, size_t at, const char *fmt, ...)
{
    int line = 1, column = 1;
    for (size_t i = 0; i < at && i < r->len; i++) {
        column++;
        if (r->text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    int n = snprintf(r->error, sizeof r->error, "line %d, column %d: ", line, column);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->error + n, sizeof r->error - (size_t)n, fmt, ap);
    va_end(ap);
    return JSON_ERROR;
}

/* The byte at the position, -1 at the end. */
static int peek(const json_reader *r)
{
    return r->pos < r->len ? (unsigned char)r->text[r->pos] : -1;
}

static void skip_space(json_reader *r)
{
    int c;
    while ((c = peek(r)) == ' ' || c == '\t' || c == '\n' || c == '\r')
        r->pos++;
}

static json_token unexpected(json_reader *r, const char *want)
{
    int c = peek(r);
    if (c < 0)
        return fail(r, r->pos, "the text ends where %s is expected", want);
    if (c < 0x20 || c > 0x7e)
        return fail(r, r->pos, "%s is expected, found byte 0x%02x", want, (unsigned)c);
    return fail(r, r->pos, "%s is expected, found '%c'", want, c);
}

static void after_value(json_reader *r)
{
    r->state = r->depth ? WANT_COMMA_OR_END : WANT_EOF;
}

/* ---- strings ---- */

static const char NO_ESCAPE[] = "no such escape";

static int hex4(const json_reader *r, size_t at)
{
    int v = 0;
    if (at + 4 > r->len)
        return -1;
    for (size_t i = at; i < at + 4; i++) {
        int c = (unsigned char)r->text[i], low = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v * 16 + c - '0';
        else if (low >= 'a' && low <= 'f')
            v = v * 16 + low - 'a' + 10;
        else
            return -1;
    }
    return v;
}

static void put_utf8(rl_buf *out, unsigned c)
{
    if (c < 0x80) {
        buf_u8(out, (uint8_t)c);
        return;
    }
    if (c < 0x800) {
        buf_u8(out, (uint8_t)(0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            buf_u8(out, (uint8_t)(0xe0 | c >> 12));
        } else {
            buf_u8(out, (uint8_t)(0xf0 | c >> 18));
            buf_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        }
        buf_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
}

/* The four digits after \u, and those of the second half of a pair. Returns what is wrong, or
 * NULL: half of a pair is no character, but \udc80-\udcff are bytes of ours. */
static const char *read_unicode(json_reader *r)
{
    int hi = hex4(r, r->pos);
    if (hi < 0)
        return NO_ESCAPE;
    r->pos += 4;
    bool pair = hi >= 0xd800 && hi < 0xdc00 && r->len - r->pos >= 6 &&
                memcmp(r->text + r->pos, "\\u", 2) == 0;
    int lo = pair ? hex4(r, r->pos + 2) : -1;
    if (lo >= 0xdc00 && lo < 0xe000) {
        r->pos += 6;
        put_utf8(&r->str, 0x10000 + ((unsigned)(hi - 0xd800) << 10) + (unsigned)(lo - 0xdc00));
    } else if (hi >= 0xdc80 && hi <= 0xdcff) {
        buf_u8(&r->str, (uint8_t)(hi & 0xff));
    } else if (hi >= 0xd800 && hi < 0xe000) {
        return "half of a surrogate pair is no character";
    } else {
        put_utf8(&r->str, (unsigned)hi);
    }
    return NULL;
}

static const char *read_escape(json_reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = peek(r);
    const char *known = c > 0 ? strchr(from, c) : NULL;
    r->pos++;
    if (known) {
        buf_u8(&r->str, (uint8_t)to[known - from]);
        return NULL;
    }
    return c == 'u' ? read_unicode(r) : NO_ESCAPE;
}

/* The position is at the opening quote. */
static json_token read_string(json_reader *r, json_token token)
{
    size_t start = r->pos++;
    buf_reset(&r->str);
    for (;;) {
        size_t run = r->pos;
        int c;
        while ((c = peek(r)) >= 0x20 && c != '"' && c != '\\')
            r->pos++;
        buf_add(&r->str, r->text + run, r->pos - run);
        if (c < 0)
            return fail(r, start, "this string has no end");
        if (c < 0x20)
            return fail(r, r->pos,
                        "a control character (0x%02x) stands in a string; write it as an escape",
                        (unsigned)c);
        r->pos++;
        if (c == '"')
            return token;
        size_t escape = r->pos - 1;
        const char *wrong = read_escape(r);
        if (wrong)
            return fail(r, escape, "%s", wrong);
    }
}

/* ---- numbers and words ---- */

static size_t digits(json_reader *r)
{
    size_t start = r->pos;
    while (peek(r) >= '0' && peek(r) <= '9')
        r->pos++;
    return r->pos - start;
}

static json_token convert(json_reader *r, size_t start, bool integer)
{
    buf_reset(&r->str);
    buf_add(&r->str, r->text + start, r->pos - start);
    errno = 0;
    if (!integer) {
        r->d = strtod(r->str.data, NULL);
        return isfinite(r->d) ? JSON_FLOAT : fail(r, start, "a number beyond what a double holds");
    }
    r->i = strtoll(r->str.data, NULL, 10);
    return errno == ERANGE ? JSON_BIG : JSON_INT;
}

static json_token read_number(json_reader *r)
{
    size_t start = r->pos;
    bool integer = true;
    if (peek(r) == '-')
        r->pos++;
    bool zero = peek(r) == '0';
    size_t n = digits(r);
    if (n == 0)
        return unexpected(r, "a digit");
    if (zero && n > 1)
        return fail(r, start, "a number cannot begin with 0");
    if (peek(r) == '.') {
        r->pos++;
        integer = false;
        if (digits(r) == 0)
            return unexpected(r, "a digit");
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->pos++;
        integer = false;
        if (peek(r) == '+' || peek(r) == '-')
            r->pos++;
        if (digits(r) == 0)
            return unexpected(r, "a digit");
    }
    return convert(r, start, integer);
}

static bool take_word(json_reader *r, const char *word)
{
    size_t n = strlen(word);
    if (r->len - r->pos < n || memcmp(r->text + r->pos, word, n) != 0)
        return false;
    r->pos += n;
    return true;
}

static json_token read_word(json_reader *r)
{
    r->i = take_word(r, "true");
    if (r->i || take_word(r, "false"))
        return JSON_BOOL;
    if (take_word(r, "null"))
        return JSON_NULL;
    return unexpected(r, "a value");
}

/* ---- structure ---- */

static json_token open_level(json_reader *r, char kind)
{
    if (r->depth == JSON_DEPTH_MAX)
        return fail(r, r->pos, "nested deeper than %d levels", JSON_DEPTH_MAX);
    r->pos++;
    r->in[r->depth++] = kind;
    r->state = kind == '{' ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    return kind == '{' ? JSON_OBJECT : JSON_ARRAY;
}

static json_token close_level(json_reader *r)
{
    r->pos++;
    char kind = r->in[--r->depth];
    after_value(r);
    return kind == '{' ? JSON_OBJECT_END : JSON_ARRAY_END;
}

static json_token read_key(json_reader *r)
{
    if (peek(r) != '"')
        return unexpected(r, "a key in quotes");
    if (read_string(r, JSON_KEY) == JSON_ERROR)
        return JSON_ERROR;
    skip_space(r);
    if (peek(r) != ':')
        return unexpected(r, "':'");
    r->pos++;
    r->state = WANT_VALUE;
    return JSON_KEY;
}

static json_token read_value(json_reader *r)
{
    int c = peek(r);
    if (c == '{' || c == '[')
        return open_level(r, (char)c);
    json_token token = c == '"'                             ? read_string(r, JSON_STRING)
                       : c == '-' || (c >= '0' && c <= '9') ? read_number(r)
                                                            : read_word(r);
    if (token != JSON_ERROR)
        after_value(r);
    return token;
}

static json_token comma_or_end(json_reader *r)
{
    bool object = r->in[r->depth - 1] == '{';
    if (peek(r) == (object ? '}' : ']'))
        return close_level(r);
    if (peek(r) != ',')
        return unexpected(r, object ? "',' or '}'" : "',' or ']'");
    r->pos++;
    r->state = object ? WANT_KEY : WANT_VALUE;
    return json_next(r);
}

json_token json_next(json_reader *r)
{
    if (r->error[0])
        return JSON_ERROR;
    skip_space(r);
    switch (r->state) {
    case WANT_EOF:
        return peek(r) < 0 ? JSON_END : unexpected(r, "the end of the text");
    case WANT_COMMA_OR_END:
        return comma_or_end(r);
    case WANT_KEY_OR_END:
        return peek(r) == '}' ? close_level(r) : read_key(r);
    case WANT_KEY:
        return read_key(r);
    case WANT_VALUE_OR_END:
        return peek(r) == ']' ? close_level(r) : read_value(r);
    default:
        return read_value(r);
    }
}

/* ---- writing ---- */

/* Length of the UTF-8 sequence at p, 0 when there is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    size_t n = p[0] < 0x80                   ? 1
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
               : (p[0] & 0xf0) == 0xe0       ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool beyond = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return overlong || beyond ? 0 : n;
}

bool json_is_utf8(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + len;
    while (p < end) {
        size_t n = utf8_len(p, (size_t)(end - p));
        if (!n)
            return false;
        p += n;
    }
    return true;
}

int json_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void put_escaped(rl_buf *out, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *known = c ? strchr(from, c) : NULL;
    if (known)
        buf_printf(out, "\\%c", to[known - from]);
    else
        buf_printf(out, "\\u%04x", c);
}

void json_put_string(rl_buf *out, const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + len, *run = p;
    buf_u8(out, '"');
    while (p < end) {
        size_t n =
            *p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f ? 0 : utf8_len(p, (size_t)(end - p));
        if (n) {
            p += n;
            continue;
        }
        buf_add(out, run, (size_t)(p - run));
        if (*p < 0x80)
            put_escaped(out, *p);
        else
            buf_printf(out, "\\udc%02x", *p);
        run = ++p;
    }
    buf_add(out, run, (size_t)(p - run));
    buf_u8(out, '"');
}

void json_put_cstr(rl_buf *out, const char *text)
{
    json_put_string(out, text, strlen(text));
}

void json_put_int(rl_buf *out, int64_t v)
{
    buf_printf(out, "%" PRId64, v);
}

void json_put_float(rl_buf *out, double v)
{
    char text[40];
    if (!isfinite(v)) {
        buf_str(out, "null");
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_str(out, text);
    if (!strpbrk(text, ".e"))
        buf_str(out, ".0");
}
