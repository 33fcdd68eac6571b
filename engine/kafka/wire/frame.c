#include "kafka/wire/frame.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"

/* ---- APIs ---- */

static const struct {
    const char *name;
    int flexible;
} apis[] = {
#define API(key, name, flexible) [key] = {#name, flexible},
#include "kafka/wire/frame_apis.h"
#undef API
};

#define API_COUNT ((int)(sizeof apis / sizeof *apis))

const char *frame_api_name(int api)
{
    return api >= 0 && api < API_COUNT ? apis[api].name : NULL;
}

int frame_api_key(const char *name)
{
    for (int i = 0; i < API_COUNT; i++)
        if (apis[i].name && strcasecmp(apis[i].name, name) == 0)
            return i;
    return -1;
}

bool frame_api_flexible(int api, int version)
{
    return frame_api_name(api) && apis[api].flexible >= 0 && version >= apis[api].flexible;
}

/* A broker answers ApiVersions without header tags, since a client asks it before it knows what
 * the broker speaks. */
static bool response_has_tags(int api, int version)
{
    return api != FRAME_API_VERSIONS && frame_api_flexible(api, version);
}

/* ControlledShutdown version 0 alone has a header without a client id. */
static bool request_has_client(int api, int version)
{
    return !(api == 7 && version == 0);
}

/* ---- reading ---- */

frame_reader frame_read(const void *data, size_t len, bool flexible)
{
    return (frame_reader){.data = data, .len = len, .flexible = flexible};
}

static const char *frame_take(frame_reader *r, size_t n)
{
    if (r->bad || n > r->len - r->pos) {
        r->bad = true;
        return NULL;
    }
    const char *p = r->data + r->pos;
    r->pos += n;
    rl_assert(r->pos <= r->len);
    return p;
}

static uint64_t take_be(frame_reader *r, size_t n)
{
    const char *p = frame_take(r, n);
    uint64_t v = 0;
    for (size_t i = 0; p && i < n; i++)
        v = v << 8 | (uint8_t)p[i];
    return v;
}

int8_t frame_i8(frame_reader *r)
{
    return (int8_t)take_be(r, 1);
}

int16_t frame_i16(frame_reader *r)
{
    return (int16_t)take_be(r, 2);
}

int32_t frame_i32(frame_reader *r)
{
    return (int32_t)take_be(r, 4);
}

int64_t frame_i64(frame_reader *r)
{
    return (int64_t)take_be(r, 8);
}

uint32_t frame_uvarint(frame_reader *r)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        uint64_t byte = take_be(r, 1);
        v |= (byte & 0x7f) << shift;
        if (r->bad || !(byte & 0x80)) {
            if (v > UINT32_MAX)
                r->bad = true;
            return r->bad ? 0 : (uint32_t)v;
        }
    }
    r->bad = true;
    return 0;
}

frame_slice frame_raw(frame_reader *r, size_t n)
{
    const char *p = frame_take(r, n);
    return (frame_slice){.data = p, .len = p ? n : 0};
}

/* The length that stands in front of a string, of bytes or of an array: -1 is null, anything
 * below is a mistake. */
static int64_t take_length(frame_reader *r, int width)
{
    int64_t n;
    if (r->flexible)
        n = (int64_t)frame_uvarint(r) - 1;
    else
        n = width == 2 ? frame_i16(r) : frame_i32(r);
    if (r->bad)
        return -1;
    if (n < -1 || n > (int64_t)(r->len - r->pos)) {
        r->bad = true;
        return -1;
    }
    return n;
}

static frame_slice take_counted(frame_reader *r, int width)
{
    int64_t n = take_length(r, width);
    return n < 0 ? (frame_slice){0} : frame_raw(r, (size_t)n);
}

frame_slice frame_str(frame_reader *r)
{
    return take_counted(r, 2);
}

frame_slice frame_bytes(frame_reader *r)
{
    return take_counted(r, 4);
}

/* Every element takes a byte at least: a count above what is left is a lie, and nobody allocates
 * for it. */
int32_t frame_array(frame_reader *r)
{
    int64_t n = take_length(r, 4);
    if (n > INT32_MAX)
        r->bad = true;
    return r->bad ? -1 : (int32_t)n;
}

void frame_tags(frame_reader *r)
{
    if (!r->flexible)
        return;
    uint32_t count = frame_uvarint(r);
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        frame_uvarint(r);
        frame_raw(r, frame_uvarint(r));
    }
}

rl_err *frame_end(const frame_reader *r, const char *what)
{
    if (r->bad)
        return err_lab("MALFORMED", "%s: the bytes make no sense at %zu of %zu", what, r->pos,
                       r->len);
    if (r->pos != r->len)
        return err_lab("MALFORMED", "%s: %zu bytes too many", what, r->len - r->pos);
    return NULL;
}

char *frame_dup(frame_slice slice)
{
    return slice.data ? mem_dup(slice.data, slice.len) : NULL;
}

