/* Redis on the wire: commands are arrays of bulk strings (or a line), each answered by one
 * reply, in order. Where replies come unasked (SUBSCRIBE, MONITOR, replication) the session
 * becomes opaque. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fault/proto/internal.h"

enum { ARGS_MAX = 1 << 20, BULK_MAX = 512 << 20, TEXT_ARGS = 16 };

/* The reply under way: how many of its elements are missing, and how many bytes of a bulk. */
typedef struct redis_state {
    uint64_t missing, skip;
    rl_buf line; /* a line that has not come as a whole */
    rl_buf text; /* the last command, as people write it */
    bool pushed; /* a push of RESP3: nobody asked for it */
    bool judged;
    int error;
    bool collecting;
} redis_state;

static redis_state *redis_state_of(proto_session *s)
{
    if (!s->own)
        s->own = mem_zero(sizeof(redis_state));
    return s->own;
}

static void redis_close(proto_session *s)
{
    redis_state *redis = redis_state_of(s);
    buf_free(&redis->line);
    buf_free(&redis->text);
    free(redis);
}

/* ---- commands ---- */

typedef struct args {
    int64_t count;
    frame_slice first[TEXT_ARGS];
} args;

enum { MORE = 0, BROKEN = -1 };

/* The number after the type byte at p; the length of the line, MORE or BROKEN. */
static int64_t number_line(const char *p, size_t len, int64_t *out)
{
    const char *end = memchr(p, '\n', len < 32 ? len : 32);
    if (!end)
        return len < 32 ? MORE : BROKEN;
    if (p[1] != '-' && !isdigit((unsigned char)p[1])) /* strtoll would pass over the line's end */
        return BROKEN;
    char *stop;
    *out = strtoll(p + 1, &stop, 10);
    if (stop == p + 1 || (*stop != '\r' && *stop != '\n'))
        return BROKEN;
    return end + 1 - p;
}

/* The length of the command at p, MORE or BROKEN. */
static int64_t array_length(const char *p, size_t len, args *a)
{
    int64_t count, at = number_line(p, len, &count);
    if (at <= 0)
        return at;
    if (count < 0 || count > ARGS_MAX)
        return count < 0 ? at : BROKEN;
    a->count = count;
    for (int64_t i = 0; i < count; i++) {
        int64_t n, line;
        if ((size_t)at == len)
            return MORE;
        if (p[at] != '$')
            return BROKEN;
        line = number_line(p + at, len - (size_t)at, &n);
        if (line <= 0)
            return line;
        if (n < 0 || n > BULK_MAX)
            return BROKEN;
        at += line;
        if ((uint64_t)(n + 2) > len - (size_t)at)
            return MORE;
        if (i < TEXT_ARGS)
            a->first[i] = (frame_slice){p + at, (size_t)n};
        at += n + 2;
    }
    return at;
}

static int64_t inline_length(const char *p, size_t len, args *a)
{
    const char *end = memchr(p, '\n', len);
    if (!end)
        return len < PROTO_LINE_MAX ? MORE : BROKEN;
    for (const char *at = p; at < end;) {
        while (at < end && strchr(" \t\r", *at))
            at++;
        const char *from = at;
        while (at < end && *at && !strchr(" \t\r", *at))
            at++;
        if (at < end && !*at)
            return BROKEN;
        if (at > from && a->count < TEXT_ARGS)
            a->first[a->count] = (frame_slice){from, (size_t)(at - from)};
        a->count += at > from;
    }
    return end + 1 - p;
}

static int64_t command_length(const char *p, size_t len, args *a)
{
    *a = (args){0};
    return *p == '*' ? array_length(p, len, a) : inline_length(p, len, a);
}

static void write_text(redis_state *redis, const args *a)
{
    buf_reset(&redis->text);
    for (int64_t i = 0; i < a->count && i < TEXT_ARGS; i++) {
        if (i)
            buf_u8(&redis->text, ' ');
        buf_add(&redis->text, a->first[i].data, a->first[i].len < 128 ? a->first[i].len : 128);
    }
}

static bool redis_word_is(frame_slice slice, const char *word)
{
    return slice.len == strlen(word) && strncasecmp(slice.data, word, slice.len) == 0;
}

