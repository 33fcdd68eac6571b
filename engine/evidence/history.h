/* The operation log of a run.
 *
 * Offers: a buffered writer of JSON lines {index, time, process, type, f, value[, error]}, in the
 * words of Jepsen: type is invoke, ok, fail (it did certainly not happen) or info (nobody knows).
 * time is ns since the history's start, by the monotonic clock. Lines go to the file when 64 KiB
 * have gathered, on flush (the binding asks ten times a second) and on close. After a failed write
 * nothing more is written and every call says why.
 * Uses: base/json, base/clock. Thread: any; one mutex. */
#ifndef RL_EVIDENCE_HISTORY_H
#define RL_EVIDENCE_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct rl_history rl_history;

typedef enum history_type { HISTORY_INVOKE, HISTORY_OK, HISTORY_FAIL, HISTORY_INFO } history_type;

typedef struct history_op {
    history_type type;
    const char *f, *value,
        *error; /* value and process are JSON already; error is plain text or NULL */
    const char *process;
    int64_t at; /* clock_ns of the operation, 0: now */
} history_op;

/* A new file; start is the clock_ns that counts as time 0 (0: now). */
rl_err *history_open(const char *path, int64_t start, rl_history **out);
rl_err *history_add(rl_history *h, const history_op *op, int64_t *index);
rl_err *history_flush(rl_history *h);
int64_t history_count(rl_history *h);
rl_err *history_close(rl_history *h); /* flushes; later operations are refused */

/* Who writes from a thread of its own keeps the memory until it has dropped it, also after the
 * close. */
void history_keep(rl_history *h);
void history_drop(rl_history *h);

#endif
