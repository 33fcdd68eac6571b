/* MySQL on the wire: packets of at most 16 MiB, of which a full one is continued by the next; what
 * begins with sequence number 0 from the client is a command. Statements that were prepared are
 * known by their number, so that an execute is seen with its text and parameters. TLS and
 * compression make the session opaque. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "fault/proto/internal.h"

enum {
    HEAD = 4,
    PACKET_MAX = 0xffffff,
    COM_QUERY = 3,
    COM_STMT_PREPARE = 22,
    COM_STMT_EXECUTE = 23,
    COM_STMT_CLOSE = 25,
    CAP_COMPRESS = 1 << 5,
    CAP_SSL = 1 << 11,
    CAP_ZSTD = 1 << 26,
    CAP_ATTRIBUTES = 1 << 27,
    STATEMENTS_MAX = 4096,
};

static const char *const commands[] = {
    "COM_SLEEP",
    "COM_QUIT",
    "COM_INIT_DB",
    "COM_QUERY",
    "COM_FIELD_LIST",
    "COM_CREATE_DB",
    "COM_DROP_DB",
    "COM_REFRESH",
    "COM_SHUTDOWN",
    "COM_STATISTICS",
    "COM_PROCESS_INFO",
    "COM_CONNECT",
    "COM_PROCESS_KILL",
    "COM_DEBUG",
    "COM_PING",
    "COM_TIME",
    "COM_DELAYED_INSERT",
    "COM_CHANGE_USER",
    "COM_BINLOG_DUMP",
    "COM_TABLE_DUMP",
    "COM_CONNECT_OUT",
    "COM_REGISTER_SLAVE",
    "COM_STMT_PREPARE",
    "COM_STMT_EXECUTE",
    "COM_STMT_SEND_LONG_DATA",
    "COM_STMT_CLOSE",
    "COM_STMT_RESET",
    "COM_SET_OPTION",
    "COM_STMT_FETCH",
    "COM_DAEMON",
    "COM_BINLOG_DUMP_GTID",
    "COM_RESET_CONNECTION",
};

enum { COMMANDS = sizeof commands / sizeof *commands };

/* "COM_QUERY" or "query" */
static int mysql_command(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcasecmp(commands[i], name) == 0 || strcasecmp(commands[i] + 4, name) == 0)
            return i;
    return -1;
}

typedef struct statement {
    struct statement *next;
    uint32_t id;
    int params;
    uint16_t *types; /* as the last execute that named them said */
    size_t len;
    char text[];
} statement;

typedef struct mysql_state {
    bool greeted, client_known, attributes;
    uint32_t server_caps;
    bool fresh; /* what comes next from the server begins the response to the last command */
    statement *preparing, *statements;
    int count;
    rl_buf params;
    rl_buf joined; /* the last command of several packets, without their heads */
} mysql_state;

static mysql_state *mysql_state_of(proto_session *s)
{
    if (!s->own)
        s->own = mem_zero(sizeof(mysql_state));
    return s->own;
}

static void statement_free(statement *stmt)
{
    if (stmt)
        free(stmt->types);
    free(stmt);
}

static void mysql_close(proto_session *s)
{
    mysql_state *mysql = mysql_state_of(s);
    while (mysql->statements) {
        statement *stmt = mysql->statements;
        mysql->statements = stmt->next;
        statement_free(stmt);
    }
    statement_free(mysql->preparing);
    buf_free(&mysql->params);
    buf_free(&mysql->joined);
    free(mysql);
}

static size_t packet_size(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return HEAD + ((size_t)u[0] | (size_t)u[1] << 8 | (size_t)u[2] << 16);
}

/* The length of the message that begins at p as far as `len` bytes tell it: more than `len` while some
 * of it is missing. Beyond PROTO_MESSAGE_MAX its packets are taken one by one. */
static size_t message_size(const char *p, size_t len)
{
    for (size_t at = 0, size;; at += size) {
        if (len < at + HEAD)
            return at + HEAD;
        size = packet_size(p + at);
        if (size < HEAD + PACKET_MAX || at + size > PROTO_MESSAGE_MAX)
            return at + size;
    }
}

static frame_reader command_of(mysql_state *mysql, const char *data, size_t len)
{
    if (packet_size(data) == len)
        return frame_read(data + HEAD, len - HEAD, false);
    buf_reset(&mysql->joined);
    for (size_t at = 0; at < len; at += packet_size(data + at))
        buf_add(&mysql->joined, data + at + HEAD, packet_size(data + at) - HEAD);
    return frame_read(mysql->joined.data, mysql->joined.len, false);
}

static statement *statement_find(const mysql_state *mysql, uint32_t id)
{
    statement *stmt = mysql->statements;
    while (stmt && stmt->id != id)
        stmt = stmt->next;
    return stmt;
}

