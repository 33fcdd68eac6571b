/* Records on disk, apart by the part they belong to.
 *
 * Offers: a file in TMPDIR that has no name, so that nothing of it stays however the process ends. Each
 * part is a list of chunks that are read back in the order in which they were written; what is not yet
 * written is read from memory.
 * Uses: base/buf, base/err. Thread: one owner. */
#ifndef RL_EVIDENCE_SPILL_H
#define RL_EVIDENCE_SPILL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { SPILL_PARTS = 256 };

typedef struct rl_spill rl_spill;

/* Buffers take a quarter of `memory` at most, but some KiB. Errors: those of the system, DISK. */
rl_err *spill_open(size_t memory, rl_spill **out);
rl_err *spill_put(rl_spill *spill, unsigned part, const rl_buf *record);
/* The next chunk of a part; *at begins with 0. An empty chunk is the end. */
rl_err *spill_next(const rl_spill *spill, unsigned part, size_t *at, rl_buf *chunk);
size_t spill_bytes(const rl_spill *spill); /* those still in memory included */
void spill_free(rl_spill *spill);

#endif
