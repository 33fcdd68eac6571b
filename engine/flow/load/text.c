#include "flow/load/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"

enum { PAD_MAX = 1 << 20, WIDTH_MAX = 40, SHOWN = 40 };

typedef enum kind { LITERAL, NUMBER, ID, UUID, RANGE, PICK, PAD } kind;

typedef struct part {
    kind kind;
    char *text; /* LITERAL: the bytes; PICK: the words, comma-separated */
    size_t len;
    int64_t low,
        high; /* NUMBER: low is the width; PAD: low is the length; PICK: high is how many words */
} part;

struct load_text {
    part *parts;
    size_t n;
};

void load_text_free(load_text *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        free(t->parts[i].text);
    free(t->parts);
    free(t);
}

bool load_text_constant(const load_text *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->parts[i].kind != LITERAL)
            return false;
    return true;
}

/* ---- reading ---- */

static void add_part(load_text *t, part p)
{
    t->parts = mem_grow(t->parts, (t->n + 1) * sizeof *t->parts);
    t->parts[t->n++] = p;
}

static void add_literal(load_text *t, const char *text, size_t len)
{
    if (len)
        add_part(t, (part){.kind = LITERAL, .text = mem_dup(text, len), .len = len});
}

static bool read_int(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && *end == 0 && errno == 0;
}

static bool read_number(const char *arg, part *p)
{
    return !arg || (read_int(arg, &p->low) && p->low > 0 && p->low <= WIDTH_MAX);
}

static bool read_range(const char *arg, part *p)
{
    const char *colon = arg ? strchr(arg, ':') : NULL;
    if (!colon)
        return false;
    char *low = mem_dup(arg, (size_t)(colon - arg));
    bool fine = read_int(low, &p->low) && read_int(colon + 1, &p->high) && p->low <= p->high;
    free(low);
    return fine;
}

static bool read_pick(const char *arg, part *p)
{
    if (!arg)
        return false;
    p->text = mem_strdup(arg);
    p->high = 1;
    for (const char *c = arg; *c; c++)
        p->high += *c == ',';
    return true;
}

static bool read_pad(const char *arg, part *p)
{
    return arg && read_int(arg, &p->low) && p->low >= 0 && p->low <= PAD_MAX;
}

static bool read_bare(const char *arg, part *p)
{
    (void)p;
    return !arg;
}

static const struct {
    const char *name;
    kind kind;
    bool (*read)(const char *arg, part *p);
} words[] = {{"n", NUMBER, read_number},   {"id", ID, read_bare},     {"uuid", UUID, read_bare},
             {"range", RANGE, read_range}, {"pick", PICK, read_pick}, {"pad", PAD, read_pad}};

/* `word` is what stands between the braces. */
static bool read_word(char *word, part *p)
{
    char *arg = strchr(word, ':');
    if (arg)
        *arg++ = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i].name) != 0)
            continue;
        p->kind = words[i].kind;
        return words[i].read(arg, p);
    }
    return false;
}

static rl_err *unreadable(const char *at, size_t len)
{
    return err_lab("USAGE",
                   "'%.*s' is no placeholder; there are ${n} ${n:4} ${id} ${uuid} ${range:1:20} "
                   "${pick:a,b} ${pad:100}, and $${ for the characters themselves",
                   (int)(len < SHOWN ? len : SHOWN), at);
}

/* Reads the placeholder at `at`; *next is what follows it. */
static rl_err *read_placeholder(load_text *t, const char *at, const char *end, const char **next)
{
    const char *close = memchr(at, '}', (size_t)(end - at));
    if (!close)
        return unreadable(at, (size_t)(end - at));
    char *word = mem_dup(at + 2, (size_t)(close - at - 2));
    part p = {0};
    bool fine = read_word(word, &p);
    free(word);
    add_part(t, p);
    *next = close + 1;
    return fine ? NULL : unreadable(at, (size_t)(close - at + 1));
}

rl_err *load_text_read(const char *text, size_t len, load_text **out)
{
    load_text *t = mem_zero(sizeof *t);
    const char *from = text, *at = text, *end = text + len;
    rl_err *err = NULL;
    while (!err && at < end) {
        bool open = end - at >= 2 && at[0] == '$' && at[1] == '{';
        if (end - at >= 3 && memcmp(at, "$${", 3) == 0) {
            add_literal(t, from, (size_t)(at - from));
            from = at + 1;
            at += 3;
        } else if (open) {
            add_literal(t, from, (size_t)(at - from));
            err = read_placeholder(t, at, end, &at);
            from = at;
        } else {
            at++;
        }
    }
    if (err) {
        load_text_free(t);
        return err;
    }
    add_literal(t, from, (size_t)(end - from));
    *out = t;
    return NULL;
}

/* ---- rendering ---- */

static void put_uuid(const load_values *v, rl_buf *out)
{
    uint64_t a = rng_u64(v->rng), b = rng_u64(v->rng);
    uint8_t id[UUID_BYTES];
    char text[UUID_LEN + 1];
    uuid_v7(v->unix_ms, a, b, id);
    uuid_text(id, text);
    buf_add(out, text, UUID_LEN);
}

static void put_range(const part *p, rl_rng *rng, rl_buf *out)
{
    uint64_t span = (uint64_t)p->high - (uint64_t)p->low + 1;
    uint64_t x = (uint64_t)p->low + rng_below(rng, span);
    buf_printf(out, "%lld", (long long)(int64_t)x);
}

static void put_pick(const part *p, rl_rng *rng, rl_buf *out)
{
    const char *word = p->text;
    for (uint64_t skip = rng_below(rng, (uint64_t)p->high); skip > 0; skip--)
        word = strchr(word, ',') + 1;
    buf_add(out, word, strcspn(word, ","));
}

static void put_pad(int64_t n, rl_buf *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    for (int64_t i = 0; i < n; i++)
        buf_add(out, &letters[i % 26], 1);
}

static void put_part(const part *p, const load_values *v, rl_buf *out)
{
    switch (p->kind) {
    case LITERAL:
        buf_add(out, p->text, p->len);
        break;
    case NUMBER:
        buf_printf(out, "%0*lld", (int)p->low, (long long)v->n);
        break;
    case ID:
        buf_add(out, v->id, v->id_len);
        break;
    case UUID:
        put_uuid(v, out);
        break;
    case RANGE:
        put_range(p, v->rng, out);
        break;
    case PICK:
        put_pick(p, v->rng, out);
        break;
    case PAD:
        put_pad(p->low, out);
        break;
    }
}

void load_text_put(const load_text *t, const load_values *v, rl_buf *out)
{
    for (size_t i = 0; i < t->n; i++)
        put_part(&t->parts[i], v, out);
}
