/* When a connection may no longer be used, and why. */
#include <sys/socket.h>

#include "base/buf.h"
#include "redis/internal.h"

void redisc_cancel(redisc_conn *conn)
{
    pthread_mutex_lock(&conn->lock);
    conn->cancelled = true;
    if (conn->fd >= 0)
        shutdown(conn->fd, SHUT_RDWR);
    pthread_mutex_unlock(&conn->lock);
}

/* A cancel may come when its call has just ended: the socket is shut down all the same. */
static const char *broken_by_us(redisc_conn *conn)
{
    pthread_mutex_lock(&conn->lock);
    bool cancelled = conn->cancelled;
    pthread_mutex_unlock(&conn->lock);
    if (cancelled && !conn->broken)
        conn->broken = mem_strdup("a call was cancelled");
    return conn->broken;
}

const char *redisc_broken(redisc_conn *conn)
{
    if (!broken_by_us(conn) && redisc_hung_up(conn)) {
        conn->broken = mem_strdup("the server has closed it");
        redisc_hang_up(conn);
    }
    return conn->broken;
}

rl_err *redisc_usable(redisc_conn *conn)
{
    if (!broken_by_us(conn))
        return NULL;
    rl_err *err = err_new(RL_REDIS, 0, "BROKEN",
                          "the connection is broken (%s); reconnect() mends it", conn->broken);
    err->fatal = true;
    return err;
}

rl_err *redisc_break(redisc_conn *conn, rl_err *err)
{
    pthread_mutex_lock(&conn->lock);
    bool cancelled = conn->cancelled;
    pthread_mutex_unlock(&conn->lock);
    if (cancelled) {
        err_free(err);
        err = err_lab("CANCELLED", "the call was cancelled");
    }
    if (!conn->broken)
        conn->broken = mem_strdup(err->msg);
    redisc_hang_up(conn);
    return err;
}
