#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_ms(void)
{
    return clock_ns() / 1000000;
}

int64_t clock_unix_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_unix_ms(void)
{
    return clock_unix_ns() / 1000000;
}

void clock_iso(int64_t unix_ms, char out[CLOCK_ISO_SIZE])
{
    int64_t s = unix_ms / 1000, ms = unix_ms % 1000;
    if (ms < 0) {
        ms += 1000;
        s--;
    }
    time_t t = (time_t)s;
    struct tm tm = {0};
    gmtime_r(&t, &tm);
    long year = tm.tm_year + 1900L;
    const char *sign = year > 9999 ? "+" : year < 0 ? "-" : "";
    snprintf(out, CLOCK_ISO_SIZE, "%s%04ld", sign, labs(year));
    size_t n = strlen(out);
    n += strftime(out + n, CLOCK_ISO_SIZE - n, "-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, CLOCK_ISO_SIZE - n, ".%03dZ", (int)ms);
}

/* ---- reading ---- */

/* 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what is read can be written in four digits. */
static const int64_t FIRST_SECOND = -62167219200, LAST_SECOND = 253402300799;

/* Exactly n digits; moves behind them. */
static bool take_digits(const char **text, int n, int *out)
{
    *out = 0;
    for (int i = 0; i < n; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        *out = *out * 10 + (**text - '0');
    }
    return true;
}

static bool take_char(const char **text, const char *any)
{
    if (!**text || !strchr(any, **text))
        return false;
    (*text)++;
    return true;
}

static bool take_date(const char **text, struct tm *tm)
{
    return take_digits(text, 4, &tm->tm_year) && take_char(text, "-") &&
           take_digits(text, 2, &tm->tm_mon) && take_char(text, "-") &&
           take_digits(text, 2, &tm->tm_mday);
}

/* Digits behind the third are read, and cut off. */
static bool take_fraction(const char **text, int *ms)
{
    const char *digits = *text;
    size_t n = strspn(digits, "0123456789");
    *ms = 0;
    for (size_t i = 0; i < 3; i++)
        *ms = *ms * 10 + (i < n ? digits[i] - '0' : 0);
    *text += n;
    return n > 0;
}

static bool take_time(const char **text, struct tm *tm, int *ms)
{
    *ms = 0;
    if (!take_digits(text, 2, &tm->tm_hour) || !take_char(text, ":") ||
        !take_digits(text, 2, &tm->tm_min))
        return false;
    if (!take_char(text, ":"))
        return true;
    return take_digits(text, 2, &tm->tm_sec) && (!take_char(text, ".,") || take_fraction(text, ms));
}

typedef enum offset_kind { OFFSET_NONE, OFFSET_GIVEN, OFFSET_WRONG } offset_kind;

/* What is left of the text, up to its end. */
static offset_kind take_offset(const char *text, int *seconds)
{
    int hours, minutes = 0;
    *seconds = 0;
    if (!*text)
        return OFFSET_NONE;
    if (take_char(&text, "Zz"))
        return *text ? OFFSET_WRONG : OFFSET_GIVEN;
    bool west = *text == '-';
    if (!take_char(&text, "+-") || !take_digits(&text, 2, &hours))
        return OFFSET_WRONG;
    if (*text && (take_char(&text, ":"), !take_digits(&text, 2, &minutes)))
        return OFFSET_WRONG;
    *seconds = (hours * 60 + minutes) * (west ? -60 : 60);
    return *text || hours > 23 || minutes > 59 ? OFFSET_WRONG : OFFSET_GIVEN;
}

static bool leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The month is 1..12 here. */
static bool day_exists(const struct tm *tm)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (tm->tm_mon < 1 || tm->tm_mon > 12 || tm->tm_mday < 1)
        return false;
    return tm->tm_mday <= days[tm->tm_mon - 1] + (tm->tm_mon == 2 && leap(tm->tm_year));
}

static bool same_time(const struct tm *a, const struct tm *b)
{
    return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday &&
           a->tm_hour == b->tm_hour && a->tm_min == b->tm_min && a->tm_sec == b->tm_sec;
}

/* mktime moves a time that was skipped when clocks were put forward: what it finds is asked back. */
static bool local_time(const struct tm *want, int64_t *seconds)
{
    bool found = false;
    for (int summer = 0; summer <= 1; summer++) {
        struct tm tm = *want, back;
        tm.tm_isdst = summer;
        time_t at = mktime(&tm);
        if (!localtime_r(&at, &back) || !same_time(&back, want))
            continue;
        *seconds = found && *seconds < (int64_t)at ? *seconds : (int64_t)at;
        found = true;
    }
    return found;
}

const char *clock_parse(const char *text, int64_t *unix_ms)
{
    struct tm tm = {0};
    int ms, offset;
    int64_t seconds;
    if (!take_date(&text, &tm) || !take_char(&text, "Tt ") || !take_time(&text, &tm, &ms))
        return "no time of ISO 8601, such as 2026-11-23T15:00:00Z";
    offset_kind kind = take_offset(text, &offset);
    if (kind == OFFSET_WRONG)
        return "no offset from UTC, such as Z or +02:00, is at its end";
    if (!day_exists(&tm))
        return "there is no such day";
    if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
        return "no day has such a time";
    tm.tm_year -= 1900;
    tm.tm_mon--;
    if (kind == OFFSET_GIVEN)
        seconds = (int64_t)timegm(&tm) - offset;
    else if (!local_time(&tm, &seconds))
        return "clocks were put forward over it here: there was no such time";
    if (seconds < FIRST_SECOND || seconds > LAST_SECOND)
        return "in UTC it lies outside the years 0000 to 9999";
    *unix_ms = seconds * 1000 + ms;
    return NULL;
}
