#include "http/client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"

enum { CONNECT_SECONDS = 5, POLL_MS = 1000, HEAD_MAX = 256 << 10 };

struct http_client {
    CURLM *multi;
    CURL *easy;
    atomic_bool cancelled;
};

typedef struct transfer {
    const http_call *call;
    http_answer *answer;
    size_t sent;
    bool too_large, head_too_large;
} transfer;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

http_client *http_client_new(void)
{
    pthread_once(&once, init);
    http_client *client = mem_zero(sizeof *client);
    client->multi = curl_multi_init();
    client->easy = curl_easy_init();
    return client;
}

void http_client_free(http_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->easy);
    curl_multi_cleanup(client->multi);
    free(client);
}

void http_client_cancel(http_client *client)
{
    atomic_store(&client->cancelled, true);
    curl_multi_wakeup(client->multi);
}

void http_answer_free(http_answer *answer)
{
    buf_free(&answer->head);
    buf_free(&answer->body);
}

/* ---- what libcurl calls ---- */

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    transfer *t = arg;
    t->too_large = t->answer->body.len + size * n > t->call->max_body;
    if (t->too_large)
        return 0;
    buf_add(&t->answer->body, data, size * n);
    return size * n;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void add_field(rl_buf *head, const char *name, const char *colon, const char *to)
{
    const char *from = colon + 1;
    for (const char *p = name; p < colon; p++)
        buf_u8(head, (uint8_t)tolower((unsigned char)*p));
    while (from < to && is_space(*from))
        from++;
    while (to > from && is_space(to[-1]))
        to--;
    buf_u8(head, 0);
    buf_add(head, from, (size_t)(to - from));
    buf_u8(head, 0);
}

/* A status line begins a new answer (after 100 Continue). */
static size_t on_head(char *data, size_t size, size_t n, void *arg)
{
    transfer *t = arg;
    rl_buf *head = &t->answer->head;
    size_t len = size * n;
    const char *colon = memchr(data, ':', len);
    if (len > 5 && strncmp(data, "HTTP/", 5) == 0)
        buf_reset(head);
    else if (colon && head->len + len <= HEAD_MAX)
        add_field(head, data, colon, data + len);
    else if (colon)
        t->head_too_large = true;
    return t->head_too_large ? 0 : len;
}

static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
    transfer *t = arg;
    size_t left = t->call->len - t->sent, most = size * n;
    if (left > most)
        left = most;
    memcpy(out, t->call->body + t->sent, left);
    t->sent += left;
    return left;
}

/* libcurl repeats a request whose kept connection turns out to be dead; only what may be
 * repeated lets it. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    transfer *t = arg;
    (void)origin;
    if (strcmp(t->call->method, "PUT") != 0)
        return CURL_SEEKFUNC_FAIL;
    t->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- one call ---- */

static long milliseconds(double seconds)
{
    double ms = seconds * 1000 + 0.999;
    return ms > LONG_MAX / 2 ? 0 : (long)ms;
}

static bool sends_body(const http_call *call)
{
    return call->len > 0 || strcmp(call->method, "POST") == 0 || strcmp(call->method, "PUT") == 0 ||
           strcmp(call->method, "PATCH") == 0;
}

static void set_body(CURL *easy, transfer *t)
{
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->call->len);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, t);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, t);
    /* without a byte to rewind libcurl would repeat it unasked */
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, t->call->len ? 0L : 1L);
}

static struct curl_slist *headers_of(const http_call *call)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    bool typed = false;
    for (const char *const *h = call->headers; h && *h; h++) {
        typed = typed || strncasecmp(*h, "content-type:", 13) == 0;
        list = curl_slist_append(list, *h);
    }
    return typed ? list : curl_slist_append(list, "Content-Type:");
}

