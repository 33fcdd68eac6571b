/* What a test does to bytes that were right, so that a reader sees what no writer wrote.
 *
 * Offers: turn_bytes, one change: a piece dropped, doubled or cut off, a byte at an edge of its range or
 * any, a bit. The same dice give the same changes.
 * Uses: base/buf, base/rng. Thread: plain memory, one owner. */
#ifndef RL_SPEC_TURNED_H
#define RL_SPEC_TURNED_H

#include <string.h>

#include "base/buf.h"
#include "base/rng.h"

enum { TURNED_PIECE = 16 };

/* `bytes` are not empty. */
static inline void turn_bytes(rl_rng *dice, rl_buf *bytes)
{
    static const char edges[] = {0, 0x7f, (char)0x80, (char)0x81, (char)0xff};
    size_t at = rng_below(dice, bytes->len), n = 1 + rng_below(dice, TURNED_PIECE);
    n = n < bytes->len - at ? n : bytes->len - at;
    switch (rng_below(dice, 6)) {
    case 0:
        memmove(bytes->data + at, bytes->data + at + n, bytes->len - at - n);
        bytes->len -= n;
        break;
    case 1:
        buf_reserve(bytes, n);
        memmove(bytes->data + at + n, bytes->data + at, bytes->len - at);
        bytes->len += n;
        break;
    case 2:
        bytes->len = at + 1;
        break;
    case 3:
        bytes->data[at] = edges[rng_below(dice, sizeof edges)];
        break;
    case 4:
        bytes->data[at] = (char)rng_u64(dice);
        break;
    default:
        bytes->data[at] = (char)(bytes->data[at] ^ (1 << rng_below(dice, 8)));
    }
}

#endif
