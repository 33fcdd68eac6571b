#include "base/units.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"
#define LETTERS "dhimnsu"

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

/* The end of a decimal number without a sign, "1", "0.5", "1e3"; `text` when there is none. strtod
 * alone would take hexadecimal digits, a sign and words such as inf. */
static const char *decimal_end(const char *text, bool *whole)
{
    const char *at = text + strspn(text, DIGITS);
    *whole = *at != '.' && *at != 'e' && *at != 'E';
    if (at == text)
        return text;
    if (*at == '.') {
        size_t n = strspn(at + 1, DIGITS);
        if (n == 0)
            return text;
        at += n + 1;
    }
    if (*at != 'e' && *at != 'E')
        return at;
    const char *exponent = at + 1 + (at[1] == '+' || at[1] == '-');
    size_t n = strspn(exponent, DIGITS);
    return n ? exponent + n : text;
}

/* The number at the beginning of the text; moves behind it. */
static bool take_number(const char **text, double *n)
{
    bool whole;
    char *end;
    const char *stop = decimal_end(*text, &whole);
    if (stop == *text)
        return false;
    *n = strtod(*text, &end);
    *text = stop;
    return end == stop && isfinite(*n);
}

static const unit *find_unit(const unit *table, const char *name, size_t len)
{
    for (const unit *u = table; u->name; u++)
        if (strlen(u->name) == len && memcmp(u->name, name, len) == 0)
            return u;
    return NULL;
}

static bool parse(const char *text, const unit *table, double *out)
{
    double n;
    if (!take_number(&text, &n))
        return false;
    text += strspn(text, " ");
    const unit *u = find_unit(table, text, strlen(text));
    *out = u ? n * u->factor : 0;
    return u && isfinite(*out);
}

/* "1m30s": parts from the largest unit down. */
static bool parse_parts(const char *text, double *out)
{
    double least = INFINITY;
    *out = 0;
    while (*text) {
        double n;
        if (!take_number(&text, &n))
            return false;
        size_t len = strspn(text, LETTERS);
        const unit *u = len ? find_unit(duration_units, text, len) : NULL;
        if (!u || u->factor >= least)
            return false;
        least = u->factor;
        *out += n * u->factor;
        text += len;
    }
    return least < INFINITY;
}

bool units_duration(const char *text, double *seconds)
{
    return (parse(text, duration_units, seconds) || parse_parts(text, seconds)) && *seconds < 1e9;
}

int units_ms(double seconds)
{
    if (!(seconds > 0))
        return 0;
    return seconds * 1e3 < INT_MAX ? (int)(seconds * 1e3) : INT_MAX;
}

/* An integer and its unit, to the last byte: a double has 53 bits only. */
static bool exact_size(const char *text, int64_t *bytes)
{
    size_t digits = strspn(text, DIGITS);
    const char *name = text + digits + strspn(text + digits, " ");
    const unit *u = find_unit(size_units, name, strlen(name));
    errno = 0;
    long long n = strtoll(text, NULL, 10);
    return u && errno == 0 && !__builtin_mul_overflow(n, (int64_t)u->factor, bytes);
}

bool units_size(const char *text, int64_t *bytes)
{
    bool whole;
    double n;
    if (decimal_end(text, &whole) == text)
        return false;
    if (whole)
        return exact_size(text, bytes);
    if (!parse(text, size_units, &n) || n >= 0x1p63 || (n > 0 && n < 1))
        return false; /* a part of a byte would be 0, which often means no limit */
    *bytes = (int64_t)n;
    return true;
}

bool units_rate(const char *text, double *per_second)
{
    return parse(text, rate_units, per_second);
}

bool units_number(const char *text, double *n)
{
    bool minus = *text == '-';
    text += minus;
    bool good = take_number(&text, n) && !*text;
    *n = minus ? -*n : *n;
    return good;
}

bool units_whole(const char *text, int64_t *n)
{
    const char *digits = text + (*text == '-');
    size_t len = strspn(digits, DIGITS);
    if (len == 0 || digits[len])
        return false;
    errno = 0;
    *n = strtoll(text, NULL, 10);
    return errno == 0;
}

int units_port(const char *digits, size_t len)
{
    int port = 0;
    if (len == 0 || len > 5)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return -1;
        port = port * 10 + (digits[i] - '0');
    }
    return port <= 65535 ? port : -1;
}

int64_t units_minus(int64_t a, int64_t b)
{
    int64_t difference;
    if (__builtin_sub_overflow(a, b, &difference))
        return a < b ? INT64_MIN : INT64_MAX;
    return difference;
}

int64_t units_times(int64_t n, int64_t by)
{
    int64_t product;
    if (__builtin_mul_overflow(n, by, &product))
        return (n < 0) == (by < 0) ? INT64_MAX : INT64_MIN;
    return product;
}

/* In unsigned numbers: the range may be as wide as all 64 bits. (width * k) / n, without the product. */
int64_t units_share(int64_t low, int64_t high, int64_t k, int64_t n)
{
    uint64_t last = (uint64_t)high - (uint64_t)low, parts = (uint64_t)n;
    uint64_t count = last / parts * (uint64_t)k + (last % parts + 1) * (uint64_t)k / parts;
    return (int64_t)((uint64_t)low + count - 1);
}

void units_print_duration(double s, char *out, size_t size)
{
    if (s < 0 && size > 1) {
        *out = '-';
        units_print_duration(-s, out + 1, size - 1);
        return;
    }
    double whole = floor(s + 0.05); /* what is printed as 60.0 s is a minute */
    if (!isfinite(s))
        snprintf(out, size, "%s s", isnan(s) ? "nan" : "inf");
    else if (round(s * 1e3) < 1000)
        snprintf(out, size, "%.0f ms", s * 1e3);
    else if (whole < 60)
        snprintf(out, size, "%.1f s", s);
    else if (whole < 3600)
        snprintf(out, size, "%dm%02ds", (int)whole / 60, (int)whole % 60);
    else
        snprintf(out, size, "%.0fh%02dm", floor(whole / 3600), (int)(fmod(whole, 3600) / 60));
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
