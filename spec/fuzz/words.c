/* Short texts that people and other programs write, under libFuzzer: times, durations, sizes and
 * other numbers, ids, templates of a load, what a terminal is to show, and /proc. The first byte
 * says which. */
#include <assert.h>
#include <math.h>

#include "base/clock.h"
#include "base/units.h"
#include "base/uuid.h"
#include "flow/load/text.h"
#include "fuzz.h"
#include "loop/procfs.h"
#include "term/text.h"

typedef enum word_kind { TIME, UNIT, ID, TEMPLATE, SHOWN, STAT, COMMAND, WORD_KINDS } word_kind;

enum { LONGEST = 1024 };

/* What is read is written as it was meant. */
static void read_time(const char *text)
{
    int64_t ms, again;
    char iso[CLOCK_ISO_SIZE];
    if (clock_parse(text, &ms))
        return;
    clock_iso(ms, iso);
    assert(!clock_parse(iso, &again) && again == ms);
}

static void read_units(const char *text, size_t len)
{
    static const char *const words[] = {"latency", "bandwidth", "", NULL};
    double d;
    int64_t n;
    char shown[32];
    assert(!units_duration(text, &d) || (isfinite(d) && d >= 0));
    assert(!units_size(text, &n) || n >= 0);
    assert(!units_rate(text, &d) || (isfinite(d) && d >= 0));
    if (units_number(text, &d)) {
        assert(isfinite(d));
        units_print_duration(d, shown, sizeof shown);
        assert(units_ms(d) >= 0);
    }
    if (units_whole(text, &n)) {
        units_minus(n, INT64_MIN);
        units_times(n, n);
        assert(n == INT64_MIN || units_share(n < 0 ? n : -n, INT64_MAX, 1, 3) >= -INT64_MAX);
    }
    assert(units_port(text, len) <= 65535);
    units_nearest(text, words);
}

static void read_id(const char *text, size_t len)
{
    uint8_t id[UUID_BYTES];
    char again[UUID_LEN + 1];
    if (!uuid_parse(text, len, id))
        return;
    uuid_text(id, again);
    assert(strncasecmp(again, text, UUID_LEN) == 0);
}

static void read_template(const char *text, size_t len)
{
    load_text *t = NULL;
    rl_buf out = {0};
    rl_rng rng;
    rng_init(&rng, 7);
    rl_err *err = load_text_read(text, len, &t);
    if (!err)
        load_text_put(t, &(load_values){.n = 7, .id = "id", .id_len = 2, .rng = &rng}, &out);
    err_free(err);
    load_text_free(t);
    buf_free(&out);
}

static void show(const char *text, size_t len)
{
    rl_buf out = {0};
    int columns;
    for (size_t at = 0; at < len;) {
        size_t n = text_step(text + at, len - at, &columns);
        assert(n >= 1 && n <= len - at && columns >= 0);
        at += n;
    }
    assert(text_width(text, len) >= 0);
    text_visible(&out, text, len, false);
    for (size_t i = 0; i < out.len; i++)
        assert((unsigned char)out.data[i] >= ' ' && out.data[i] != 0x7f);
    buf_free(&out);
}

static void read_proc(word_kind kind, const char *text, size_t len)
{
    procfs_stat stat;
    char name[64];
    if (kind == STAT)
        procfs_parse_stat(text, &stat);
    else if (len && text[0])
        procfs_name_of(text, len, name, sizeof name);
}

static void look_at(word_kind kind, const char *text, size_t len)
{
    switch (kind) {
    case TIME:
        read_time(text);
        break;
    case UNIT:
        read_units(text, len);
        break;
    case ID:
        read_id(text, len);
        break;
    case TEMPLATE:
        read_template(text, len);
        break;
    case SHOWN:
        show(text, len);
        break;
    default:
        read_proc(kind, text, len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    char *text = fuzz_text(data + 1, len - 1);
    look_at((word_kind)(data[0] % WORD_KINDS), text, len - 1);
    free(text);
    return 0;
}

/* ---- seeds ---- */

static const struct {
    word_kind kind;
    const char *name, *text;
} seeds[] = {
    {TIME, "time-offset", "2026-11-29T16:00:00.123+02:00"},
    {TIME, "time-leap", "2024-02-29 23:59:59Z"},
    {TIME, "time-short", "2026-11-29T16:00+0200"},
    {TIME, "time-local", "2026-03-29T02:30:00"},
    {TIME, "time-far", "9999-12-31T23:59:59.999999999-23:59"},
    {UNIT, "duration", "1m30s"},
    {UNIT, "duration-long", "30d12h1.5m200ms3us1ns"},
    {UNIT, "size", "9223372036854775807GiB"},
    {UNIT, "rate", "2000/s"},
    {UNIT, "whole", "-9223372036854775808"},
    {UNIT, "number", "1e309"},
    {UNIT, "number-hex", "0x10s"},
    {UNIT, "port", "65536"},
    {UNIT, "word", "latancy"},
    {ID, "uuid", "0190B5E6-0000-7000-8000-0123456789ab"},
    {TEMPLATE, "template", "{\"id\":\"${uuid}\",\"n\":${n:4},\"x\":${range:-5:20}} $${ ${pad:9}"},
    {TEMPLATE, "template-pick",
     "${pick:a,,b}${id}${pick:}${range:-9223372036854775808:9223372036854775807}"},
    {TEMPLATE, "template-open", "${n:41}${"},
    {SHOWN, "shown-escapes", "\033]0;x\007\033[2J\033[1;31mred\033[0m\xff\xc0\x80"},
    {SHOWN, "shown-marks",
     "\xe2\x80\xae"
     "abc\xe0\xb8\x81\xe0\xb8\xb3\xe2\x9d\xa4\xef\xb8\x8f"},
    {SHOWN, "shown-emoji",
     "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7\xf0\x9f\x87\xb0\xf0\x9f\x87\xb7"},
    {STAT, "stat", "17 (a) b (c)) S 1 17 17 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 3 0 55 1000 77 184"},
    {COMMAND, "command", "/usr/bin/java"},
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char jvm[] =
        "/opt/ld-linux-x86-64.so.2\0--library-path\0/x\0java\0-cp\0y\0kafka.Kafka";
    fuzz_longest(argc, argv, LONGEST);
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++)
        fuzz_seed_text(seeds[i].name, seeds[i].kind, seeds[i].text, strlen(seeds[i].text));
    fuzz_seed_text("command-loader", COMMAND, jvm, sizeof jvm);
    return 0;
}