/* ---- headers ---- */

rl_err *frame_request_header(const void *data, size_t len, frame_request *request)
{
    frame_reader r = frame_read(data, len, false);
    request->api = frame_i16(&r);
    request->version = frame_i16(&r);
    request->correlation = frame_i32(&r);
    request->client = (frame_slice){0};
    if (request_has_client(request->api, request->version))
        request->client = frame_str(&r);
    request->flexible = r.flexible = frame_api_flexible(request->api, request->version);
    frame_tags(&r);
    request->body = r.pos;
    if (r.bad || request->api < 0 || request->version < 0)
        return err_lab("MALFORMED", "no request header in these %zu bytes", len);
    return NULL;
}

rl_err *frame_response_header(frame_reader *r, int api, int version, int32_t *correlation)
{
    *correlation = frame_i32(r);
    r->flexible = frame_api_flexible(api, version);
    if (response_has_tags(api, version))
        frame_tags(r);
    if (r->bad)
        return err_lab("MALFORMED", "no response header in these %zu bytes", r->len);
    return NULL;
}

rl_err *frame_size(const void *four_bytes, size_t limit, size_t *size)
{
    frame_reader r = frame_read(four_bytes, 4, false);
    int32_t n = frame_i32(&r);
    if (n < 0 || (size_t)n > limit)
        return err_lab("MALFORMED",
                       "a frame of %d bytes; this is no Kafka, or above the limit of %zu", n,
                       limit);
    *size = (size_t)n;
    return NULL;
}

/* ---- writing ---- */

frame_writer frame_begin(rl_buf *buf, int api, int version, int32_t correlation, const char *client)
{
    frame_writer w = {.buf = buf, .start = buf->len};
    buf_be32(buf, 0);
    buf_be16(buf, (uint16_t)api);
    buf_be16(buf, (uint16_t)version);
    buf_be32(buf, (uint32_t)correlation);
    if (request_has_client(api, version))
        frame_put_str(&w, client);
    w.flexible = frame_api_flexible(api, version);
    frame_put_tags(&w);
    return w;
}

frame_writer frame_begin_response(rl_buf *buf, int api, int version, int32_t correlation)
{
    frame_writer w = {.buf = buf, .start = buf->len, .flexible = frame_api_flexible(api, version)};
    buf_be32(buf, 0);
    buf_be32(buf, (uint32_t)correlation);
    if (response_has_tags(api, version))
        frame_put_tags(&w);
    return w;
}

void frame_finish(frame_writer *w)
{
    rl_assert(w->buf->len >= w->start + 4 && w->buf->len - w->start - 4 <= INT32_MAX);
    uint32_t n = (uint32_t)(w->buf->len - w->start - 4);
    for (int i = 0; i < 4; i++)
        w->buf->data[w->start + (size_t)i] = (char)(n >> (24 - 8 * i));
}

void frame_put_i8(frame_writer *w, int8_t v)
{
    buf_u8(w->buf, (uint8_t)v);
}

void frame_put_i16(frame_writer *w, int16_t v)
{
    buf_be16(w->buf, (uint16_t)v);
}

void frame_put_i32(frame_writer *w, int32_t v)
{
    buf_be32(w->buf, (uint32_t)v);
}

void frame_put_i64(frame_writer *w, int64_t v)
{
    buf_be64(w->buf, (uint64_t)v);
}

void frame_put_uvarint(frame_writer *w, uint32_t v)
{
    for (; v > 0x7f; v >>= 7)
        buf_u8(w->buf, (uint8_t)(v | 0x80));
    buf_u8(w->buf, (uint8_t)v);
}

static void put_length(frame_writer *w, int64_t n, int width)
{
    if (w->flexible)
        frame_put_uvarint(w, (uint32_t)(n + 1));
    else if (width == 2)
        frame_put_i16(w, (int16_t)n);
    else
        frame_put_i32(w, (int32_t)n);
}

void frame_put_slice(frame_writer *w, frame_slice slice)
{
    if (!slice.data) {
        put_length(w, -1, 2);
        return;
    }
    size_t n = !w->flexible && slice.len > INT16_MAX ? INT16_MAX : slice.len;
    put_length(w, (int64_t)n, 2);
    buf_add(w->buf, slice.data, n);
}

void frame_put_str(frame_writer *w, const char *text)
{
    frame_put_slice(w, (frame_slice){.data = text, .len = text ? strlen(text) : 0});
}

void frame_put_bytes(frame_writer *w, const void *data, size_t n)
{
    put_length(w, data ? (int64_t)n : -1, 4);
    if (data)
        buf_add(w->buf, data, n);
}

void frame_put_array(frame_writer *w, int32_t count)
{
    put_length(w, count, 4);
}

void frame_put_tags(frame_writer *w)
{
    if (w->flexible)
        frame_put_uvarint(w, 0);
}