static void only_http(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static void prepare(CURL *easy, transfer *t, struct curl_slist *headers, char *why)
{
    const http_call *call = t->call;
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    only_http(easy);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, call->socket);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds(call->timeout));
    curl_easy_setopt(
        easy, CURLOPT_CONNECTTIMEOUT_MS,
        milliseconds(call->connect_timeout > 0 ? call->connect_timeout : CONNECT_SECONDS));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, why);
    if (strcmp(call->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (sends_body(call))
        set_body(easy, t);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static CURLcode result_of(CURLM *multi)
{
    int left;
    CURLMsg *msg = curl_multi_info_read(multi, &left);
    return msg && msg->msg == CURLMSG_DONE ? msg->data.result : CURLE_FAILED_INIT;
}

/* CURLE_ABORTED_BY_CALLBACK stands for a cancel. */
static CURLcode perform(http_client *client)
{
    int running = 1;
    curl_multi_add_handle(client->multi, client->easy);
    while (running) {
        if (atomic_load(&client->cancelled))
            break;
        curl_multi_perform(client->multi, &running);
        if (running)
            curl_multi_poll(client->multi, NULL, 0, POLL_MS, NULL);
    }
    CURLcode rc = running ? CURLE_ABORTED_BY_CALLBACK : result_of(client->multi);
    curl_multi_remove_handle(client->multi, client->easy);
    return rc;
}

static const struct {
    CURLcode code;
    const char *name;
} names[] = {
    {CURLE_COULDNT_CONNECT, "CONNECT"},
    {CURLE_COULDNT_RESOLVE_HOST, "UNKNOWN_HOST"},
    {CURLE_OPERATION_TIMEDOUT, "TIMEOUT"},
    {CURLE_GOT_NOTHING, "CONNECTION_LOST"},
    {CURLE_SEND_ERROR, "CONNECTION_LOST"},
    {CURLE_RECV_ERROR, "CONNECTION_LOST"},
    {CURLE_PARTIAL_FILE, "CONNECTION_LOST"},
    {CURLE_SEND_FAIL_REWIND, "CONNECTION_LOST"},
    {CURLE_URL_MALFORMAT, "URL"},
    {CURLE_UNSUPPORTED_PROTOCOL, "URL"},
    {CURLE_SSL_CONNECT_ERROR, "TLS"},
    {CURLE_PEER_FAILED_VERIFICATION, "TLS"},
};

static rl_err *error_of(CURLcode rc, const transfer *t, const char *why)
{
    const char *name = "HTTP", *text = *why ? why : curl_easy_strerror(rc);
    if (rc == CURLE_ABORTED_BY_CALLBACK)
        return err_lab("CANCELLED", "the call was cancelled");
    if (t->too_large)
        return err_new(RL_HTTP, (int)rc, "TOO_LARGE", "%s: the answer has more than %zu bytes",
                       t->call->url, t->call->max_body);
    if (t->head_too_large)
        return err_new(RL_HTTP, (int)rc, "TOO_LARGE",
                       "%s: the answer's head has more than %d bytes", t->call->url, HEAD_MAX);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].code == rc)
            name = names[i].name;
    if (rc == CURLE_SEND_FAIL_REWIND || rc == CURLE_GOT_NOTHING)
        text = "the connection was lost while the request was under way";
    return err_new(RL_HTTP, (int)rc, name, "%s %s: %s", t->call->method, t->call->url, text);
}

/* After a failed call the handle keeps, whatever is reset, that it has something to rewind, and
 * the next request would fail at once. */
static void renew(http_client *client, CURLcode rc)
{
    CURL *fresh = rc == CURLE_OK ? NULL : curl_easy_init();
    if (!fresh) {
        curl_easy_reset(client->easy);
        return;
    }
    curl_easy_cleanup(client->easy);
    client->easy = fresh;
}

rl_err *http_client_call(http_client *client, const http_call *call, http_answer *answer)
{
    rl_assert(call->method && call->url && call->timeout >= 0 && (call->body || !call->len));
    char why[CURL_ERROR_SIZE] = "";
    transfer t = {.call = call, .answer = answer};
    struct curl_slist *headers = headers_of(call);
    prepare(client->easy, &t, headers, why);
    CURLcode rc = perform(client);
    atomic_store(&client->cancelled, false);
    long status = 0, sent = 0;
    curl_easy_getinfo(client->easy, CURLINFO_REQUEST_SIZE, &sent);
    if (rc == CURLE_COULDNT_CONNECT && sent > 0)
        rc = CURLE_GOT_NOTHING; /* it was the second attempt, after a kept connection had broken */
    curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
    renew(client, rc);
    curl_slist_free_all(headers);
    answer->status = (int)status;
    return rc == CURLE_OK ? NULL : error_of(rc, &t, why);
}
