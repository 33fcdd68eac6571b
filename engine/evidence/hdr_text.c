#include <limits.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#include "evidence/hdr_text.h"

enum {
    COOKIE_MASK = 0xf0, /* the size of a word; V2 has words of any size */
    OUTER_HEADER = 8,   /* cookie, length of what is compressed */
    HEADER = 40,        /* cookie, length, offset, digits, lowest, highest, ratio */
    WORD_MAX = 9,       /* bytes of a count */
};
static const uint32_t cookie_counts = 0x1c849303, cookie_compressed = 0x1c849304;
static const uint64_t ratio_one = 0x3ff0000000000000; /* 1.0 */

/* ---- writing ---- */

/* ZigZag, then seven bits a byte, least first; the ninth byte has eight. */
static void put_word(rl_buf *out, int64_t value)
{
    uint64_t z = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    for (int i = 1; i < WORD_MAX && z >= 0x80; i++, z >>= 7)
        buf_u8(out, (uint8_t)(z | 0x80));
    buf_u8(out, (uint8_t)z);
}

/* A run of zeros is one negative number. */
static void put_counts(rl_buf *out, const struct hdr_histogram *h)
{
    int32_t end = h->counts_len;
    while (end > 0 && h->counts[end - 1] == 0)
        end--;
    for (int32_t i = 0, zeros; i < end; i += zeros ? zeros : 1) {
        for (zeros = 0; h->counts[i + zeros] == 0; zeros++)
            ;
        put_word(out, zeros ? -(int64_t)zeros : h->counts[i]);
    }
}

static void put_payload(rl_buf *out, const struct hdr_histogram *h)
{
    rl_buf counts = {0};
    put_counts(&counts, h);
    buf_be32(out, cookie_counts | 0x10);
    buf_be32(out, (uint32_t)counts.len);
    buf_be32(out, 0);
    buf_be32(out, (uint32_t)h->significant_figures);
    buf_be64(out, UINT64_C(1) << h->unit_magnitude); /* its name differs between releases */
    buf_be64(out, (uint64_t)h->highest_trackable_value);
    buf_be64(out, ratio_one);
    buf_add(out, counts.data, counts.len);
    buf_free(&counts);
}

static void put_base64(rl_buf *out, const rl_buf *bytes)
{
    buf_reserve(out, (bytes->len + 2) / 3 * 4 + 1);
    out->len += (size_t)EVP_EncodeBlock((uint8_t *)out->data + out->len,
                                        (const uint8_t *)bytes->data, (int)bytes->len);
}

void hdr_text_write(const struct hdr_histogram *h, rl_buf *out)
{
    rl_buf plain = {0}, packed = {0};
    put_payload(&plain, h);
    uLongf size = compressBound(plain.len);
    Bytef *bytes = mem_alloc(size);
    if (compress(bytes, &size, (const Bytef *)plain.data, plain.len) != Z_OK)
        mem_out(); /* the room is enough: nothing else can fail */
    buf_be32(&packed, cookie_compressed | 0x10);
    buf_be32(&packed, (uint32_t)size);
    buf_add(&packed, bytes, size);
    put_base64(out, &packed);
    free(bytes);
    buf_free(&plain);
    buf_free(&packed);
}

/* ---- reading ---- */

static rl_err *bad(const char *what)
{
    return err_new(RL_LAB, 0, "NOT_A_HISTOGRAM", "this is no histogram in HdrHistogram's V2: %s",
                   what);
}

static uint64_t be(const char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | (uint8_t)p[i];
    return v;
}

static bool is_cookie(const char *p, uint32_t cookie)
{
    return ((uint32_t)be(p, 4) & ~(uint32_t)COOKIE_MASK) == cookie;
}

static rl_err *unpack_base64(const char *text, size_t len, rl_buf *out)
{
    if (len == 0 || len % 4 || len > INT_MAX / 2)
        return bad("its base64 is cut off");
    buf_reserve(out, len);
    int n = EVP_DecodeBlock((uint8_t *)out->data, (const uint8_t *)text, (int)len);
    if (n < 0)
        return bad("it is not in base64");
    n -= (text[len - 1] == '=') + (text[len - 2] == '=');
    out->len = (size_t)n;
    return NULL;
}

