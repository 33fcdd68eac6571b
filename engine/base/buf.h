/* A growing byte buffer.
 *
 * Offers: append of bytes, formatted text, big-endian integers (Kafka's wire order). Memory that
 * cannot be had ends the program, with a line and MEM_EXIT: a lab that is out of memory has nothing
 * sensible left to do.
 * Uses: nothing. Thread: plain memory, one owner. */
#ifndef RL_BASE_BUF_H
#define RL_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

typedef struct rl_buf {
    char *data; /* NUL-terminated whenever non-NULL, the NUL is not counted */
    size_t len, cap;
} rl_buf;

void buf_reserve(rl_buf *buf, size_t extra);
void buf_add(rl_buf *buf, const void *bytes, size_t n);
void buf_str(rl_buf *buf, const char *text);
void buf_printf(rl_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_u8(rl_buf *buf, uint8_t v);
void buf_be16(rl_buf *buf, uint16_t v);
void buf_be32(rl_buf *buf, uint32_t v);
void buf_be64(rl_buf *buf, uint64_t v);
void buf_reset(rl_buf *buf); /* keeps the memory */
void buf_free(rl_buf *buf);

enum { MEM_EXIT = 71 };

/* Says that memory is out and ends the program; safe in a signal handler. */
void mem_out(void) __attribute__((noreturn));

/* malloc, calloc and strdup that never return NULL. */
void *mem_alloc(size_t n);
void *mem_zero(size_t n);
void *mem_grow(void *p, size_t n);
char *mem_strdup(const char *text);
char *mem_dup(const void *bytes, size_t n); /* adds a NUL */

#endif
