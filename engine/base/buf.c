#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void mem_out(void)
{
    static const char line[] = "rlab: out of memory\n";
    ssize_t n = write(STDERR_FILENO, line, sizeof line - 1);
    (void)n; /* nobody can be told */
    _exit(MEM_EXIT);
}

void *mem_grow(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);
    if (!q)
        mem_out();
    return q;
}

void *mem_alloc(size_t n)
{
    return mem_grow(NULL, n);
}

void *mem_zero(size_t n)
{
    return memset(mem_alloc(n), 0, n);
}

char *mem_dup(const void *bytes, size_t n)
{
    char *copy = mem_alloc(n + 1);
    if (n)
        memcpy(copy, bytes, n);
    copy[n] = '\0';
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_dup(text, strlen(text));
}

void buf_reserve(rl_buf *buf, size_t extra)
{
    size_t need = buf->len + extra + 1;
    if (need <= buf->cap)
        return;
    size_t cap = buf->cap ? buf->cap : 64;
    while (cap < need)
        cap *= 2;
    buf->data = mem_grow(buf->data, cap);
    buf->cap = cap;
}

void buf_add(rl_buf *buf, const void *bytes, size_t n)
{
    buf_reserve(buf, n);
    if (n)
        memcpy(buf->data + buf->len, bytes, n);
    buf->len += n;
    buf->data[buf->len] = '\0';
}

void buf_str(rl_buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_printf(rl_buf *buf, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n > 0) {
        buf_reserve(buf, (size_t)n);
        vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    }
    va_end(again);
}

static void add_be(rl_buf *buf, uint64_t v, int bytes)
{
    char out[8];
    for (int i = 0; i < bytes; i++)
        out[i] = (char)(v >> (8 * (bytes - 1 - i)));
    buf_add(buf, out, (size_t)bytes);
}

void buf_u8(rl_buf *buf, uint8_t v)
{
    add_be(buf, v, 1);
}

void buf_be16(rl_buf *buf, uint16_t v)
{
    add_be(buf, v, 2);
}

void buf_be32(rl_buf *buf, uint32_t v)
{
    add_be(buf, v, 4);
}

void buf_be64(rl_buf *buf, uint64_t v)
{
    add_be(buf, v, 8);
}

void buf_reset(rl_buf *buf)
{
    buf->len = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

void buf_free(rl_buf *buf)
{
    free(buf->data);
    *buf = (rl_buf){0};
}
