/* How a request is answered: by the handler, from any thread, or by the server itself. */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "http/server_internal.h"

static struct MHD_Response *response_of(const http_reply_opts *reply)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        reply->len, reply->len ? (void *)reply->body : "", MHD_RESPMEM_MUST_COPY);
    for (size_t i = 0; response && i < reply->fields_count; i++)
        MHD_add_response_header(response, reply->fields[i].name, reply->fields[i].value);
    return response;
}

/* Leaves the answer and wakes the connection, unless http_stop was faster: then the server may
 * be gone and is not touched. */
static bool answer(http_request *req, const http_reply_opts *reply, struct MHD_Response *response)
{
    if (atomic_exchange(&req->claimed, true))
        return false;
    rl_assert(!req->response);
    req->response = response;
    req->status = reply->status;
    req->after = reply->after;
    req->arg = reply->arg;
    if (atomic_exchange(&req->state, ANSWERED) == SUSPENDED)
        MHD_resume_connection(req->connection);
    return true;
}

void http_reply(http_request *req, const http_reply_opts *reply)
{
    struct MHD_Response *response = response_of(reply);
    if (!answer(req, reply, response)) { /* the server has stopped and said so */
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
    enum MHD_Result done = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return done;
}

enum MHD_Result http_send_answer(http_request *req)
{
    if (atomic_load(&req->server->draining))
        MHD_add_response_header(req->response, MHD_HTTP_HEADER_CONNECTION, "close");
    return MHD_queue_response(req->connection, (unsigned)req->status, req->response);
}
