/* Errors as values.
 *
 * Offers: rl_err, the one error type of the engine. A function that can fail returns `rl_err *`:
 * NULL is success, anything else is owned by the caller and freed with err_free(). It says which
 * system failed (domain), that system's own code and name, a sentence, and the three kinds that
 * librdkafka distinguishes, which are kept for MySQL and Redis too: `retriable` (the same call may
 * succeed), `abortable` (the transaction must be aborted, the client lives) and `fatal` (the client
 * must be replaced). Two more say what to make of it: whether the work was done, and who is to
 * blame. What an error means is in one table, by domain and name (err_meaning_of); err_new looks
 * there, and only who knows more says otherwise (nothing was sent yet; a delivery report).
 * Uses: nothing. Thread: errors are plain memory and belong to whoever holds the pointer. */
#ifndef RL_BASE_ERR_H
#define RL_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum rl_domain {
    RL_SYS = 0, /* errno */
    RL_KAFKA,   /* rd_kafka_resp_err_t, and broker codes of the wire client */
    RL_MYSQL,
    RL_REDIS,
    RL_HTTP,
    RL_REGISTRY, /* a Schema Registry's error_code, else the status */
    RL_LAB,      /* rlab's own: CANCELLED, TIMEOUT, CLOSED, ... */
} rl_domain;

/* Whether what was asked for was done. */
typedef enum rl_happened { ERR_UNKNOWN, ERR_NOT_DONE, ERR_DONE } rl_happened;

typedef enum rl_blame {
    ERR_OF_CALL,   /* what was asked for: its data, its usage, a conflict with others' work */
    ERR_OF_RECORD, /* this record, which will never be taken; others are */
    ERR_OF_PLACE,  /* no such topic or table, no permission: until somebody acts */
    ERR_OF_SERVER, /* the server or the way to it: a breaker counts it */
} rl_blame;

typedef struct err_meaning {
    rl_happened happened;
    rl_blame blame;
    bool retriable;
} err_meaning;

err_meaning err_meaning_of(rl_domain domain, const char *name);

typedef struct rl_err {
    rl_domain domain;
    int code;
    char name[48];
    char *msg;
    bool retriable, abortable, fatal;
    rl_happened happened;
    rl_blame blame;
} rl_err;

/* A new error; never NULL (out of memory yields a static one that err_free ignores). */
rl_err *err_new(rl_domain domain, int code, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
rl_err *err_newv(rl_domain domain, int code, const char *name, const char *fmt, va_list ap);

/* From errno: domain RL_SYS, name such as ENOENT, message "<what>: No such file or directory". */
rl_err *err_sys(int errnum, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* rlab's own errors by name, code 0: CANCELLED, TIMEOUT, CLOSED, USAGE, ... */
rl_err *err_lab(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Another one that says the same, its kinds too; NULL of NULL. */
rl_err *err_copy(const rl_err *err);

bool err_is(const rl_err *err, rl_domain domain, const char *name);
const char *err_domain_name(rl_domain domain);
bool err_domain_find(const char *name, rl_domain *out);
const char *err_happened_name(rl_happened happened); /* "unknown", "no", "yes" */

/* The names of a row of the table, by blank; false: there are no more rows. */
bool err_meaning_row(size_t i, rl_domain *domain, const char **names);
void err_free(rl_err *err);

#endif
