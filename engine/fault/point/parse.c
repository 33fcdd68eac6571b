#include "fault/point/parse.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

static const char *const action_names[] = {"off",  "return",  "error", "sleep", "pause", "kill",
                                           "exit", "barrier", "call",  "print", NULL};

typedef struct cursor {
    const char *text, *at;
    rl_err *err;
} cursor;

const char *fail_action_name(fail_action action)
{
    return action_names[action];
}

bool fail_name_ok(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("_.-", name[i]))
            return false;
    return len > 0 && len < 128;
}

/* The first error counts; it shows the expression with a caret below the place. */
static void complain(cursor *c, const char *at, const char *fmt, ...)
{
    if (c->err)
        return;
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    int column = (int)(at - c->text);
    c->err =
        err_lab("FAILPOINT", "%s (column %d)\n  %s\n  %*s^", what, column + 1, c->text, column, "");
}

static void skip_space(cursor *c)
{
    while (*c->at == ' ' || *c->at == '\t' || *c->at == '\n')
        c->at++;
}

static bool take(cursor *c, const char *word)
{
    skip_space(c);
    size_t n = strlen(word);
    if (strncmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* Like take, but the word must end there: "if" is not the beginning of "iffy". */
static bool take_word(cursor *c, const char *word)
{
    const char *before = c->at;
    if (take(c, word) && !isalnum((unsigned char)*c->at) && *c->at != '_')
        return true;
    c->at = before;
    return false;
}

static void expect(cursor *c, const char *word)
{
    skip_space(c);
    if (!take(c, word))
        complain(c, c->at, "'%s' is missing", word);
}

static int64_t take_int(cursor *c, const char *what)
{
    char *end;
    skip_space(c);
    errno = 0;
    long long n = strtoll(c->at, &end, 10);
    if (!isdigit((unsigned char)*c->at) || errno)
        complain(c, c->at, "%s is a whole number", what);
    else
        c->at = end;
    return n;
}

/* A quoted text, or the run of characters up to a delimiter. The caller frees; "" when there is
 * nothing. */
static char *take_text(cursor *c, const char *delimiters, bool *quoted)
{
    rl_buf out = {0};
    skip_space(c);
    const char *start = c->at;
    char quote = *c->at;
    *quoted = quote == '"' || quote == '\'';
    buf_str(&out, "");
    if (!*quoted) {
        size_t n = strcspn(c->at, delimiters);
        while (n && isspace((unsigned char)c->at[n - 1]))
            n--;
        buf_add(&out, c->at, n);
        c->at += n;
        return out.data;
    }
    for (c->at++; *c->at && *c->at != quote; c->at++) {
        if (*c->at == '\\' && c->at[1])
            c->at++;
        buf_u8(&out, (uint8_t)*c->at);
    }
    if (!*c->at)
        complain(c, start, "this text has no closing quote");
    else
        c->at++;
    return out.data;
}

static void classify(fail_value *v)
{
    char *end;
    errno = 0;
    v->i = strtoll(v->text, &end, 10);
    if (end != v->text && !*end && !errno) {
        v->kind = FAIL_V_INT;
        return;
    }
    bool number = *v->text == '-' || *v->text == '.' || isdigit((unsigned char)*v->text);
    v->d = strtod(v->text, &end);
    if (number && end != v->text && !*end && isfinite(v->d)) {
        v->kind = FAIL_V_FLOAT;
        return;
    }
    v->i = strcmp(v->text, "true") == 0;
    v->kind = v->i || strcmp(v->text, "false") == 0 ? FAIL_V_BOOL
              : strcmp(v->text, "null") == 0        ? FAIL_V_NULL
                                                    : FAIL_V_TEXT;
}

static void take_value(cursor *c, fail_value *v, const char *delimiters)
{
    bool quoted;
    v->text = take_text(c, delimiters, &quoted);
    if (quoted)
        v->kind = FAIL_V_TEXT;
    else
        classify(v);
}

/* ---- the parts of a term ---- */

/* P%, N* and #K, in this order, each at most once. */
static void take_limits(cursor *c, fail_term *t)
{
    bool percent = false;
    for (;;) {
        char *end;
        skip_space(c);
        const char *start = c->at;
        if (*start == '#') {
            c->at++;
            t->kth = take_int(c, "the K of #K");
            if (!c->err && t->kth < 1)
                complain(c, start, "hits are counted from #1");
            return;
        }
        if (*start == '-' && isdigit((unsigned char)start[1]))
            complain(c, start, "the N of N* is a whole number from 1 up");
        if (!isdigit((unsigned char)*start) && *start != '.')
            return;
        double n = strtod(start, &end);
        c->at = end;
        if (!percent && !t->count && take(c, "%")) {
            percent = true;
            t->percent = n;
            if (!(n > 0 && n <= 100))
                complain(c, start, "a chance lies above 0%% and at most at 100%%");
        } else if (!t->count && take(c, "*")) {
            t->count = n >= 1 && n <= 1e15 && n == floor(n) ? (int64_t)n : 0;
            if (!t->count)
                complain(c, start, "the N of N* is a whole number from 1 up");
        } else {
            complain(c, start, "a number here is P%%, N* or #K, in this order");
        }
        if (c->err)
            return;
    }
}

static bool find_action(cursor *c, fail_term *t)
{
    static const char *const other[][2] = {
        {"panic", "kill"}, {"break", "pause"}, {"delay", "sleep"}, {"yield", "sleep(0s)"}};
    char word[32];
    size_t n = 0;
    skip_space(c);
    while (n < sizeof word - 1 && (isalnum((unsigned char)c->at[n]) || c->at[n] == '_')) {
        word[n] = c->at[n];
        n++;
    }
    word[n] = '\0';
    for (int i = 0; action_names[i]; i++) {
        if (strcmp(word, action_names[i]) != 0)
            continue;
        t->action = (fail_action)i;
        c->at += n;
        return true;
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (strcmp(word, other[i][0]) == 0)
            complain(c, c->at, "'%s' makes sense in a kernel only; use %s", word, other[i][1]);
    const char *near = n ? units_nearest(word, action_names) : NULL;
    if (near)
        complain(c, c->at, "no action '%s', did you mean '%s'?", word, near);
    complain(c, c->at,
             "an action is missing here: off, return, error, sleep, pause, kill, exit, barrier, "
             "call or print");
    return false;
}

static void take_duration(cursor *c, fail_term *t)
{
    bool quoted;
    skip_space(c);
    const char *start = c->at;
    char *text = take_text(c, ")", &quoted);
    size_t n = strlen(text);
    bool unit = n && isalpha((unsigned char)text[n - 1]);
    if (!units_duration(text, &t->seconds))
        complain(c, start, "'%s' is no duration; write sleep(200ms) or sleep(5s)", text);
    else if (!unit)
        complain(c, start, "a duration needs its unit: sleep(%sms) or sleep(%ss)", text, text);
    free(text);
}

static void take_name(cursor *c, fail_term *t)
{
    bool quoted;
    skip_space(c);
    const char *start = c->at;
    t->name = take_text(c, ",)", &quoted);
    if (!fail_name_ok(t->name, strlen(t->name)))
        complain(c, start, "a name of letters, digits, _ . - is expected");
}

static void check_exit(cursor *c, const fail_term *t, const char *start)
{
    if (!c->err && t->number > 255)
        complain(c, start, "an exit code is 0..255");
}

static void take_args(cursor *c, fail_term *t)
{
    const char *start = c->at;
    switch (t->action) {
    case FAIL_RETURN:
    case FAIL_ERROR:
        take_value(c, &t->value, ")");
        if (t->action == FAIL_ERROR && !*t->value.text)
            complain(c, start, "error(code) needs a code: a number or a name such as ENOSPC");
        break;
    case FAIL_SLEEP:
        take_duration(c, t);
        break;
    case FAIL_EXIT:
        t->number = take_int(c, "exit's code");
        check_exit(c, t, start);
        break;
    case FAIL_BARRIER:
        take_name(c, t);
        expect(c, ",");
        t->number = c->err ? 0 : take_int(c, "the number of parties");
        if (!c->err && (t->number < 2 || t->number > 10000))
            complain(c, start, "a barrier has 2 parties or more: barrier(name, n)");
        break;
    case FAIL_CALL:
        take_name(c, t);
        break;
    default:
        complain(c, start - 1, "%s takes no arguments", fail_action_name(t->action));
    }
}

static void take_action(cursor *c, fail_term *t)
{
    skip_space(c);
    const char *start = c->at;
    if (!find_action(c, t))
        return;
    fail_action a = t->action;
    bool needs =
        a == FAIL_ERROR || a == FAIL_SLEEP || a == FAIL_EXIT || a == FAIL_BARRIER || a == FAIL_CALL;
    if (take(c, "(")) {
        take_args(c, t);
        if (!c->err)
            expect(c, ")");
    } else if (needs) {
        static const char *const args[] = {[FAIL_ERROR] = "code",
                                           [FAIL_SLEEP] = "200ms",
                                           [FAIL_EXIT] = "1",
                                           [FAIL_BARRIER] = "name, 2",
                                           [FAIL_CALL] = "name"};
        complain(c, start, "%s needs an argument: %s(%s)", fail_action_name(a), fail_action_name(a),
                 args[a]);
    }
}

static void take_cond(cursor *c, fail_term *t)
{
    bool quoted;
    skip_space(c);
    const char *start = c->at;
    if (t->conds_count == FAIL_CONDS_MAX) {
        complain(c, start, "at most %d conditions", FAIL_CONDS_MAX);
        return;
    }
    fail_cond *cond = &t->conds[t->conds_count++];
    cond->key = take_text(c, "=->[ \t", &quoted);
    if (!fail_name_ok(cond->key, strlen(cond->key)))
        complain(c, start, "a condition is key=value");
    else
        expect(c, "=");
    if (c->err)
        return;
    skip_space(c);
    /* A value may hold '-' and '>' but not the arrow of the next term. */
    if (*c->at == '"' || *c->at == '\'') {
        cond->value = take_text(c, "", &quoted);
        return;
    }
    const char *end = c->at;
    while (*end && !isspace((unsigned char)*end) && *end != '[' && strncmp(end, "->", 2) != 0)
        end++;
    cond->value = mem_dup(c->at, (size_t)(end - c->at));
    if (end == c->at)
        complain(c, end, "a value is missing after '%s='", cond->key);
    c->at = end;
}

static void take_conditions(cursor *c, fail_term *t)
{
    if (take_word(c, "if")) {
        do
            take_cond(c, t);
        while (!c->err && take_word(c, "and"));
    }
    if (!c->err && take(c, "[")) {
        expect(c, "pid");
        t->pid = c->err ? 0 : take_int(c, "a pid");
        if (!c->err)
            expect(c, "]");
    }
}

static void take_term(cursor *c, fail_term *t)
{
    t->percent = 100;
    take_limits(c, t);
    if (!c->err)
        take_action(c, t);
    if (!c->err)
        take_conditions(c, t);
}

rl_err *fail_parse(const char *text, fail_expr *out)
{
    cursor c = {.text = text, .at = text};
    *out = (fail_expr){0};
    if (strlen(text) > FAIL_TEXT_MAX)
        return err_lab("FAILPOINT", "the expression is longer than %d characters", FAIL_TEXT_MAX);
    bool more = true;
    while (more && !c.err) {
        if (out->count == FAIL_TERMS_MAX) {
            complain(&c, c.at, "at most %d terms", FAIL_TERMS_MAX);
            break;
        }
        out->terms = mem_grow(out->terms, sizeof *out->terms * (size_t)(out->count + 1));
        fail_term *t = &out->terms[out->count++];
        *t = (fail_term){0};
        take_term(&c, t);
        more = !c.err && take(&c, "->");
    }
    skip_space(&c);
    if (!c.err && *c.at)
        complain(&c, c.at, "'->' or the end is expected here");
    if (c.err)
        fail_expr_free(out);
    return c.err;
}

void fail_expr_free(fail_expr *expr)
{
    for (int i = 0; i < expr->count; i++) {
        fail_term *t = &expr->terms[i];
        free(t->value.text);
        free(t->name);
        for (int k = 0; k < t->conds_count; k++) {
            free(t->conds[k].key);
            free(t->conds[k].value);
        }
    }
    free(expr->terms);
    *expr = (fail_expr){0};
}

/* ---- in words ---- */

static const char *ordinal(int64_t n)
{
    int64_t tens = n % 100;
    if (tens >= 11 && tens <= 13)
        return "th";
    return n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
}

static void explain_when(const fail_term *t, rl_buf *out)
{
    long long k = t->kth, n = t->count;
    const char *hits = t->conds_count || t->pid ? "matching hit" : "hit";
    if (k && n > 1)
        buf_printf(out, "from the %lld%s to the %lld%s %s", k, ordinal(k), k + n - 1,
                   ordinal(k + n - 1), hits);
    else if (k)
        buf_printf(out, "at the %lld%s %s", k, ordinal(k), hits);
    else if (n)
        buf_printf(out, "at the first %lld %s%s", n, hits, n > 1 ? "s" : "");
    else
        buf_printf(out, "at every %s", hits);
    if (t->percent < 100)
        buf_printf(out, n && !k ? " that win a chance of %g %%" : ", with a chance of %g %%",
                   t->percent);
    for (int i = 0; i < t->conds_count; i++)
        buf_printf(out, "%s %s is \"%s\"", i ? " and" : ", where", t->conds[i].key,
                   t->conds[i].value);
    if (t->pid)
        buf_printf(out, ", in process %lld", (long long)t->pid);
}

static void explain_what(const fail_term *t, rl_buf *out)
{
    char duration[32];
    switch (t->action) {
    case FAIL_OFF:
        buf_str(out, "do nothing");
        break;
    case FAIL_RETURN:
        if (t->value.kind == FAIL_V_NONE || (t->value.kind == FAIL_V_TEXT && !*t->value.text))
            buf_str(out, "return true to the caller");
        else
            buf_printf(out,
                       t->value.kind == FAIL_V_TEXT ? "return \"%s\" to the caller"
                                                    : "return %s to the caller",
                       t->value.text);
        break;
    case FAIL_ERROR:
        buf_printf(out, "make the caller see the error %s", t->value.text);
        break;
    case FAIL_SLEEP:
        units_print_duration(t->seconds, duration, sizeof duration);
        buf_printf(out, "sleep %s", duration);
        break;
    case FAIL_PAUSE:
        buf_str(out, "pause until it is resumed or disarmed");
        break;
    case FAIL_KILL:
        buf_str(out, "kill this process with SIGKILL");
        break;
    case FAIL_EXIT:
        buf_printf(out, "end this process at once with exit code %lld", (long long)t->number);
        break;
    case FAIL_BARRIER:
        buf_printf(out, "wait at the barrier \"%s\" until %lld have arrived", t->name,
                   (long long)t->number);
        break;
    case FAIL_CALL:
        buf_printf(out, "call the Lua function \"%s\"", t->name);
        break;
    case FAIL_PRINT:
        buf_str(out, "write it to the hit log and go on");
        break;
    }
}

void fail_explain(const fail_expr *expr, rl_buf *out)
{
    for (int i = 0; i < expr->count; i++) {
        if (expr->count > 1)
            buf_printf(out, "%s%d. %s", i ? "\n" : "", i + 1, i ? "otherwise, " : "");
        explain_when(&expr->terms[i], out);
        buf_str(out, ": ");
        explain_what(&expr->terms[i], out);
    }
}