static void read_execute(mysql_state *mysql, frame_reader *r, proto_msg *msg)
{
    statement *stmt = statement_find(mysql, (uint32_t)mysql_le(r, 4));
    if (!stmt || r->bad)
        return;
    msg->text = (frame_slice){stmt->text, stmt->len};
    frame_raw(r, 5);
    uint64_t count = (uint64_t)stmt->params;
    if (count && mysql->attributes)
        count = mysql_lenenc(r);
    if (count == 0 || count != (uint64_t)stmt->params || r->bad)
        return;
    buf_reset(&mysql->params);
    mysql_read_values(r, stmt->params, mysql->attributes, stmt->types, &mysql->params);
    if (!r->bad)
        msg->params = (frame_slice){mysql->params.data, mysql->params.len};
}

enum { ATTRIBUTES_MAX = 64 };

/* Query attributes may stand in front of a statement. */
static void pass_attributes(frame_reader *r)
{
    uint16_t types[ATTRIBUTES_MAX] = {0};
    rl_buf waste = {0};
    uint64_t count = mysql_lenenc(r);
    mysql_lenenc(r);
    if (count > ATTRIBUTES_MAX)
        r->bad = true;
    else if (count)
        mysql_read_values(r, (int)count, true, types, &waste);
    buf_free(&waste);
}

static bool mysql_read(proto_session *s, const char *data, size_t len, proto_msg *msg)
{
    rl_assert(len > HEAD);
    mysql_state *mysql = mysql_state_of(s);
    *msg = (proto_msg){.kind = PROTO_MYSQL, .dir = PROTO_UP, .data = data, .len = len};
    frame_reader r = command_of(mysql, data, len);
    msg->api = (int)mysql_le(&r, 1);
    if (msg->api >= COMMANDS || r.bad)
        return false;
    msg->command = commands[msg->api];
    msg->command_len = strlen(msg->command);
    if (msg->api == COM_QUERY && mysql->attributes)
        pass_attributes(&r);
    if (msg->api == COM_QUERY || msg->api == COM_STMT_PREPARE) {
        if (!r.bad)
            msg->text = (frame_slice){r.data + r.pos, r.len - r.pos};
    } else if (msg->api == COM_STMT_EXECUTE) {
        read_execute(mysql, &r, msg);
    }
    return true;
}

/* ---- prepared statements ---- */

static void begin_prepare(mysql_state *mysql, frame_slice text)
{
    statement_free(mysql->preparing);
    mysql->preparing = mem_zero(sizeof(statement) + text.len + 1);
    mysql->preparing->len = text.len;
    memcpy(mysql->preparing->text, text.data ? text.data : "", text.len);
}

/* The answer to a prepare: 0, the statement's number, columns, parameters. */
static void end_prepare(mysql_state *mysql, const char *data, size_t len)
{
    statement *stmt = mysql->preparing;
    frame_reader r = frame_read(data + HEAD, len - HEAD, false);
    mysql->preparing = NULL;
    if (mysql_le(&r, 1) != 0 || mysql->count >= STATEMENTS_MAX) {
        statement_free(stmt);
        return;
    }
    stmt->id = (uint32_t)mysql_le(&r, 4);
    mysql_le(&r, 2);
    stmt->params = (int)mysql_le(&r, 2);
    stmt->types = mem_zero((size_t)(stmt->params + 1) * sizeof *stmt->types);
    stmt->next = mysql->statements;
    mysql->statements = stmt;
    mysql->count++;
}

static void forget_statement(mysql_state *mysql, const char *data, size_t len)
{
    frame_reader r = frame_read(data + HEAD + 1, len - HEAD - 1, false);
    uint32_t id = (uint32_t)mysql_le(&r, 4);
    for (statement **at = &mysql->statements; *at && !r.bad; at = &(*at)->next)
        if ((*at)->id == id) {
            statement *stmt = *at;
            *at = stmt->next;
            statement_free(stmt);
            mysql->count--;
            return;
        }
}

/* ---- from the client ---- */

/* The first packet of a client says what the two will speak. */
static void meet_client(proto_session *s, const char *data, size_t len)
{
    mysql_state *mysql = mysql_state_of(s);
    frame_reader r = frame_read(data + HEAD, len - HEAD, false);
    uint32_t caps = (uint32_t)mysql_le(&r, 4);
    mysql->client_known = true;
    mysql->attributes = caps & mysql->server_caps & CAP_ATTRIBUTES;
    if (r.bad || caps & (CAP_SSL | CAP_COMPRESS | CAP_ZSTD))
        proto_give_up(s);
}

static bool is_command(const char *p, size_t size)
{
    return p[3] == 0 && size > HEAD && size <= PROTO_MESSAGE_MAX;
}

static bool mysql_on_command(proto_session *s, const char *data, size_t size)
{
    mysql_state *mysql = mysql_state_of(s);
    proto_msg msg;
    bool known = mysql_read(s, data, size, &msg);
    mysql->fresh = true;
    while (s->first)
        proto_pending_free(proto_pop(s));
    if (known && msg.api == COM_STMT_PREPARE)
        begin_prepare(mysql, msg.text);
    if (known && msg.api == COM_STMT_CLOSE)
        forget_statement(mysql, data, size);
    if (known && s->host.wants(s->host.arg, msg.api))
        return proto_on_request(s, &msg);
    proto_emit(s, PROTO_UP, data, size);
    return true;
}

