/* Pipes for bytes that nobody wants to see: at most so many are open as streams are busy, and idle ones
 * are used again. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "fault/proxy/internal.h"

enum { SMALLEST = 64 << 10 }; /* of a pipe; less is no faster than reads */

static proxy_pipe *pipe_open(void)
{
    int fd[2];
    if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
        return NULL;
    (void)fcntl(fd[1], F_SETPIPE_SZ, PROXY_PIPE); /* refused beyond the user's share */
    if (fcntl(fd[1], F_GETPIPE_SZ) < SMALLEST) {
        close(fd[0]);
        close(fd[1]);
        return NULL;
    }
    proxy_pipe *pipe = mem_zero(sizeof *pipe);
    pipe->from = fd[0];
    pipe->to = fd[1];
    return pipe;
}

static void pipe_close(proxy_pipe *pipe)
{
    close(pipe->from);
    close(pipe->to);
    free(pipe);
}

bool pipe_get(proxy_stream *st)
{
    rl_proxy *proxy = st->conn->proxy;
    if (st->pipe)
        return true;
    st->pipe = proxy->pipes;
    if (st->pipe)
        proxy->pipes = st->pipe->next;
    else
        st->pipe = pipe_open();
    return st->pipe != NULL;
}

void pipe_give_back(proxy_stream *st)
{
    proxy_pipe *pipe = st->pipe;
    rl_proxy *proxy = st->conn->proxy;
    st->pipe = NULL;
    if (!pipe)
        return;
    if (pipe->held) {
        pipe_close(pipe);
        return;
    }
    pipe->next = proxy->pipes;
    proxy->pipes = pipe;
}

void pipe_free_all(rl_proxy *proxy)
{
    while (proxy->pipes) {
        proxy_pipe *pipe = proxy->pipes;
        proxy->pipes = pipe->next;
        pipe_close(pipe);
    }
}

size_t pipe_held(const proxy_stream *st)
{
    return st->pipe ? st->pipe->held : 0;
}

size_t pipe_take(proxy_stream *st, char *to, size_t most)
{
    size_t held = pipe_held(st);
    ssize_t n = held ? read(st->pipe->from, to, most < held ? most : held) : 0;
    if (n <= 0)
        return 0;
    rl_assert((size_t)n <= st->pipe->held);
    st->pipe->held -= (size_t)n;
    return (size_t)n;
}

bool pipe_join(proxy_stream *st, const char *data, size_t len)
{
    if (!st->filling || len > PIPE_BUF || write(st->pipe->to, data, len) != (ssize_t)len)
        return false;
    st->pipe->held += len;
    return true;
}

int pipe_tcp_fd(const uv_tcp_t *tcp)
{
    uv_os_fd_t fd = -1;
    return uv_fileno((const uv_handle_t *)tcp, &fd) == 0 ? fd : -1;
}
