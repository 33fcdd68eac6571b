/* How a request is answered: by the handler, from any thread, or by the server itself. */
#include <dlfcn.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "http/server_internal.h"

/* ---- what libmicrohttpd answers ----
 * What it refuses before it asks us it answers with a page in HTML, a 500 among them, and offers no way
 * to change that. It queues its page by the name that programs call too, and the linker finds that name
 * here first: the problem goes out in the page's place. Of a libmicrohttpd that is linked in otherwise
 * the pages are seen again (http_malformed_spec.lua). */

typedef enum MHD_Result queue_response(struct MHD_Connection *, unsigned, struct MHD_Response *);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static queue_response *library_queue;

static void find_library_queue(void)
{
    *(void **)&library_queue = dlsym(RTLD_NEXT, "MHD_queue_response");
    rl_assert(library_queue);
}

static enum MHD_Result queue(struct MHD_Connection *connection, unsigned status,
                             struct MHD_Response *response)
{
    pthread_once(&once, find_library_queue);
    return library_queue(connection, status, response);
}

static const char *why_refused(unsigned status)
{
    switch (status) {
    case MHD_HTTP_CONTENT_TOO_LARGE:
        return "the length of the body is beyond 64 bits";
    case MHD_HTTP_URI_TOO_LONG:
    case MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE:
        return "a head has at most 16 KiB here, and so have trailers";
    case MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED:
        return "HTTP/1.0 and HTTP/1.1 are spoken here";
    default:
        return "the request line, a line of the head, the length or a chunk is malformed";
    }
}

static bool lacks_room(unsigned status)
{
    return status == MHD_HTTP_URI_TOO_LONG || status == MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
}

/* Where the room for a head ends, libmicrohttpd 0.9.75 goes on with the line at hand, and must not have
 * lost its pool by then, which MHD_NO makes it free. So it has an answer to send as it expects, for
 * which there may be no room either; the one that arrives is ours. */
static enum MHD_Result answer_no_room(struct MHD_Connection *connection, http_link *link,
                                      int status)
{
    if (http_link_complete(link))
        http_link_tell(link, status, why_refused((unsigned)status));
    shutdown(link->fd, SHUT_WR);
    return http_send_problem(connection, status, true, why_refused((unsigned)status));
}

/* MHD_NO makes it close the connection, and keeps it from answering twice, as it does for a wrong
 * Content-Length. None of its reasons is a fault of the server's: its 500 and 505 are 400. */
enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                   struct MHD_Response *response)
{
    http_link *link = http_link_of(connection);
    if (!link) /* a server of somebody else's */
        return queue(connection, status, response);
    if (lacks_room(status))
        return answer_no_room(connection, link, (int)status);
    int said = status >= MHD_HTTP_INTERNAL_SERVER_ERROR ? MHD_HTTP_BAD_REQUEST : (int)status;
    if (http_link_complete(link))
        http_link_tell(link, said, why_refused(status));
    return MHD_NO;
}

/* ---- what we answer ---- */

static struct MHD_Response *response_of(const http_reply_opts *reply)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        reply->len, reply->len ? (void *)reply->body : "", MHD_RESPMEM_MUST_COPY);
    for (size_t i = 0; response && i < reply->fields_count; i++)
        MHD_add_response_header(response, reply->fields[i].name, reply->fields[i].value);
    return response;
}

/* Leaves the answer and wakes the connection, unless http_stop or the client's end was faster: then the
 * server may be gone and is not touched. */
static bool answer(http_request *req, const http_reply_opts *reply, struct MHD_Response *response)
{
    if (atomic_exchange(&req->claimed, true))
        return false;
    rl_assert(!req->response);
    req->response = response;
    req->status = reply->status;
    req->after = reply->after;
    req->arg = reply->arg;
    int before = atomic_exchange(&req->state, ANSWERED);
    if (before == SUSPENDED)
        MHD_resume_connection(req->connection);
    if (before == COMPLETED && req->after) /* its client went away meanwhile */
        req->after(req->arg, false);
    return true;
}

void http_reply(http_request *req, const http_reply_opts *reply)
{
    struct MHD_Response *response = response_of(reply);
    if (!answer(req, reply, response)) { /* the server has said something else, or nobody listens */
        MHD_destroy_response(response);
        if (reply->after)
            reply->after(reply->arg, false);
    }
    http_request_unref(req);
}

void http_reply_text(http_request *req, int status, const char *type, const char *text)
{
    http_field field = {MHD_HTTP_HEADER_CONTENT_TYPE, type};
    http_reply(req, &(http_reply_opts){.status = status,
                                       .fields = &field,
                                       .fields_count = 1,
                                       .body = text,
                                       .len = strlen(text)});
}

enum MHD_Result http_send_problem(struct MHD_Connection *connection, int status, bool last,
                                  const char *detail)
{
    char text[256];
    int len = snprintf(text, sizeof text, "{\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\"}",
                       http_reason(status), status, detail);
    const http_field fields[] = {{MHD_HTTP_HEADER_CONTENT_TYPE, "application/problem+json"},
                                 {MHD_HTTP_HEADER_CONNECTION, "close"}};
    struct MHD_Response *response = response_of(&(http_reply_opts){
        .fields = fields, .fields_count = last ? 2 : 1, .body = text, .len = (size_t)len});
    enum MHD_Result done = queue(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return done;
}

enum MHD_Result http_send_answer(http_request *req)
{
    if (atomic_load(&req->server->draining))
        MHD_add_response_header(req->response, MHD_HTTP_HEADER_CONNECTION, "close");
    return queue(req->connection, (unsigned)req->status, req->response);
}
