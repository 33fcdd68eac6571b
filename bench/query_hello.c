/* The least that libmicrohttpd can do: "hello" from 2 threads on epoll, connections kept alive. What a server on it can reach at best.
 * query_hello: prints its port, ends with SIGTERM. */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

static enum MHD_Result hello(void *cls, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *data, size_t *len,
                             void **state)
{
    static char text[] = "{\"account_id\":7,\"balance\":1200,\"version\":3,\"source\":\"hello\"}";
    (void)cls, (void)url, (void)method, (void)version, (void)data, (void)len;
    if (!*state) {
        *state = text; /* the request's head has come */
        return MHD_YES;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result done = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return done;
}

int main(void)
{
    sigset_t term;
    int which;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL,
                                                 hello, NULL, MHD_OPTION_SOCK_ADDR, &at,
                                                 MHD_OPTION_THREAD_POOL_SIZE, 2u, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info) {
        fprintf(stderr, "the server did not start\n");
        return 1;
    }
    printf("%u\n", info->port);
    fflush(stdout);
    sigwait(&term, &which);
    MHD_stop_daemon(daemon);
    return 0;
}
