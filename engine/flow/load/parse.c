#include "flow/load/parse.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
        *sized = true;
        return read_digits(value, n, &p->length) && p->length <= PARSE_BODY_MAX;
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

static load_parse_state find_head(load_parse *p, const rl_buf *in)
{
    const char *from = in->data + p->from;
    size_t have = in->len - p->from;
    const char *end = have ? memmem(from, have, "\r\n\r\n", 4) : NULL;
    if (!end)
        return have > PARSE_HEAD_MAX ? PARSE_BROKEN : PARSE_MORE;
    if (!read_head(p, from, (size_t)(end + 2 - from)))
        return PARSE_BROKEN;
    p->from = p->next = (size_t)(end + 4 - in->data);
    if (p->status >= 200)
        return PARSE_DONE;
    p->status = 0; /* an interim one: the real one follows */
    return find_head(p, in);
}

/* One size line and its chunk, or the trailer; next moves behind what was read. */
static load_parse_state read_chunk(load_parse *p, const rl_buf *in)
{
    const char *line = in->data + p->next;
    const char *cr = memmem(line, in->len - p->next, "\r\n", 2);
    if (!cr)
        return in->len - p->next > PARSE_HEAD_MAX ? PARSE_BROKEN : PARSE_MORE;
    if (!isxdigit((unsigned char)*line))
        return PARSE_BROKEN;
    char *end;
    unsigned long size = strtoul(line, &end, 16);
    if (end == line || (*end != '\r' && *end != ';') || size > PARSE_BODY_MAX - p->body.len)
        return PARSE_BROKEN;
    size_t data = (size_t)(cr + 2 - in->data);
    if (size == 0) {
        const char *trailer = memmem(cr, in->len - data + 2, "\r\n\r\n", 4);
        p->next = trailer ? (size_t)(trailer + 4 - in->data) : p->next;
        return trailer ? PARSE_DONE : PARSE_MORE;
    }
    if (in->len < data + size + 2)
        return PARSE_MORE;
    buf_add(&p->body, in->data + data, size);
    p->next = data + size + 2;
    return read_chunk(p, in);
}

static load_parse_state read_plain(load_parse *p, const rl_buf *in, bool ended)
{
    size_t have = in->len - p->from;
    if (p->until_close ? !ended : have < p->length)
        return have > PARSE_BODY_MAX ? PARSE_BROKEN : PARSE_MORE;
    size_t length = p->until_close ? have : p->length;
    buf_add(&p->body, in->data + p->from, length);
    p->next = p->from + length;
    return PARSE_DONE;
}

load_parse_state load_parse_feed(load_parse *p, const rl_buf *in, bool ended)
{
    if (!p->status) {
        load_parse_state head = find_head(p, in);
        if (head != PARSE_DONE)
            return ended ? PARSE_BROKEN : head;
    }
    load_parse_state body = p->chunked ? read_chunk(p, in) : read_plain(p, in, ended);
    if (body == PARSE_DONE)
        p->reusable = p->reusable && p->next == in->len && !ended;
    return body == PARSE_MORE && ended ? PARSE_BROKEN : body;
}
