/* Failpoints: named places in C and Lua where a fault can be armed.
 *
 * Offers: arming by expression (see parse.h), from the environment
 * (RLAB_FAILPOINTS="name=expr;name=expr") or at run time; the decision for a hit; the hit log
 * (see hitlog.h); waiting at pauses and barriers. With nothing armed a point costs one relaxed
 * atomic load. Chances are seeded (RLAB_FAILPOINT_SEED), one sequence a term. Hits are counted
 * while their point is armed. kill and exit happen inside fail_decide.
 * Uses: fault/point/parse, fault/point/hitlog, base. Thread: any; one mutex, taken only while something is
 * armed. */
#ifndef RL_FAULT_POINT_REGISTRY_H
#define RL_FAULT_POINT_REGISTRY_H

#include <stdatomic.h>

#include "fault/point/hitlog.h"

typedef enum fail_point_id {
#define POINT(id, name, help) FAIL_POINT_##id,
#include "fault/point/list.h"
#undef POINT
    FAIL_POINT_COUNT
} fail_point_id;

extern const char *const fail_point_names[FAIL_POINT_COUNT];
extern const char *const fail_point_helps[FAIL_POINT_COUNT];

/* Who waits at a pause or barrier. */
typedef struct fail_ticket {
    int point, barrier; /* -1: none */
    int64_t arming, hit;
    uint64_t generation, round;
} fail_ticket;

typedef struct fail_decision {
    fail_action action; /* FAIL_OFF: go on */
    fail_value value;   /* of return and error; freed by fail_decision_free */
    char *name;         /* of call */
    double seconds;
    int64_t hit;
    fail_ticket ticket;
} fail_decision;

extern atomic_int fail_armed; /* points that are armed */

rl_err *fail_init(void);         /* reads the environment; once, at the start of the program */
enum { FAIL_POINTS_MAX = 4096 }; /* names that were ever armed; they stay */
bool fail_has_room(const char *name);
rl_err *fail_arm(const char *name, const char *expr);
rl_err *fail_arm_list(const char *text); /* "name=expr;name=expr"; all or none */
void fail_arm_parsed(const char *name, const char *text, fail_expr *expr); /* takes expr over */
rl_err *fail_log_to(const char *path);
bool fail_disarm(const char *name); /* false: it was not armed */
void fail_disarm_all(void);
bool fail_resume(const char *name); /* lets go who pauses there now; false: no such point */
void fail_set_seed(uint64_t seed);  /* of what is armed from now on */

/* false when the point was never armed. */
bool fail_counts(const char *name, int64_t *hits, int64_t *fired);

typedef struct fail_info {
    const char *name, *expr; /* expr is NULL when it is not armed any more */
    int64_t hits, fired;
} fail_info;
void fail_each(void (*visit)(const fail_info *info, void *arg),
               void *arg); /* in the order of first arming; under the lock */

void fail_decide(const char *name, const fail_kv *ctx, int n, fail_decision *out);
void fail_decision_free(fail_decision *decision);

void fail_wait(const fail_ticket *ticket);   /* who waits begins to, which the log is told */
bool fail_passed(const fail_ticket *ticket); /* the pause is over, the barrier complete */
void fail_leave(const fail_ticket *ticket);  /* who waited goes, for whatever reason */
void fail_on_release(
    void (*released)(void)); /* called on any thread when a ticket may have passed */

/* A hit in C: sleeps, pauses and barriers block the thread. */
typedef enum fail_outcome { FAIL_GO_ON, FAIL_RETURNED, FAIL_FAILED } fail_outcome;
fail_outcome fail_hit(fail_point_id id, const fail_kv *ctx, int n,
                      fail_value *out); /* out->text is the caller's to free */

static inline fail_outcome fail_point(fail_point_id id, const fail_kv *ctx, int n, fail_value *out)
{
    return atomic_load_explicit(&fail_armed, memory_order_relaxed) ? fail_hit(id, ctx, n, out)
                                                                   : FAIL_GO_ON;
}

#endif
