/* The hit log (RLAB_FAILPOINT_LOG): what the failpoints of a process did, one JSON line and one
 * write(2) each, with the time by both clocks, the pid and the point's name.
 *
 * Offers: {"armed": expr, "arming": n}; {"hit": k, "term": .., "action": .., "ctx": ..} for each hit
 * while it is armed, written before it acts, "term" 0 where nobody took it; and of who stands still
 * at a pause or barrier {"waits": k} when he begins, {"left": k, "let_go": bool} when he goes on. All
 * of one arming have its number. Without a path nothing is written.
 * Uses: fault/point/parse, base. Thread: any, one at a time (the registry's lock). */
#ifndef RL_FAULT_POINT_HITLOG_H
#define RL_FAULT_POINT_HITLOG_H

#include "fault/point/parse.h"

/* What is known at the point, for `if` and the log. */
typedef struct fail_kv {
    const char *key, *value;
    bool number; /* written to the log without quotes */
} fail_kv;

rl_err *hitlog_open(const char *path); /* appends; the one before it is closed */

void hitlog_armed(const char *point, int64_t arming, const char *expr);

/* Of a hit: its number, the number among those that fit its term, and the term (from 1). */
typedef struct hitlog_place {
    int64_t arming, hit, nth;
    int term;
} hitlog_place;

void hitlog_hit(const char *point, const hitlog_place *place, const fail_term *term,
                const fail_kv *ctx, int n);

typedef enum hitlog_word { HITLOG_WAITS, HITLOG_LET_GO, HITLOG_WENT } hitlog_word;
void hitlog_wait(const char *point, int64_t arming, int64_t hit, hitlog_word word);

#endif
