/* What a request's head has to be before anybody is asked: well formed, in one sense only, and from
 * somebody who may. */
#include <microhttpd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "http/guard.h"
#include "http/server_internal.h"
#include "http/target.h"

static enum MHD_Result refuse(http_request *req, int status, const char *detail)
{
    req->refused = true;
    return http_send_problem(req->connection, status, true, detail);
}

/* ---- the places of the lines ----
 * libmicrohttpd 0.9.75 cuts a head into its parts where it lies. What it takes without a word for
 * something else than was sent (a folded line, a NUL, a bare LF, a line that begins with its colon,
 * which ends the head for it) leaves a gap between two parts. Other versions may keep them
 * elsewhere. */

typedef struct places {
    uintptr_t next; /* where the next line begins */
    bool gap;
} places;

enum { LINE_END = 2 };

static enum MHD_Result on_place(void *arg, enum MHD_ValueKind kind, const char *name,
                                size_t name_len, const char *value, size_t value_len)
{
    places *p = arg;
    (void)kind;
    uintptr_t from = (uintptr_t)value, colon = (uintptr_t)name + name_len;
    p->gap = p->gap || (uintptr_t)name != p->next || from <= colon;
    p->next = from + value_len + LINE_END;
    return p->gap ? MHD_NO : MHD_YES;
}

static bool has_gaps(const http_request *req)
{
    const http_link *link = req->link;
    const union MHD_ConnectionInfo *head =
        MHD_get_connection_info(req->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (strcmp(MHD_get_version(), "0.9.75") != 0 || !head)
        return false;
    uintptr_t from = (uintptr_t)req->sent_method, target = (uintptr_t)link->sent_target;
    places p = {.next = (uintptr_t)req->version + strlen(req->version) + LINE_END};
    p.gap = target != from + strlen(req->method) + 1 ||
            (uintptr_t)req->version != target + strlen(link->target) + 1;
    MHD_get_connection_values_n(req->connection, MHD_HEADER_KIND, on_place, &p);
    return p.gap || p.next + LINE_END != from + head->header_size;
}

/* ---- the lines ---- */

enum { SINGLE_MAX = 5 };

typedef struct lines {
    int hosts, lengths, codings;
    bool seen[SINGLE_MAX];
    const char *wrong;
} lines;

/* Headers besides that mean one thing: of two, each reader would take another. */
static const struct single {
    const char *name, *twice;
} singles[SINGLE_MAX] = {
    {"Content-Type", "Content-Type is there twice"},
    {"Content-Encoding", "Content-Encoding is there twice"},
    {"Origin", "Origin is there twice"},
    {"Authorization", "Authorization is there twice"},
    {"Idempotency-Key", "Idempotency-Key is there twice"},
};

static bool is_token(const char *name, size_t len)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (!c || !strchr(others, c)))
            return false;
    }
    return len > 0;
}

/* Whatever stands there but control characters; the tab is none here. */
static bool is_field_value(const char *value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_length(const char *value)
{
    return *value && value[strspn(value, "0123456789")] == '\0';
}

static void count_single(lines *l, const char *name)
{
    for (int i = 0; i < SINGLE_MAX; i++) {
        if (strcasecmp(name, singles[i].name) != 0)
            continue;
        if (l->seen[i])
            l->wrong = singles[i].twice;
        l->seen[i] = true;
    }
}

static enum MHD_Result on_line(void *arg, enum MHD_ValueKind kind, const char *name,
                               size_t name_len, const char *value, size_t value_len)
{
    lines *l = arg;
    (void)kind;
    value = value ? value : "";
    if (!is_token(name, name_len) || !is_field_value(value, value_len))
        l->wrong = "a header line is malformed";
    l->hosts += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
    if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        l->codings++;
        if (strcasecmp(value, "chunked") != 0)
            l->wrong = "Transfer-Encoding may only be chunked";
    }
    if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        l->lengths++;
        if (!is_length(value))
            l->wrong = "Content-Length is no number";
    }
    count_single(l, name);
    return l->wrong ? MHD_NO : MHD_YES;
}

