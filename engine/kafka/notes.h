/* What librdkafka reports to a client unasked: errors and statistics.
 *
 * Offers: a bounded list of errors with the time at which they came, and the newest statistics
 * text. librdkafka's own threads or the polling thread put, any thread takes; nothing calls back.
 * When the list is full the oldest error goes and is counted.
 * Uses: base/err. Thread: any (a mutex inside). */
#ifndef RL_KAFKA_NOTES_H
#define RL_KAFKA_NOTES_H

#include <pthread.h>
#include <stdint.h>

#include "base/err.h"

enum { KAFKA_NOTES_MAX = 256 };

typedef struct kafka_note {
    rl_err *err;
    int64_t at_ms; /* wall clock */
} kafka_note;

typedef struct kafka_notes {
    pthread_mutex_t lock;
    kafka_note list[KAFKA_NOTES_MAX];
    int n;
    int64_t dropped;
    char *stats;
} kafka_notes;

void kafka_notes_open(kafka_notes *notes);
void kafka_notes_close(kafka_notes *notes);
void kafka_notes_error(kafka_notes *notes, rl_err *err); /* takes err; NULL is fine */
void kafka_notes_stats(kafka_notes *notes, const char *json, size_t len);

/* Moves up to KAFKA_NOTES_MAX errors into out, whose errors the caller frees; how many. */
int kafka_notes_take(kafka_notes *notes, kafka_note *out);

/* A copy that the caller frees; NULL when there were no statistics yet (statistics.interval.ms
 * is 0 by default). */
char *kafka_notes_stats_copy(kafka_notes *notes);

#endif
