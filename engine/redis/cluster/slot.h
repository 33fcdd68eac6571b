/* Which of the 16384 slots of a Redis Cluster a key belongs to.
 *
 * Offers: the CRC16 of the Redis Cluster specification (XMODEM), and a key's slot by its hash tag: what
 * stands between the first `{` and the first `}` behind it, or the whole key where that is nothing.
 * Uses: nothing. Thread: any. */
#ifndef RL_REDIS_CLUSTER_SLOT_H
#define RL_REDIS_CLUSTER_SLOT_H

#include <stddef.h>
#include <stdint.h>

enum { CLUSTER_SLOTS = 16384 };

uint16_t cluster_crc16(const char *bytes, size_t len);
int cluster_slot(const char *key, size_t len);

#endif
