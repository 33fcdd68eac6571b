/* Numbers that come from outside: durations, sizes and rates as people write them, and shares of a
 * range that do not wrap.
 *
 * Offers: parsing of "200ms" "5s" "1.5m" "1m30s" (seconds as double), "64KiB" "1MB" (bytes),
 * "2000/s" "5/m" (per second), whole and other numbers; printing of durations; the nearest known
 * word for "did you mean". A plain number is accepted as seconds, bytes or per second. Numbers are
 * decimal: no sign but that of a whole number, no hexadecimal digits, no word.
 * Uses: nothing. Thread: pure functions. */
#ifndef RL_BASE_UNITS_H
#define RL_BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool units_duration(const char *text, double *seconds); /* ns us ms s m h d; 30 years at most */
bool units_size(const char *text, int64_t *bytes);      /* B kB MB GB KiB MiB GiB */
bool units_rate(const char *text, double *per_second);  /* N, N/s, N/m, N/h */
bool units_number(const char *text, double *n);         /* -1.5, 1e3; finite */
bool units_whole(const char *text, int64_t *n);         /* -17, all 64 bits */

/* The port of the digits, 0 to 65535, or -1. */
int units_port(const char *digits, size_t len);

/* a - b and n * by; what lies beyond 64 bits is the nearest that fits. */
int64_t units_minus(int64_t a, int64_t b);
int64_t units_times(int64_t n, int64_t by);

/* The upper end of the first k of n equal parts of low..high, 1 <= k <= n <= INT32_MAX. */
int64_t units_share(int64_t low, int64_t high, int64_t k, int64_t n);

/* Whole milliseconds as C libraries take them: 0 to INT_MAX. */
int units_ms(double seconds);

/* "850 ms", "1.2 s", "4m12s"; always NUL-terminated. */
void units_print_duration(double seconds, char *out, size_t size);

/* The word of the NULL-terminated list closest to `word`, or NULL when none is near enough to be
 * a slip. */
const char *units_nearest(const char *word, const char *const *words);

#endif