/* Where two readers could see two different requests there is none. (libmicrohttpd would ask for Host
 * itself, but its answer comes twice.) */
static const char *malformed(const http_request *req, lines *l)
{
    MHD_get_connection_values_n(req->connection, MHD_HEADER_KIND, on_line, l);
    if (l->wrong)
        return l->wrong;
    if (!is_token(req->method, strlen(req->method)))
        return "the method is malformed";
    if (has_gaps(req))
        return "a line of the head is folded, has no name, or does not end with CR and LF";
    if (l->lengths > 1)
        return "Content-Length is there twice";
    if (l->lengths && l->codings)
        return "Content-Length and Transfer-Encoding are both there";
    if (l->codings > 1)
        return "Transfer-Encoding is there twice";
    if (l->codings && strcmp(req->version, MHD_HTTP_VERSION_1_0) == 0)
        return "HTTP/1.0 knows no Transfer-Encoding";
    if (l->hosts > 1)
        return "Host is there twice";
    if (l->hosts == 0 && strcmp(req->version, MHD_HTTP_VERSION_1_0) != 0)
        return "the header Host is missing";
    return NULL;
}

/* ---- the target ---- */

/* Sets the paths; `authority` is what an absolute target says instead of Host, for the caller to
 * free, or NULL. */
static const char *read_target(http_request *req, char **authority)
{
    http_target target;
    if (!http_target_split(req->link->target ? req->link->target : "", &target))
        return "the target is neither a path nor an http URL";
    req->raw_path = mem_dup(target.path.text, target.path.len);
    req->path = http_decode(target.path.text, target.path.len);
    req->query = mem_dup(target.query.text, target.query.len);
    char *query = http_decode(target.query.text, target.query.len);
    if (target.authority.len)
        *authority = mem_dup(target.authority.text, target.authority.len);
    bool fine = req->path && query;
    free(query);
    return fine ? NULL : "the target has a % without two hex digits, a NUL, or is no UTF-8";
}

/* ---- all ---- */

static const char *ask_guard(const http_request *req, const char *authority, int *status)
{
    const http_server_opts *opts = &req->server->opts;
    http_guard guard = {opts->host, opts->hosts, opts->json_only};
    http_head head = {.method = req->method,
                      .host = authority ? authority : http_header(req, MHD_HTTP_HEADER_HOST),
                      .origin = http_header(req, MHD_HTTP_HEADER_ORIGIN),
                      .content_type = http_header(req, MHD_HTTP_HEADER_CONTENT_TYPE),
                      .content_coding = http_header(req, MHD_HTTP_HEADER_CONTENT_ENCODING),
                      .has_body = req->has_body};
    return http_guard_check(&guard, &head, status);
}

/* A length that is announced and too large is refused before the body is sent. */
static bool announces_too_much(const http_request *req)
{
    const char *length = http_header(req, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length && strtoull(length, NULL, 10) > req->server->opts.max_body;
}

enum MHD_Result http_admit(http_request *req)
{
    lines l = {0};
    char *authority = NULL;
    int status = MHD_HTTP_BAD_REQUEST;
    const char *wrong = malformed(req, &l);
    const char *length = http_header(req, MHD_HTTP_HEADER_CONTENT_LENGTH);
    req->has_body = l.codings || (length && strtoull(length, NULL, 10) > 0);
    if (!wrong)
        wrong = read_target(req, &authority);
    if (!wrong)
        wrong = ask_guard(req, authority, &status);
    free(authority);
    if (wrong)
        return refuse(req, status, wrong);
    if (!announces_too_much(req))
        return MHD_YES;
    char detail[96];
    snprintf(detail, sizeof detail, "a body has at most %zu bytes here",
             req->server->opts.max_body);
    return refuse(req, MHD_HTTP_CONTENT_TOO_LARGE, detail);
}
