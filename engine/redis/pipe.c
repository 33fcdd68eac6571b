#include "redis/pipe.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "redis/internal.h"

static redisc_slot *pipe_current(redisc_pipe *pipe)
{
    return &pipe->slots[pipe->count - 1];
}

/* "*3\r\n", "$12\r\n": RESP's lengths, without printf since every argument has one. */
static void put_length(rl_buf *bytes, char kind, size_t n)
{
    char text[32], *at = text + sizeof text;
    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    *--at = kind;
    buf_add(bytes, at, (size_t)(text + sizeof text - at));
}

void redisc_pipe_begin(redisc_pipe *pipe, int argc)
{
    rl_assert(argc > 0);
    rl_assert(pipe->argn == pipe->argc); /* the one before is whole */
    if (pipe->count == pipe->cap) {
        pipe->cap = pipe->cap ? pipe->cap * 2 : 4;
        pipe->slots = mem_grow(pipe->slots, pipe->cap * sizeof *pipe->slots);
    }
    pipe->count++;
    *pipe_current(pipe) = (redisc_slot){.word = ""};
    pipe->argc = argc;
    pipe->argn = 0;
    put_length(&pipe->bytes, '*', (size_t)argc);
}

static void lower(char *out, size_t size, const char *bytes, size_t len)
{
    size_t n = len < size ? len : 0; /* too long: no word that we know */
    for (size_t i = 0; i < n; i++)
        out[i] = (char)tolower((unsigned char)bytes[i]);
    out[n] = '\0';
}

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

static void note_command(redisc_pipe *pipe, const char *bytes, size_t len)
{
    static const char *const subscribing[] = {"subscribe",   "psubscribe",   "ssubscribe",
                                              "unsubscribe", "punsubscribe", "sunsubscribe",
                                              NULL};
    static const char *const endless[] = {"monitor", "sync", "psync", NULL};
    redisc_slot *slot = pipe_current(pipe);
    char word[sizeof slot->word];
    lower(word, sizeof word, bytes, len);
    if (is_one_of(word, subscribing)) {
        memcpy(slot->word, word, sizeof word);
        slot->confirmations = pipe->argc > 1 ? pipe->argc - 1 : 1;
    } else if (strcmp(word, "hello") == 0 || strcmp(word, "client") == 0) {
        memcpy(slot->word, word, sizeof word);
    } else if (strcmp(word, "reset") == 0) {
        slot->protocol = 2;
    } else if (is_one_of(word, endless)) {
        pipe->refused = "MONITOR, SYNC and PSYNC turn the connection into a stream without "
                        "replies; they are not for this client";
    }
}

static void note_second(redisc_pipe *pipe, const char *bytes, size_t len)
{
    redisc_slot *slot = pipe_current(pipe);
    char word[16];
    lower(word, sizeof word, bytes, len);
    if (strcmp(slot->word, "hello") == 0)
        slot->protocol = atoi(word);
    if (strcmp(slot->word, "client") == 0 && strcmp(word, "reply") == 0)
        pipe->refused =
            "CLIENT REPLY would leave calls without an answer; it is not for this client";
}

void redisc_pipe_arg(redisc_pipe *pipe, const void *bytes, size_t len)
{
    rl_assert(pipe->argn < pipe->argc);
    if (pipe->argn == 0)
        note_command(pipe, bytes, len);
    else if (pipe->argn == 1)
        note_second(pipe, bytes, len);
    pipe->argn++;
    put_length(&pipe->bytes, '$', len);
    buf_add(&pipe->bytes, bytes, len);
    buf_add(&pipe->bytes, "\r\n", 2);
}

void redisc_pipe_add(redisc_pipe *pipe, int argc, const char *const *argv, const size_t *lens)
{
    redisc_pipe_begin(pipe, argc);
    for (int i = 0; i < argc; i++)
        redisc_pipe_arg(pipe, argv[i], lens[i]);
}

void redisc_pipe_free(redisc_pipe *pipe)
{
    buf_free(&pipe->bytes);
    free(pipe->slots);
    *pipe = (redisc_pipe){0};
}

/* ---- read back ---- */

/* Behind '*' or '$', as put_length wrote it. */
static size_t read_length(const rl_buf *bytes, size_t *at)
{
    char *end;
    size_t n = strtoul(bytes->data + *at + 1, &end, 10);
    *at = (size_t)(end - bytes->data) + 2;
    return n;
}

bool redisc_pipe_read(const redisc_pipe *pipe, size_t *at, redisc_words *words)
{
    if (*at >= pipe->bytes.len)
        return false;
    words->argc = (int)read_length(&pipe->bytes, at);
    if (words->argc > words->cap) {
        words->cap = words->argc;
        words->argv = mem_grow(words->argv, (size_t)words->cap * sizeof *words->argv);
        words->lens = mem_grow(words->lens, (size_t)words->cap * sizeof *words->lens);
    }
    for (int i = 0; i < words->argc; i++) {
        words->lens[i] = read_length(&pipe->bytes, at);
        words->argv[i] = pipe->bytes.data + *at;
        *at += words->lens[i] + 2;
    }
    return true;
}

