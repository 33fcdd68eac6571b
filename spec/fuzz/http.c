/* What clients ask our HTTP servers, as far as we read it ourselves, under libFuzzer: targets with
 * their percent-coding, and the lines by which it is decided who may ask. The first byte says
 * which. Heads and bodies as a whole: spec/hostile. */
#include <assert.h>

#include "base/json.h"
#include "fuzz.h"
#include "http/guard.h"
#include "http/target.h"

enum { TARGET, HEAD, KINDS, LONGEST = 4096 };

static void look_at_part(const char *text, size_t len, http_part part)
{
    assert(part.len == 0 || (part.text >= text && part.text + part.len <= text + len) ||
           (part.len == 1 && part.text[0] == '/'));
    char *decoded = http_decode(part.text, part.len);
    assert(!decoded || json_is_utf8(decoded, strlen(decoded)));
    free(decoded);
}

static void read_target(const char *text, size_t len)
{
    http_target target;
    if (!http_target_split(text, &target))
        return;
    look_at_part(text, len, target.authority);
    look_at_part(text, len, target.path);
    look_at_part(text, len, target.query);
    assert(target.path.len && target.path.text[0] == '/');
}

/* Host, Origin and Content-Type, a line each. */
static void read_head(char *text, bool json_only)
{
    int status = 0;
    char *rest = text;
    http_head head = {.method = json_only ? "POST" : "PUT", .has_body = true};
    head.host = strsep(&rest, "\n");
    head.origin = strsep(&rest, "\n");
    head.content_type = strsep(&rest, "\n");
    const http_guard guard = {"127.0.0.1", "one.test,two.test", json_only};
    const char *why = http_guard_check(&guard, &head, &status);
    assert(!why || status == 403 || status == 415);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    char *text = fuzz_text(data + 1, len - 1);
    if (data[0] % KINDS == TARGET)
        read_target(text, strlen(text));
    else
        read_head(text, data[0] & 2);
    free(text);
    return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char *const targets[] = {"/accounts/a%2Fb?x=%26&y", "http://localhost:80/x?y",
                                          "/a%00b", "/%ed%a0%80%", "http://localhost"};
    static const char *const heads[] = {
        "localhost:5\nhttp://localhost:5\napplication/json; charset=utf-8",
        "[::1]:80\nnull\napplication/merge-patch+json", "Two.Test.\n\ntext/plain", "[::1\n"};
    char name[32];
    fuzz_longest(argc, argv, LONGEST);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        snprintf(name, sizeof name, "target-%zu", i);
        fuzz_seed_text(name, TARGET, targets[i], strlen(targets[i]));
    }
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        snprintf(name, sizeof name, "head-%zu", i);
        fuzz_seed_text(name, HEAD | 2, heads[i], strlen(heads[i]));
    }
    return 0;
}
