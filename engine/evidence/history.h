/* The operation log of a run, in Jepsen's form by construction.
 *
 * Offers: a buffered writer of JSON lines {index, time, process, type, f, value[, error], actor};
 * type is invoke, ok, fail (it did certainly not happen) or info (nobody knows). An actor is named
 * by its caller; a process is a number that this file gives out: an invoke takes a free one of its
 * actor, or a new one, ok and fail give it back, info retires it. So a process has one operation
 * outstanding at most, none after info, and nothing is completed that was not invoked. time is ns
 * since the history's start by the monotonic clock, taken under the lock as the line is added, so
 * that it never goes back: whoever invokes before the request leaves, and completes after the
 * answer came, has both inside the interval. What is outstanding at the close ends as info. Lines
 * go to the file when 64 KiB have gathered, on flush (the binding asks ten times a second) and on
 * close. After a failed write nothing more is written and every call says why.
 * Uses: base/json, base/clock. Thread: any; one mutex. */
#ifndef RL_EVIDENCE_HISTORY_H
#define RL_EVIDENCE_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct rl_history rl_history;

typedef enum history_type { HISTORY_INVOKE, HISTORY_OK, HISTORY_FAIL, HISTORY_INFO } history_type;

/* A new file; start is the clock_ns that counts as time 0 (0: now). */
rl_err *history_open(const char *path, int64_t start, rl_history **out);
/* An operation begins: value is JSON already. *process is what ends it, -1 with an error. */
rl_err *history_invoke(rl_history *history, const char *actor, const char *f, const char *value,
                       int64_t *process);
/* How the operation of the process ended: ok, fail or info, once. error is plain text or NULL. */
rl_err *history_complete(rl_history *history, int64_t process, history_type how, const char *value,
                         const char *error);
/* Whether the process has an operation outstanding; false for a number that was never given. */
bool history_outstanding(rl_history *history, int64_t process);
rl_err *history_flush(rl_history *history);
int64_t history_count(rl_history *history); /* lines */
rl_err *history_close(rl_history *history); /* flushes; later operations are refused */

/* Who writes from a thread of its own keeps the memory until it has dropped it, also after the
 * close. */
void history_keep(rl_history *history);
void history_drop(rl_history *history);

#endif
