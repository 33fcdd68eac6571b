/* Time.
 *
 * Offers: a monotonic clock in ns for durations and histories, the wall clock for people and
 * records, its ISO 8601 text in UTC, and the reading of such texts.
 * Uses: nothing. Thread: any. */
#ifndef RL_BASE_CLOCK_H
#define RL_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

enum { CLOCK_ISO_SIZE = 32 };

int64_t clock_ns(void);      /* monotonic, of this boot */
int64_t clock_ms(void);      /* the same, in ms */
int64_t clock_unix_ns(void); /* wall */
int64_t clock_unix_ms(void);

/* "2026-11-23T15:04:05.678Z" */
void clock_iso(int64_t unix_ms, char out[CLOCK_ISO_SIZE]);

/* "2026-11-23T15:04", with seconds, a fraction (cut to ms) and an offset ("Z", "+02:00", "+0200",
 * "+02") as far as they are there; a blank does for the T. Without an offset it is local time, the
 * earlier one when clocks were put back over it. In UTC it lies within the years 0000 to 9999.
 * Returns NULL, or why it is no time. */
const char *clock_parse(const char *text, int64_t *unix_ms);

#endif
