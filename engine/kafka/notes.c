#include "kafka/notes.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"

void kafka_notes_open(kafka_notes *notes)
{
    memset(notes, 0, sizeof *notes);
    pthread_mutex_init(&notes->lock, NULL);
}

void kafka_notes_close(kafka_notes *notes)
{
    for (int i = 0; i < notes->n; i++)
        err_free(notes->list[i].err);
    free(notes->stats);
    pthread_mutex_destroy(&notes->lock);
}

static void drop_oldest(kafka_notes *notes)
{
    err_free(notes->list[0].err);
    memmove(notes->list, notes->list + 1, (KAFKA_NOTES_MAX - 1) * sizeof *notes->list);
    notes->n--;
    notes->dropped++;
}

void kafka_notes_error(kafka_notes *notes, rl_err *err)
{
    if (!err)
        return;
    pthread_mutex_lock(&notes->lock);
    if (notes->n == KAFKA_NOTES_MAX)
        drop_oldest(notes);
    notes->list[notes->n++] = (kafka_note){err, clock_unix_ms()};
    pthread_mutex_unlock(&notes->lock);
}

void kafka_notes_stats(kafka_notes *notes, const char *json, size_t len)
{
    char *text = mem_dup(json, len);
    pthread_mutex_lock(&notes->lock);
    char *old = notes->stats;
    notes->stats = text;
    pthread_mutex_unlock(&notes->lock);
    free(old);
}

int kafka_notes_take(kafka_notes *notes, kafka_note *out)
{
    pthread_mutex_lock(&notes->lock);
    int n = notes->n;
    memcpy(out, notes->list, (size_t)n * sizeof *out);
    notes->n = 0;
    pthread_mutex_unlock(&notes->lock);
    return n;
}

char *kafka_notes_stats_copy(kafka_notes *notes)
{
    pthread_mutex_lock(&notes->lock);
    char *text = notes->stats ? mem_strdup(notes->stats) : NULL;
    pthread_mutex_unlock(&notes->lock);
    return text;
}
