#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rl_err out_of_memory = {
    .domain = RL_SYS, .code = 12, .name = "ENOMEM", .msg = "out of memory", .fatal = true};

rl_err *err_newv(rl_domain domain, int code, const char *name, const char *fmt, va_list ap)
{
    rl_err *err = calloc(1, sizeof *err);
    if (!err)
        return &out_of_memory;
    err->domain = domain;
    err->code = code;
    snprintf(err->name, sizeof err->name, "%s", name ? name : "");
    if (vasprintf(&err->msg, fmt, ap) < 0) {
        free(err);
        return &out_of_memory;
    }
    return err;
}

rl_err *err_new(rl_domain domain, int code, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rl_err *err = err_newv(domain, code, name, fmt, ap);
    va_end(ap);
    return err;
}

rl_err *err_sys(int errnum, const char *fmt, ...)
{
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    const char *name = strerrorname_np(errnum);
    return err_new(RL_SYS, errnum, name ? name : "ERRNO", "%s: %s", what, strerror(errnum));
}

rl_err *err_lab(const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rl_err *err = err_newv(RL_LAB, 0, name, fmt, ap);
    va_end(ap);
    return err;
}

rl_err *err_copy(const rl_err *err)
{
    if (!err)
        return NULL;
    rl_err *copy = err_new(err->domain, err->code, err->name, "%s", err->msg);
    if (copy == &out_of_memory)
        return copy;
    copy->retriable = err->retriable;
    copy->abortable = err->abortable;
    copy->fatal = err->fatal;
    return copy;
}

bool err_is(const rl_err *err, rl_domain domain, const char *name)
{
    return err && err->domain == domain && strcmp(err->name, name) == 0;
}

const char *err_domain_name(rl_domain domain)
{
    static const char *const names[] = {"system", "kafka",    "mysql", "redis",
                                        "http",   "registry", "rlab"};
    return names[domain];
}

void err_free(rl_err *err)
{
    if (!err || err == &out_of_memory)
        return;
    free(err->msg);
    free(err);
}
