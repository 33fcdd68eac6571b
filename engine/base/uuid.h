/* UUIDs as text, and from it.
 *
 * Offers: the 36 characters of 16 bytes in lower case, the bytes of 36 characters in either, and
 * the bytes of a version 7 made from a time and random bits.
 * Uses: nothing. Thread: any. */
#ifndef RL_BASE_UUID_H
#define RL_BASE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UUID_BYTES = 16, UUID_LEN = 36 };

/* "0190b5e6-..." */
void uuid_text(const uint8_t id[UUID_BYTES], char out[UUID_LEN + 1]);

/* False when the text is no UUID; out is undefined then. */
bool uuid_parse(const char *text, size_t len, uint8_t out[UUID_BYTES]);

/* The lower 48 bits of the time, 26 of a and 48 of b. */
void uuid_v7(int64_t unix_ms, uint64_t a, uint64_t b, uint8_t out[UUID_BYTES]);

#endif
