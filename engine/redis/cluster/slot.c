#include "redis/cluster/slot.h"

#include <string.h>

static uint16_t crc_of_byte(uint16_t crc, unsigned char byte)
{
    crc ^= (uint16_t)(byte << 8);
    for (int bit = 0; bit < 8; bit++)
        crc = (uint16_t)((crc & 0x8000) ? (crc << 1) ^ 0x1021 : crc << 1);
    return crc;
}

uint16_t cluster_crc16(const char *bytes, size_t len)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < len; i++)
        crc = crc_of_byte(crc, (unsigned char)bytes[i]);
    return crc;
}

int cluster_slot(const char *key, size_t len)
{
    const char *open = len ? memchr(key, '{', len) : NULL;
    const char *close = open ? memchr(open, '}', (size_t)(key + len - open)) : NULL;
    if (close && close > open + 1) {
        len = (size_t)(close - open - 1);
        key = open + 1;
    }
    return cluster_crc16(key, len) % CLUSTER_SLOTS;
}
