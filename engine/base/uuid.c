#include "base/uuid.h"

static bool is_dash(size_t at)
{
    return at == 8 || at == 13 || at == 18 || at == 23;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void uuid_text(const uint8_t id[UUID_BYTES], char out[UUID_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    char *p = out;
    for (int i = 0; i < UUID_BYTES; i++) {
        if (is_dash((size_t)(p - out)))
            *p++ = '-';
        *p++ = digits[id[i] >> 4];
        *p++ = digits[id[i] & 15];
    }
    *p = '\0';
}

bool uuid_parse(const char *text, size_t len, uint8_t out[UUID_BYTES])
{
    int half = 0;
    if (len != UUID_LEN)
        return false;
    for (size_t i = 0; i < len; i++) {
        int n = nibble(text[i]);
        if (is_dash(i) ? text[i] != '-' : n < 0)
            return false;
        if (is_dash(i))
            continue;
        out[half / 2] = (uint8_t)(half % 2 ? out[half / 2] | n : n << 4);
        half++;
    }
    return true;
}

void uuid_v7(int64_t unix_ms, uint64_t a, uint64_t b, uint8_t out[UUID_BYTES])
{
    uint64_t high = (uint64_t)unix_ms << 16 | 0x7000 | (a & 0xfff);
    uint64_t low = (0x8000 | (a >> 12 & 0x3fff)) << 48 | (b & 0xffffffffffff);
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(high >> (56 - 8 * i));
        out[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
}
