#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "fault/point/registry.h"

static rl_err *parse_named(const char *name, const char *text, fail_expr *expr)
{
    if (!fail_name_ok(name, strlen(name)))
        return err_lab("FAILPOINT", "'%s' is no name of a failpoint (letters, digits, _ . -)",
                       name);
    if (!fail_has_room(name))
        return err_lab("LIMIT", "%d failpoints have been armed, no more fit", FAIL_POINTS_MAX);
    return fail_parse(text, expr);
}

rl_err *fail_arm(const char *name, const char *text)
{
    fail_expr expr;
    rl_err *err = parse_named(name, text, &expr);
    if (!err)
        fail_arm_parsed(name, text, &expr);
    return err;
}

/* The end of "name=expr" that begins at p: a ';' outside of quotes. */
static const char *entry_end(const char *p)
{
    char quote = 0;
    for (; *p && (quote || *p != ';'); p++) {
        if (quote && *p == '\\' && p[1])
            p++;
        else if (quote)
            quote = *p == quote ? 0 : quote;
        else if (*p == '"' || *p == '\'')
            quote = *p;
    }
    return p;
}

typedef struct entry {
    char *name, *text;
    fail_expr expr;
} entry;

static rl_err *read_entry(const char *from, const char *to, entry *e)
{
    while (from < to && (*from == ' ' || *from == '\n' || *from == '\t'))
        from++;
    const char *eq = memchr(from, '=', (size_t)(to - from));
    const char *name_end = eq ? eq : to;
    while (name_end > from && name_end[-1] == ' ')
        name_end--;
    e->name = mem_dup(from, (size_t)(name_end - from));
    e->text = eq ? mem_dup(eq + 1, (size_t)(to - eq - 1)) : mem_strdup("");
    if (!eq)
        return err_lab("FAILPOINT", "'%s': name=expression expected", e->name);
    rl_err *err = parse_named(e->name, e->text, &e->expr);
    rl_err *named = err ? err_lab("FAILPOINT", "failpoint %s: %s", e->name, err->msg) : NULL;
    err_free(err);
    return named;
}

static void end_entries(entry *entries, int n, bool arm)
{
    for (int i = 0; i < n; i++) {
        if (arm)
            fail_arm_parsed(entries[i].name, entries[i].text, &entries[i].expr);
        else
            fail_expr_free(&entries[i].expr);
        free(entries[i].name);
        free(entries[i].text);
    }
    free(entries);
}

static bool blank(const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\n' || *from == '\t'))
        from++;
    return from == to;
}

rl_err *fail_arm_list(const char *text)
{
    entry *entries = NULL;
    int n = 0;
    rl_err *err = NULL;
    for (const char *p = text, *end; *p && !err; p = *end ? end + 1 : end) {
        end = entry_end(p);
        if (blank(p, end))
            continue;
        entries = mem_grow(entries, sizeof *entries * (size_t)(n + 1));
        entries[n] = (entry){0};
        err = read_entry(p, end, &entries[n++]);
    }
    end_entries(entries, n, !err);
    return err;
}

rl_err *fail_init(void)
{
    const char *path = getenv("RLAB_FAILPOINT_LOG"), *seed = getenv("RLAB_FAILPOINT_SEED"),
               *list = getenv("RLAB_FAILPOINTS");
    rl_err *err = path && *path ? fail_log_to(path) : NULL;
    int64_t n = 0;
    if (!err && seed && *seed && !units_whole(seed, &n))
        err = err_lab("FAILPOINT", "RLAB_FAILPOINT_SEED is a whole number, not '%s'", seed);
    else if (seed && *seed)
        fail_set_seed((uint64_t)n);
    if (err || !list)
        return err;
    err = fail_arm_list(list);
    /* one line: the place is told by its column, not by a picture below */
    int line = err ? (int)strcspn(err->msg, "\n") : 0;
    rl_err *named = err ? err_lab("FAILPOINT", "RLAB_FAILPOINTS: %.*s", line, err->msg) : NULL;
    err_free(err);
    return named;
}