/* A histogram of its range and digits, still empty. */
static rl_err *begin(const char *head, struct hdr_histogram **h)
{
    uint64_t digits = be(head + 12, 4), lowest = be(head + 16, 8), highest = be(head + 24, 8);
    if (!is_cookie(head, cookie_counts))
        return bad("it has another version");
    if (be(head + 8, 4) != 0 || be(head + 32, 8) != ratio_one)
        return bad("its values are shifted or scaled");
    if (digits < 1 || digits > 5 || lowest < 1 || highest > INT64_MAX || highest / 2 < lowest ||
        hdr_init((int64_t)lowest, (int64_t)highest, (int)digits, h) != 0)
        return bad("its range or its digits cannot be");
    return NULL;
}

/* false where the bytes end too early */
static bool take_word(const char **at, const char *end, int64_t *value)
{
    uint64_t z = 0;
    for (int i = 0; i < WORD_MAX; i++) {
        if (*at == end)
            return false;
        uint64_t byte = (uint8_t) * (*at)++;
        bool last = i == WORD_MAX - 1;
        z |= (last ? byte : byte & 0x7f) << 7 * i;
        if (last || byte < 0x80)
            break;
    }
    *value = (int64_t)(z >> 1 ^ -(z & 1));
    return true;
}

static rl_err *take_counts(const char *at, const char *end, struct hdr_histogram *h)
{
    int64_t word, total = 0;
    for (int64_t i = 0; at < end;) {
        if (!take_word(&at, end, &word))
            return bad("a count is cut off");
        if (word == INT64_MIN || (word < 0 ? -word : 1) > h->counts_len - i)
            return bad("it has more counts than its range");
        if (word >= 0 && word > INT64_MAX - total)
            return bad("its counts are too many");
        if (word > 0)
            h->counts[i] = word, total += word;
        i += word < 0 ? -word : 1;
    }
    hdr_reset_internal_counters(h);
    return NULL;
}

/* What is compressed grows no further than the counts of its range can be. */
static rl_err *inflate_rest(z_stream *z, rl_buf *counts, size_t want)
{
    buf_reserve(counts, want + 1);
    z->next_out = (Bytef *)counts->data;
    z->avail_out = (uInt)want + 1;
    int ended = inflate(z, Z_FINISH);
    counts->len = want + 1 - z->avail_out;
    return ended == Z_STREAM_END && counts->len == want ? NULL : bad("its counts are cut off");
}

static rl_err *read_packed(z_stream *z, struct hdr_histogram **h)
{
    char head[HEADER];
    rl_buf counts = {0};
    z->next_out = (Bytef *)head;
    z->avail_out = HEADER;
    int got = inflate(z, Z_SYNC_FLUSH);
    if ((got != Z_OK && got != Z_STREAM_END) || z->avail_out > 0)
        return bad("it cannot be unpacked");
    rl_err *err = begin(head, h);
    if (err)
        return err;
    uint64_t want = be(head + 4, 4);
    if (want > (uint64_t)(*h)->counts_len * WORD_MAX)
        return bad("it has more counts than its range");
    if (want > 0)
        err = inflate_rest(z, &counts, (size_t)want);
    if (!err)
        err = take_counts(counts.data, counts.data + counts.len, *h);
    buf_free(&counts);
    return err;
}

static rl_err *read_outer(const rl_buf *packed, struct hdr_histogram **h)
{
    z_stream z = {0};
    if (packed->len < OUTER_HEADER || !is_cookie(packed->data, cookie_compressed))
        return bad("it has another version");
    if (be(packed->data + 4, 4) != packed->len - OUTER_HEADER)
        return bad("it is cut off");
    if (inflateInit(&z) != Z_OK)
        mem_out();
    z.next_in = (Bytef *)packed->data + OUTER_HEADER;
    z.avail_in = (uInt)(packed->len - OUTER_HEADER);
    rl_err *err = read_packed(&z, h);
    inflateEnd(&z);
    return err;
}

rl_err *hdr_text_read(const char *text, size_t len, struct hdr_histogram **h)
{
    rl_buf packed = {0};
    *h = NULL;
    rl_err *err = unpack_base64(text, len, &packed);
    if (!err)
        err = read_outer(&packed, h);
    if (err && *h) {
        hdr_close(*h);
        *h = NULL;
    }
    buf_free(&packed);
    return err;
}
