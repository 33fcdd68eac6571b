/* Arrays that may become very large.
 *
 * Offers: growing from `had` bytes (NULL of 0) to n. A large array has pages of its own, large ones
 * where the system gives them, and grows without a copy. Memory that cannot be had ends the program, as
 * in base/buf.
 * Uses: base/buf. Thread: plain memory, one owner. */
#ifndef RL_EVIDENCE_PAGES_H
#define RL_EVIDENCE_PAGES_H

#include <stddef.h>

void *pages_grow(void *p, size_t had, size_t n);
void pages_free(void *p, size_t had);

#endif
