/* Errors as values.
 *
 * Offers: rl_err, the one error type of the engine. A function that can fail returns `rl_err *`:
 * NULL is success, anything else is owned by the caller and freed with err_free(). It says which
 * system failed (domain), that system's own code and name, a sentence, and the three kinds that
 * librdkafka distinguishes, which are kept for MySQL and Redis too: `retriable` (the same call may
 * succeed), `abortable` (the transaction must be aborted, the client lives) and `fatal` (the client
 * must be replaced).
 * Uses: nothing. Thread: errors are plain memory and belong to whoever holds the pointer. */
#ifndef RL_BASE_ERR_H
#define RL_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

typedef enum rl_domain {
    RL_SYS = 0, /* errno */
    RL_KAFKA,   /* rd_kafka_resp_err_t, and broker codes of the wire client */
    RL_MYSQL,
    RL_REDIS,
    RL_HTTP,
    RL_REGISTRY, /* a Schema Registry's error_code, else the status */
    RL_LAB,      /* rlab's own: CANCELLED, TIMEOUT, CLOSED, ... */
} rl_domain;

typedef struct rl_err {
    rl_domain domain;
    int code;
    char name[48];
    char *msg;
    bool retriable, abortable, fatal;
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
void err_free(rl_err *err);

#endif