void redisc_words_free(redisc_words *words)
{
    free(words->argv);
    free(words->lens);
    *words = (redisc_words){0};
}

/* ---- run ---- */

static bool confirms(const redisc_slot *slot, const redisReply *message)
{
    return message->elements > 0 && message->element[0]->type == REDIS_REPLY_STRING &&
           strcmp(message->element[0]->str, slot->word) == 0;
}

/* Waits for the answer to one command; push messages that come first are kept. */
static rl_err *pipe_answer(redisc_conn *conn, const redisc_slot *slot, redisReply **out)
{
    rl_deadline deadline = deadline_or_never(conn->opts.timeout);
    int waiting = slot->confirmations;
    redisReply *reply;
    for (;;) {
        rl_err *err = redisc_receive(conn, deadline, &reply);
        if (err)
            return err;
        if (reply->type != REDIS_REPLY_PUSH)
            break;
        if (!waiting || !confirms(slot, reply))
            redisc_keep_push(conn, reply);
        else if (--waiting == 0)
            break;
        else
            freeReplyObject(reply);
    }
    if (slot->protocol && reply->type != REDIS_REPLY_ERROR)
        conn->resp = slot->protocol;
    *out = reply;
    return NULL;
}

static rl_err *pipe_check(redisc_conn *conn, const redisc_pipe *pipe)
{
    rl_err *err = redisc_usable(conn);
    if (err)
        return err;
    if (pipe->refused)
        return err_new(RL_REDIS, 0, "REFUSED", "%s", pipe->refused);
    for (size_t i = 0; i < pipe->count && conn->resp < 3; i++)
        if (pipe->slots[i].confirmations)
            return err_new(RL_REDIS, 0, "NEEDS_RESP3",
                           "publish/subscribe needs RESP3, this connection speaks RESP%d",
                           conn->resp);
    return NULL;
}

/* A reply that is there before anything was asked would shift all later ones by one. */
static rl_err *no_strays(redisc_conn *conn)
{
    void *reply = NULL;
    while (redisGetReplyFromReader(conn->ctx, &reply) == REDIS_OK && reply) {
        redisc_reply_ended(conn);
        if (!redisIsPushReply(reply)) {
            freeReplyObject(reply);
            return redisc_break(conn,
                                err_new(RL_REDIS, 0, "PROTOCOL",
                                        "the server sent a reply that no command was waiting for"));
        }
        redisc_keep_push(conn, reply);
        reply = NULL;
    }
    return NULL;
}

rl_err *redisc_pipe_start(redisc_conn *conn, const redisc_pipe *pipe)
{
    rl_assert(pipe->argn == pipe->argc);
    rl_err *err = pipe_check(conn, pipe);
    if (!err)
        err = no_strays(conn);
    if (!err && pipe->count)
        redisAppendFormattedCommand(conn->ctx, pipe->bytes.data, pipe->bytes.len);
    return err;
}

rl_err *redisc_pipe_some(redisc_conn *conn, const redisc_pipe *pipe, redisReply **replies,
                         size_t *got, rl_deadline until)
{
    rl_err *err = NULL;
    while (*got < pipe->count) {
        redisReply *reply;
        rl_assert(!pipe->slots[*got].confirmations && !pipe->slots[*got].protocol);
        err = redisc_try_receive(conn, until, &reply);
        if (err || !reply)
            return err;
        if (reply->type == REDIS_REPLY_PUSH)
            redisc_keep_push(conn, reply);
        else
            replies[(*got)++] = reply;
    }
    return NULL;
}

rl_err *redisc_pipe_rest(redisc_conn *conn, const redisc_pipe *pipe, redisReply **replies,
                         size_t *got)
{
    rl_err *err = NULL;
    for (; *got < pipe->count && !err; *got += err ? 0 : 1)
        err = pipe_answer(conn, &pipe->slots[*got], &replies[*got]);
    return err;
}

rl_err *redisc_pipe_finish(redisc_conn *conn, const redisc_pipe *pipe, redisReply **replies,
                           size_t *got)
{
    *got = 0;
    return redisc_pipe_rest(conn, pipe, replies, got);
}

rl_err *redisc_pipe_run(redisc_conn *conn, const redisc_pipe *pipe, redisReply **replies,
                        size_t *got)
{
    *got = 0;
    rl_err *err = redisc_pipe_start(conn, pipe);
    return err ? err : redisc_pipe_finish(conn, pipe, replies, got);
}
