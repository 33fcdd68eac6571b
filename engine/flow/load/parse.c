#include "flow/load/parse.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/json.h"

void load_parse_begin(load_parse *p, bool head_only)
{
    rl_buf body = p->body;
    buf_reset(&body);
    *p = (load_parse){.head_only = head_only, .body = body};
}

/* The value of a header line when it has that name; its length. */
static const char *value_of(const char *line, size_t len, const char *name, size_t *value_len)
{
    size_t n = strlen(name);
    if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return NULL;
    const char *value = line + n + 1, *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *value_len = (size_t)(end - value);
    return value;
}

static bool read_digits(const char *text, size_t len, size_t *out)
{
    size_t v = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || v > PARSE_BODY_MAX)
            return false;
        v = v * 10 + (size_t)(text[i] - '0');
    }
    *out = v;
    return len > 0;
}

static bool read_header(load_parse *p, const char *line, size_t len, bool *sized)
{
    size_t n;
    const char *value = value_of(line, len, "content-length", &n);
    if (value) {
        size_t before = p->length;
        bool fine = read_digits(value, n, &p->length) && p->length <= PARSE_BODY_MAX &&
                    (!*sized || p->length == before);
        *sized = true;
        return fine;
    }
    value = value_of(line, len, "transfer-encoding", &n);
    if (value) {
        p->chunked = n == 7 && strncasecmp(value, "chunked", n) == 0;
        return p->chunked;
    }
    value = value_of(line, len, "connection", &n);
    if (value)
        p->reusable = p->reusable && !(n == 5 && strncasecmp(value, "close", n) == 0);
    return true;
}

/* "HTTP/1.1 200 OK": the minor version 0 does not keep the connection. */
static bool read_status(load_parse *p, const char *line, size_t len)
{
    size_t status;
    if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' ||
        !read_digits(line + 9, 3, &status) || status < 100)
        return false;
    p->reusable = line[7] == '1';
    p->status = (int)status;
    return true;
}

static bool read_head(load_parse *p, const char *head, size_t len)
{
    bool sized = false, first = true;
    p->chunked = false; /* what an interim reply said of itself */
    p->length = 0;
    for (const char *line = head, *end = head + len; line < end;) {
        const char *cr = memmem(line, (size_t)(end - line), "\r\n", 2);
        size_t n = (size_t)(cr - line);
        if (!(first ? read_status(p, line, n) : read_header(p, line, n, &sized)))
            return false;
        first = false;
        line = cr + 2;
    }
    bool bare = p->head_only || p->status == 204 || p->status == 304;
    if (bare) {
        p->chunked = false;
        p->length = 0;
    }
    p->until_close = !bare && !sized && !p->chunked;
    p->reusable = p->reusable && !p->until_close;
    return true;
}

static size_t at_most(size_t have, size_t limit)
{
    return have < limit ? have : limit;
}

/* The end of the lines from `at` on: where the empty line begins, with the line end before it.
 * PARSE_BROKEN: it is not among the bytes that they may have. */
static load_parse_state find_empty_line(const rl_buf *in, size_t at, size_t *end)
{
    size_t have = in->len - at;
    const char *from = in->data + at;
    const char *found =
        have ? memmem(from, at_most(have, PARSE_HEAD_MAX + 4), "\r\n\r\n", 4) : NULL;
    if (!found)
        return have > PARSE_HEAD_MAX ? PARSE_BROKEN : PARSE_MORE;
    *end = at + (size_t)(found - from);
    return PARSE_DONE;
}

/* The head of the final reply; interim ones before it are passed over. */
static load_parse_state find_head(load_parse *p, const rl_buf *in)
{
    for (size_t end; p->interim <= PARSE_INTERIM_MAX; p->interim++) {
        load_parse_state found = find_empty_line(in, p->from, &end);
        if (found != PARSE_DONE)
            return found;
        if (!read_head(p, in->data + p->from, end + 2 - p->from))
            return PARSE_BROKEN;
        p->from = p->next = end + 4;
        if (p->status >= 200)
            return PARSE_DONE;
        p->status = 0;
    }
    return PARSE_BROKEN;
}

/* "1a" or "1a;extension": digits and nothing before them, not even a sign or 0x. */
static bool read_size(const char *line, size_t len, size_t *size)
{
    size_t i = 0;
    *size = 0;
    for (int digit; i < len && (digit = json_hex_digit(line[i])) >= 0; i++) {
        *size = *size * 16 + (size_t)digit;
        if (*size > PARSE_BODY_MAX)
            return false;
    }
    return i > 0 && (i == len || line[i] == ';');
}

/* `at` is where the line end of the last size line stands. */
static load_parse_state read_trailers(load_parse *p, const rl_buf *in, size_t at)
{
    size_t end;
    load_parse_state found = find_empty_line(in, at, &end);
    if (found != PARSE_DONE)
        return found;
    p->next = end + 4;
    p->last = true;
    return PARSE_DONE;
}

/* One size line and its chunk, or the last one and the trailers; next moves behind what was read. */
static load_parse_state read_chunk(load_parse *p, const rl_buf *in)
{
    const char *line = in->data + p->next;
    size_t have = in->len - p->next, size;
    const char *cr = have ? memmem(line, at_most(have, PARSE_LINE_MAX), "\r\n", 2) : NULL;
    if (!cr)
        return have >= PARSE_LINE_MAX ? PARSE_BROKEN : PARSE_MORE;
    size_t len = (size_t)(cr - line), data = p->next + len + 2;
    if (!read_size(line, len, &size) || size > PARSE_BODY_MAX - p->body.len)
        return PARSE_BROKEN;
    if (size == 0)
        return read_trailers(p, in, p->next + len);
    if (in->len < data + size + 2)
        return PARSE_MORE;
    p->framing += len + 4;
    if (memcmp(in->data + data + size, "\r\n", 2) != 0 || p->framing > PARSE_FRAMING_MAX)
        return PARSE_BROKEN;
    buf_add(&p->body, in->data + data, size);
    p->next = data + size + 2;
    return PARSE_DONE;
}

static load_parse_state read_chunks(load_parse *p, const rl_buf *in)
{
    load_parse_state state;
    do
        state = read_chunk(p, in);
    while (state == PARSE_DONE && !p->last);
    return state;
}

static load_parse_state read_plain(load_parse *p, const rl_buf *in, bool ended)
{
    size_t have = in->len - p->from;
    if (p->until_close ? !ended : have < p->length)
        return have > PARSE_BODY_MAX ? PARSE_BROKEN : PARSE_MORE;
    if (p->until_close && have > PARSE_BODY_MAX)
        return PARSE_BROKEN;
    size_t length = p->until_close ? have : p->length;
    buf_add(&p->body, in->data + p->from, length);
    p->next = p->from + length;
    return PARSE_DONE;
}

load_parse_state load_parse_feed(load_parse *p, const rl_buf *in, bool ended)
{
    rl_assert(p->from <= in->len && p->next <= in->len); /* `in` only grows */
    if (!p->status) {
        load_parse_state head = find_head(p, in);
        if (head != PARSE_DONE)
            return ended ? PARSE_BROKEN : head;
    }
    load_parse_state body = p->chunked ? read_chunks(p, in) : read_plain(p, in, ended);
    rl_assert(p->body.len <= PARSE_BODY_MAX);
    if (body == PARSE_DONE)
        p->reusable = p->reusable && p->next == in->len && !ended;
    return body == PARSE_MORE && ended ? PARSE_BROKEN : body;
}
