/* The log of a process, on stderr.
 *
 * Offers: lines for people (text) or for machines (one JSON object a line, RLAB_LOG=json), from the
 * level RLAB_LOG_LEVEL up (debug, info, warn, error, off; info unless set). A line is one write(2),
 * so lines of several threads and processes do not mix.
 * Uses: base/buf, base/clock, base/json. Thread: any. */
#ifndef RL_BASE_LOG_H
#define RL_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

typedef enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_OFF
} log_level;

bool log_enabled(log_level level);
bool log_level_parse(const char *name, log_level *out);
void log_set_level(log_level level);
const char *log_level_name(void); /* of the level that holds now */
void log_set_json(bool json);
bool log_as_json(void);

void log_msg(log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* `fields` are rendered already, for log_as_json(): `,"key":value...`, else ` key=value...`; may
 * be NULL. */
void log_write(log_level level, const char *msg, size_t len, const rl_buf *fields);

#endif