/* After these the server speaks without being asked, or not at all. */
static bool redis_ends_the_order(frame_slice name)
{
    static const char *const words[] = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR",
                                        "SYNC",      "PSYNC",      "RESET"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (redis_word_is(name, words[i]))
            return true;
    return false;
}

static bool ends_the_order(const args *a)
{
    if (a->count && redis_ends_the_order(a->first[0]))
        return true;
    return a->count > 1 && redis_word_is(a->first[0], "CLIENT") &&
           redis_word_is(a->first[1], "REPLY");
}

static bool redis_read(proto_session *s, const char *data, size_t len, proto_msg *msg)
{
    args a;
    *msg = (proto_msg){.kind = PROTO_REDIS, .dir = PROTO_UP, .data = data, .len = len, .api = 0};
    if (command_length(data, len, &a) <= 0 || a.count == 0)
        return false;
    write_text(redis_state_of(s), &a);
    msg->command = a.first[0].data;
    msg->command_len = a.first[0].len;
    msg->text = (frame_slice){redis_state_of(s)->text.data, redis_state_of(s)->text.len};
    return true;
}

/* False: stop. */
static bool redis_on_command(proto_session *s, const char *data, size_t len, const args *a)
{
    proto_msg msg;
    if (a->count == 0) { /* an empty line is not answered */
        proto_emit(s, PROTO_UP, data, len);
        return true;
    }
    if (ends_the_order(a)) {
        proto_give_up(s);
        proto_emit(s, PROTO_UP, data, len);
        return true;
    }
    if (s->host.wants(s->host.arg, 0) && redis_read(s, data, len, &msg))
        return proto_on_request(s, &msg);
    proto_inject(s, data, len, (proto_pending){.api = 0});
    return true;
}

static size_t redis_up(proto_session *s, const char *data, size_t len)
{
    rl_buf *in = &s->side[PROTO_UP].in;
    bool kept = in->len > 0;
    size_t before = in->len, pos = 0;
    if (kept)
        buf_add(in, data, len);
    rl_buf whole = kept ? *in : (rl_buf){.data = (char *)data, .len = len};
    if (kept)
        *in = (rl_buf){0};
    bool go_on = true;
    while (go_on && pos < whole.len && !s->opaque) {
        args a;
        int64_t n = command_length(whole.data + pos, whole.len - pos, &a);
        if (n == MORE && whole.len - pos < PROTO_MESSAGE_MAX) {
            buf_add(in, whole.data + pos, whole.len - pos);
            pos = whole.len;
            break;
        }
        if (n <= 0) {
            proto_give_up(s);
            break;
        }
        pos += (size_t)n;
        go_on = redis_on_command(s, whole.data + pos - (size_t)n, (size_t)n, &a);
    }
    if (go_on && s->opaque) {
        proto_emit(s, PROTO_UP, whole.data + pos, whole.len - pos);
        pos = whole.len;
    }
    if (kept)
        buf_free(&whole);
    return pos - before;
}

/* ---- replies ---- */

static void begin_reply(proto_session *s, redis_state *redis, char type)
{
    redis->pushed = type == '>';
    redis->missing = 1;
    redis->judged = true;
    redis->error = type == '-' ? 1 : 0;
    redis->collecting = !redis->pushed && s->first && s->first->wanted;
}

static void redis_take(proto_session *s, redis_state *redis, const char *data, size_t len)
{
    if (redis->collecting)
        buf_add(&s->side[PROTO_DOWN].in, data, len);
    else if (redis->pushed || !s->first || !s->first->swallowed)
        proto_emit(s, PROTO_DOWN, data, len);
}

/* False: stop. */
static bool end_reply(proto_session *s, redis_state *redis)
{
    if (redis->pushed)
        return true;
    rl_buf whole = s->side[PROTO_DOWN].in;
    s->side[PROTO_DOWN].in = (rl_buf){0};
    proto_pending *pending = proto_pop(s);
    bool go_on = true;
    if (pending && redis->collecting) {
        proto_msg msg = {.kind = PROTO_REDIS,
                         .dir = PROTO_DOWN,
                         .data = whole.data,
                         .len = whole.len,
                         .judged = true,
                         .error = redis->error};
        const char *end = memchr(whole.data, '\r', whole.len);
        msg.text = (frame_slice){whole.data, end ? (size_t)(end - whole.data) : whole.len};
        go_on = proto_on_response(s, &msg, pending);
    } else {
        proto_pending_free(pending);
        proto_flush_made(s);
    }
    buf_free(&whole);
    return go_on;
}