/* A whole message, or a packet of one that is too large to be looked at. */
static bool mysql_on_message(proto_session *s, const char *data, size_t size)
{
    mysql_state *mysql = mysql_state_of(s);
    if (is_command(data, size) && mysql->client_known)
        return mysql_on_command(s, data, size);
    if (!mysql->client_known)
        meet_client(s, data, size);
    proto_emit(s, PROTO_UP, data, size);
    return true;
}

static size_t mysql_up(proto_session *s, const char *data, size_t len)
{
    rl_buf *in = &s->side[PROTO_UP].in;
    size_t pos = 0;
    while (pos < len && !s->opaque) {
        const char *at = in->len ? in->data : data + pos;
        size_t have = in->len ? in->len : len - pos, want = message_size(at, have);
        if (!in->len && want <= have) {
            pos += want;
            if (!mysql_on_message(s, at, want))
                return pos;
            continue;
        }
        size_t n = in->len && want - in->len < len - pos ? want - in->len : len - pos;
        buf_add(in, data + pos, n);
        pos += n;
        if (in->len < message_size(in->data, in->len))
            continue;
        rl_buf whole = *in;
        *in = (rl_buf){0};
        bool go_on = mysql_on_message(s, whole.data, whole.len);
        buf_free(&whole);
        if (!go_on)
            return pos;
    }
    proto_emit(s, PROTO_UP, data + pos, len - pos);
    return len;
}

/* ---- from the server: only how a response begins ---- */

/* Version 10 greeting: version text, thread, 8 bytes, 0, the low half of the capabilities,
 * charset, status, the high half. */
static void meet_server(mysql_state *mysql, const char *data, size_t len)
{
    frame_reader r = frame_read(data + HEAD, len - HEAD, false);
    mysql->greeted = true;
    if (mysql_le(&r, 1) != 10)
        return;
    while (!r.bad && mysql_le(&r, 1))
        ;
    frame_raw(&r, 13);
    mysql->server_caps = (uint32_t)mysql_le(&r, 2);
    frame_raw(&r, 3);
    mysql->server_caps |= (uint32_t)mysql_le(&r, 2) << 16;
    if (r.bad)
        mysql->server_caps = 0;
}

static void mysql_judge(proto_msg *msg)
{
    frame_reader r = frame_read(msg->data + HEAD, packet_size(msg->data) - HEAD, false);
    uint64_t first = mysql_le(&r, 1);
    if (r.bad)
        return;
    msg->judged = true;
    if (first != 0xff)
        return;
    msg->error = (int)mysql_le(&r, 2);
    if (r.len - r.pos > 6 && r.data[r.pos] == '#')
        r.pos += 6;
    msg->text = (frame_slice){r.data + r.pos, r.len - r.pos};
}

static size_t mysql_down(proto_session *s, const char *data, size_t len)
{
    mysql_state *mysql = mysql_state_of(s);
    bool whole = len >= HEAD && len >= packet_size(data);
    if (!mysql->greeted) {
        if (whole)
            meet_server(mysql, data, packet_size(data));
        mysql->greeted = true;
    }
    bool fresh = mysql->fresh;
    mysql->fresh = false;
    if (fresh && whole && mysql->preparing)
        end_prepare(mysql, data, packet_size(data));
    proto_pending *pending = fresh ? proto_pop(s) : NULL;
    if (!pending) {
        proto_emit(s, PROTO_DOWN, data, len);
        return len;
    }
    proto_msg msg = {.kind = PROTO_MYSQL,
                     .dir = PROTO_DOWN,
                     .data = data,
                     .len = len,
                     .api = pending->api,
                     .command = commands[pending->api],
                     .command_len = strlen(commands[pending->api])};
    if (whole)
        mysql_judge(&msg);
    proto_on_response(s, &msg, pending);
    return len;
}

static size_t mysql_feed(proto_session *s, proto_dir dir, const char *data, size_t len)
{
    return dir == PROTO_UP ? mysql_up(s, data, len) : mysql_down(s, data, len);
}

/* An ERR packet: its number follows that of the last packet of the command. */
static void mysql_fail(const proto_msg *msg, proto_failure failure, rl_buf *out)
{
    uint8_t last = 0;
    for (size_t at = 0; at < msg->len; at += packet_size(msg->data + at))
        last = (uint8_t)msg->data[at + 3];
    int code = failure.code ? failure.code : 1105;
    size_t n = 1 + 2 + 6 + strlen(failure.text);
    rl_assert(n < PACKET_MAX);
    buf_u8(out, (uint8_t)n);
    buf_u8(out, (uint8_t)(n >> 8));
    buf_u8(out, (uint8_t)(n >> 16));
    buf_u8(out, (uint8_t)(last + 1));
    buf_u8(out, 0xff);
    buf_u8(out, (uint8_t)code);
    buf_u8(out, (uint8_t)(code >> 8));
    buf_str(out, code == 1213 ? "#40001" : "#HY000");
    buf_str(out, failure.text);
}

const proto_ops proto_mysql = {
    .feed = mysql_feed,
    .fail = mysql_fail,
    .close = mysql_close,
    .command = mysql_command,
};
