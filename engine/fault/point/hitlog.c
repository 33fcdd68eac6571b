#include "fault/point/hitlog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

static int log_fd = -1;

rl_err *hitlog_open(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_sys(errno, "the hit log %s", path);
    if (log_fd >= 0)
        close(log_fd);
    log_fd = fd;
    return NULL;
}

static void begin_line(rl_buf *line, const char *point, int64_t arming)
{
    buf_printf(line,
               "{\"time\":%lld,\"mono\":%lld,\"pid\":%d,\"name\":", (long long)clock_unix_ns(),
               (long long)clock_ns(), (int)getpid());
    json_put_cstr(line, point);
    buf_printf(line, ",\"arming\":%lld", (long long)arming);
}

static void end_line(rl_buf *line, const char *point)
{
    buf_str(line, "}\n");
    if (write(log_fd, line->data, line->len) != (ssize_t)line->len)
        log_msg(LOG_LEVEL_ERROR, "failpoint %s: the hit log cannot be written: %s", point,
                strerror(errno));
    buf_free(line);
}

void hitlog_armed(const char *point, int64_t arming, const char *expr)
{
    if (log_fd < 0)
        return;
    rl_buf line = {0};
    begin_line(&line, point, arming);
    buf_str(&line, ",\"armed\":");
    json_put_cstr(&line, expr);
    end_line(&line, point);
}

static void put_ctx(rl_buf *line, const fail_kv *ctx, int n)
{
    buf_str(line, ",\"ctx\":{");
    for (int i = 0; i < n; i++) {
        buf_str(line, i ? "," : "");
        json_put_cstr(line, ctx[i].key);
        buf_str(line, ":");
        if (ctx[i].number)
            buf_str(line, ctx[i].value);
        else
            json_put_cstr(line, ctx[i].value);
    }
    buf_str(line, "}");
}

static void put_arg(rl_buf *line, const fail_term *t)
{
    if (t->action == FAIL_SLEEP)
        buf_printf(line, ",\"seconds\":%g", t->seconds);
    if (t->action == FAIL_EXIT || t->action == FAIL_BARRIER)
        buf_printf(line, ",\"number\":%lld", (long long)t->number);
    const char *text = t->name ? t->name : t->value.text;
    if (text) {
        buf_str(line, ",\"arg\":");
        json_put_cstr(line, text);
    }
}

void hitlog_hit(const char *point, const hitlog_place *place, const fail_term *term,
                const fail_kv *ctx, int n)
{
    if (log_fd < 0)
        return;
    rl_buf line = {0};
    begin_line(&line, point, place->arming);
    buf_printf(&line, ",\"hit\":%lld,\"nth\":%lld,\"term\":%d,\"action\":\"%s\"",
               (long long)place->hit, (long long)place->nth, place->term,
               fail_action_name(term ? term->action : FAIL_OFF));
    if (term)
        put_arg(&line, term);
    put_ctx(&line, ctx, n);
    end_line(&line, point);
}

void hitlog_wait(const char *point, int64_t arming, int64_t hit, hitlog_word word)
{
    if (log_fd < 0)
        return;
    rl_buf line = {0};
    begin_line(&line, point, arming);
    buf_printf(&line, ",\"%s\":%lld", word == HITLOG_WAITS ? "waits" : "left", (long long)hit);
    if (word != HITLOG_WAITS)
        buf_printf(&line, ",\"let_go\":%s", word == HITLOG_LET_GO ? "true" : "false");
    end_line(&line, point);
}
