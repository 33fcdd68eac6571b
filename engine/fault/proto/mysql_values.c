/* MySQL's values: integers of its byte order, and the parameters of an execute as texts. */
#include <string.h>

#include "fault/proto/internal.h"

enum { TYPE_UNSIGNED = 0x8000 };

/* ---- little-endian reading on top of the frame reader ---- */

uint64_t mysql_le(frame_reader *r, size_t n)
{
    frame_slice b = frame_raw(r, n);
    uint64_t v = 0;
    for (size_t i = b.len; i > 0; i--)
        v = v << 8 | (unsigned char)b.data[i - 1];
    return v;
}

uint64_t mysql_lenenc(frame_reader *r)
{
    uint64_t first = mysql_le(r, 1);
    if (first < 0xfb)
        return first;
    return first == 0xfc   ? mysql_le(r, 2)
           : first == 0xfd ? mysql_le(r, 3)
           : first == 0xfe ? mysql_le(r, 8)
                           : 0;
}

static frame_slice mysql_lenenc_str(frame_reader *r)
{
    uint64_t n = mysql_lenenc(r);
    return frame_raw(r, n > SIZE_MAX ? SIZE_MAX : (size_t)n);
}

/* ---- parameters ---- */

static void put_bytes(rl_buf *out, frame_slice v)
{
    bool plain = true;
    for (size_t i = 0; i < v.len; i++)
        plain = plain && (unsigned char)v.data[i] >= 0x20;
    if (plain) {
        buf_add(out, v.data, v.len);
        return;
    }
    buf_str(out, "0x");
    for (size_t i = 0; i < v.len && i < 64; i++)
        buf_printf(out, "%02x", (unsigned char)v.data[i]);
}

static void put_integer(frame_reader *r, size_t n, bool is_unsigned, rl_buf *out)
{
    uint64_t v = mysql_le(r, n);
    if (is_unsigned || n == 8) {
        buf_printf(out, is_unsigned ? "%llu" : "%lld", (unsigned long long)v);
        return;
    }
    unsigned shift = (unsigned)(64 - 8 * n);
    buf_printf(out, "%lld", (long long)((int64_t)(v << shift) >> shift));
}

static void put_double(frame_reader *r, size_t n, rl_buf *out)
{
    uint64_t bits = mysql_le(r, n);
    uint32_t half = (uint32_t)bits;
    double d;
    float f;
    memcpy(&d, &bits, sizeof d);
    memcpy(&f, &half, sizeof f);
    buf_printf(out, "%.17g", n == 4 ? (double)f : d);
}

static void put_param(frame_reader *r, uint16_t type, rl_buf *out)
{
    bool is_unsigned = type & TYPE_UNSIGNED;
    switch (type & 0xff) {
    case 1:
        return put_integer(r, 1, is_unsigned, out);
    case 2:
    case 13:
        return put_integer(r, 2, is_unsigned, out);
    case 3:
    case 9:
        return put_integer(r, 4, is_unsigned, out);
    case 8:
        return put_integer(r, 8, is_unsigned, out);
    case 4:
        return put_double(r, 4, out);
    case 5:
        return put_double(r, 8, out);
    case 6:
        return buf_str(out, "NULL");
    case 7:
    case 10:
    case 11:
    case 12:
        buf_str(out, "time ");
        return put_bytes(out, frame_raw(r, (size_t)mysql_le(r, 1)));
    default:
        return put_bytes(out, mysql_lenenc_str(r));
    }
}

void mysql_read_values(frame_reader *r, int count, bool named, uint16_t *types, rl_buf *out)
{
    frame_slice nulls = frame_raw(r, (size_t)(count + 7) / 8);
    bool sent = mysql_le(r, 1);
    for (int i = 0; sent && i < count && !r->bad; i++) {
        types[i] = (uint16_t)mysql_le(r, 2);
        if (named)
            mysql_lenenc_str(r);
    }
    for (int i = 0; i < count && !r->bad; i++) {
        if (nulls.data[i / 8] >> (i % 8) & 1)
            buf_str(out, "NULL");
        else
            put_param(r, types[i], out);
        buf_u8(out, 0);
    }
}
