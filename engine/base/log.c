#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

static const char *const level_names[] = {"debug", "info", "warn", "error", "off", NULL};

/* -1 until the environment has been read; reading it twice does no harm. */
static atomic_int threshold = -1;
static atomic_int json_mode = -1;

bool log_level_parse(const char *name, log_level *out)
{
    for (int i = 0; level_names[i]; i++) {
        if (strcmp(level_names[i], name) == 0) {
            *out = (log_level)i;
            return true;
        }
    }
    return false;
}

static int current_level(void)
{
    int now = atomic_load_explicit(&threshold, memory_order_relaxed);
    if (now >= 0)
        return now;
    log_level level = LOG_LEVEL_INFO;
    const char *text = getenv("RLAB_LOG_LEVEL");
    if (text && *text && !log_level_parse(text, &level))
        fprintf(stderr, "rlab: RLAB_LOG_LEVEL=%s is none of debug, info, warn, error, off\n", text);
    atomic_store(&threshold, (int)level);
    return (int)level;
}

void log_set_level(log_level level)
{
    atomic_store(&threshold, (int)level);
}

const char *log_level_name(void)
{
    return level_names[current_level()];
}

void log_set_json(bool json)
{
    atomic_store(&json_mode, json);
}

bool log_enabled(log_level level)
{
    return (int)level >= current_level();
}

bool log_as_json(void)
{
    int mode = atomic_load_explicit(&json_mode, memory_order_relaxed);
    if (mode < 0) {
        const char *text = getenv("RLAB_LOG");
        mode = text && strcmp(text, "json") == 0;
        atomic_store(&json_mode, mode);
    }
    return mode;
}

static void put_json(rl_buf *line, log_level level, const char *msg, size_t len)
{
    char iso[CLOCK_ISO_SIZE];
    clock_iso(clock_unix_ms(), iso);
    buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"pid\":%d,\"message\":", iso,
               level_names[level], (int)getpid());
    json_put_string(line, msg, len);
}

static void put_text(rl_buf *line, log_level level, const char *msg, size_t len)
{
    int64_t ms = clock_unix_ms();
    time_t s = (time_t)(ms / 1000);
    struct tm tm = {0};
    localtime_r(&s, &tm);
    buf_printf(line, "%02d:%02d:%02d.%03d %-5s ", tm.tm_hour, tm.tm_min, tm.tm_sec,
               (int)(ms % 1000), level_names[level]);
    buf_add(line, msg, len);
}

void log_write(log_level level, const char *msg, size_t len, const rl_buf *fields)
{
    if (!log_enabled(level) || level >= LOG_LEVEL_OFF)
        return;
    rl_buf line = {0};
    bool json = log_as_json();
    (json ? put_json : put_text)(&line, level, msg, len);
    if (fields && fields->len)
        buf_add(&line, fields->data, fields->len);
    buf_str(&line, json ? "}\n" : "\n");
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written;
    buf_free(&line);
}

void log_msg(log_level level, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof text)
        n = (int)sizeof text - 1;
    if (n > 0)
        log_write(level, text, (size_t)n, NULL);
}
