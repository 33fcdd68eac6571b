/* The grammar of failpoints, a superset of FreeBSD's fail(9).
 *
 *     expr   = term { "->" term }
 *     term   = [P "%"] [N "*"] ["#" K] action ["(" args ")"] [only] ["[pid" N "]"]
 *     only   = "if" key "=" value {"and" key "=" value}
 *     action = off | return[(value)] | error(code) | sleep(duration) | pause | kill | exit(n)
 *            | barrier(name, n) | call(name) | print
 *
 * A hit goes to the first term whose conditions hold; the terms after it are not asked. Each term
 * counts the hits that its `if` fits: #K is the K-th of them, N* ends the term after N firings,
 * N*#K is the N hits from the K-th on, P% is drawn last.
 * Offers: parsing with errors that point at the place, and an English sentence for each term.
 * Uses: base/err, base/buf, base/units. Thread: pure functions. */
#ifndef RL_FAULT_POINT_PARSE_H
#define RL_FAULT_POINT_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { FAIL_TERMS_MAX = 32, FAIL_CONDS_MAX = 4, FAIL_TEXT_MAX = 4096 };

typedef enum fail_action {
    FAIL_OFF,
    FAIL_RETURN,
    FAIL_ERROR,
    FAIL_SLEEP,
    FAIL_PAUSE,
    FAIL_KILL,
    FAIL_EXIT,
    FAIL_BARRIER,
    FAIL_CALL,
    FAIL_PRINT,
} fail_action;

typedef enum fail_kind {
    FAIL_V_NONE,
    FAIL_V_INT,
    FAIL_V_FLOAT,
    FAIL_V_BOOL,
    FAIL_V_NULL,
    FAIL_V_TEXT
} fail_kind;

typedef struct fail_value {
    fail_kind kind;
    int64_t i;
    double d;
    char *text; /* the words of it, for every kind but NONE */
} fail_value;

typedef struct fail_cond {
    char *key, *value;
} fail_cond;

typedef struct fail_term {
    double percent;     /* 100: always */
    int64_t count, kth; /* 0: no limit, any hit */
    fail_action action;
    fail_value value; /* return, error */
    double seconds;   /* sleep */
    int64_t number;   /* exit's code, barrier's parties */
    char *name;       /* barrier, call */
    fail_cond conds[FAIL_CONDS_MAX];
    int conds_count;
    int64_t pid; /* 0: any */
} fail_term;

typedef struct fail_expr {
    fail_term *terms;
    int count;
} fail_expr;

rl_err *fail_parse(const char *text, fail_expr *out);
void fail_expr_free(fail_expr *expr);
void fail_explain(const fail_expr *expr,
                  rl_buf *out); /* a numbered line a term when there are several */
const char *fail_action_name(fail_action action);
bool fail_name_ok(const char *name, size_t len); /* of a point: letters, digits, _ . - */

#endif
