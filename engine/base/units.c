#include "base/units.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct unit {
    const char *name;
    double factor;
} unit;

static const unit duration_units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1},
                                      {"m", 60},    {"min", 60},  {"h", 3600},  {"d", 86400},
                                      {"", 1},      {NULL, 0}};
static const unit size_units[] = {
    {"", 1},     {"B", 1},      {"kB", 1e3},      {"KB", 1e3},           {"MB", 1e6},
    {"GB", 1e9}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824.0}, {NULL, 0}};
static const unit rate_units[] = {
    {"", 1}, {"/s", 1}, {"/m", 1.0 / 60}, {"/h", 1.0 / 3600}, {NULL, 0}};

static bool parse(const char *text, const unit *table, double *out)
{
    char *end;
    double n = strtod(text, &end);
    if (end == text || !isfinite(n) || n < 0)
        return false;
    while (*end == ' ')
        end++;
    for (const unit *u = table; u->name; u++) {
        if (strcmp(u->name, end) == 0) {
            *out = n * u->factor;
            return true;
        }
    }
    return false;
}

bool units_duration(const char *text, double *seconds)
{
    return parse(text, duration_units, seconds) && *seconds < 1e9;
}

int units_ms(double seconds)
{
    return seconds * 1e3 < INT_MAX ? (int)(seconds * 1e3) : INT_MAX;
}

bool units_size(const char *text, int64_t *bytes)
{
    double n;
    if (!parse(text, size_units, &n) || n > 9e18)
        return false;
    *bytes = (int64_t)n;
    return true;
}

bool units_rate(const char *text, double *per_second)
{
    return parse(text, rate_units, per_second);
}

void units_print_duration(double s, char *out, size_t size)
{
    if (s < 1)
        snprintf(out, size, "%.0f ms", s * 1e3);
    else if (s < 60)
        snprintf(out, size, "%.1f s", s);
    else if (s < 3600)
        snprintf(out, size, "%dm%02ds", (int)s / 60, (int)s % 60);
    else
        snprintf(out, size, "%.0fh%02dm", floor(s / 3600), (int)(fmod(s, 3600) / 60));
}

/* Optimal string alignment distance, on words short enough for a fixed table. */
static int distance(const char *a, const char *b)
{
    enum { MAX = 48 };
    int la = (int)strlen(a), lb = (int)strlen(b);
    if (la >= MAX || lb >= MAX)
        return MAX;
    int d[MAX + 1][MAX + 1];
    for (int i = 0; i <= la; i++)
        d[i][0] = i;
    for (int j = 0; j <= lb; j++)
        d[0][j] = j;
    for (int i = 1; i <= la; i++) {
        for (int j = 1; j <= lb; j++) {
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[la][lb];
}

const char *units_nearest(const char *word, const char *const *words)
{
    const char *best = NULL;
    int limit = (int)strlen(word) / 3 + 1;
    for (; *words; words++) {
        int d = distance(word, *words);
        if (d <= limit) {
            limit = d - 1;
            best = *words;
        }
    }
    return best;
}