/* One line of a reply. False: this is no Redis. */
static bool redis_on_line(redis_state *redis, const char *line)
{
    int64_t n = 0;
    redis->missing--;
    switch (*line) {
    case '+':
    case '-':
    case ':':
    case '_':
    case '#':
    case ',':
    case '(':
        return true;
    case '$':
    case '!':
    case '=':
        n = strtoll(line + 1, NULL, 10);
        redis->skip = n >= 0 ? (uint64_t)n + 2 : 0;
        return n >= -1 && n <= BULK_MAX;
    case '*':
    case '~':
    case '>':
        n = strtoll(line + 1, NULL, 10);
        redis->missing += n > 0 ? (uint64_t)n : 0;
        return n >= -1 && n <= UINT32_MAX && redis->missing <= UINT32_MAX;
    case '%':
    case '|':
        n = strtoll(line + 1, NULL, 10);
        redis->missing += n > 0 ? 2 * (uint64_t)n : 0;
        redis->missing += *line == '|';
        return n >= 0 && n <= UINT32_MAX && redis->missing <= UINT32_MAX;
    default:
        return false;
    }
}

typedef enum took { TOOK, WAITS, NONSENSE } took;

/* Takes the line at data, which may have begun in an earlier chunk. */
static took redis_take_line(proto_session *s, redis_state *redis, const char *data, size_t len,
                            size_t *used)
{
    *used = 0;
    if (redis->line.len == 0 && !(*data && strchr("+-:_#,($!=*~>%|", *data)))
        return NONSENSE;
    const char *end = memchr(data, '\n', len);
    *used = end ? (size_t)(end + 1 - data) : len;
    if (redis->missing == 0 && redis->line.len == 0)
        begin_reply(s, redis, *data);
    buf_add(&redis->line, data, *used);
    redis_take(s, redis, data, *used);
    if (redis->line.len > PROTO_LINE_MAX)
        return NONSENSE;
    if (!end)
        return WAITS;
    bool known = redis_on_line(redis, redis->line.data);
    buf_reset(&redis->line);
    return known ? TOOK : NONSENSE;
}

static void no_redis(proto_session *s, const char *rest, size_t len)
{
    proto_give_up(s);
    proto_emit(s, PROTO_DOWN, rest, len);
}

static size_t redis_down(proto_session *s, const char *data, size_t len)
{
    redis_state *redis = redis_state_of(s);
    for (size_t pos = 0; pos < len;) {
        if (redis->skip) {
            size_t n = redis->skip < len - pos ? (size_t)redis->skip : len - pos;
            redis_take(s, redis, data + pos, n);
            redis->skip -= n;
            pos += n;
        } else {
            size_t used;
            took what = redis_take_line(s, redis, data + pos, len - pos, &used);
            pos += used;
            if (what == WAITS)
                return len;
            if (what == NONSENSE) {
                no_redis(s, data + pos, len - pos);
                return len;
            }
        }
        if (redis->skip == 0 && redis->missing == 0 && !end_reply(s, redis))
            return pos;
    }
    return len;
}

static size_t redis_feed(proto_session *s, proto_dir dir, const char *data, size_t len)
{
    return dir == PROTO_UP ? redis_up(s, data, len) : redis_down(s, data, len);
}

static void redis_fail(const proto_msg *msg, proto_failure failure, rl_buf *out)
{
    (void)msg;
    buf_printf(out, "-%s\r\n", *failure.text ? failure.text : "ERR injected by the proxy");
}

/* Every word may be a command: one of a module, or of tomorrow. */
static int redis_command(const char *name)
{
    return *name ? 0 : -1;
}

static bool redis_unseen(const char *name)
{
    return redis_ends_the_order((frame_slice){name, strlen(name)});
}

const proto_ops proto_redis = {
    .feed = redis_feed,
    .fail = redis_fail,
    .close = redis_close,
    .command = redis_command,
    .unseen = redis_unseen,
};
