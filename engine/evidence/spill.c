#include "evidence/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"

enum { CHUNK_LEAST = 256, CHUNK_MOST = 64 << 10 };

typedef struct chunk {
    uint64_t at;
    size_t len;
} chunk;

typedef struct part {
    rl_buf open; /* not yet written */
    chunk *chunks;
    size_t n, room;
} part;

struct rl_spill {
    int fd;
    size_t chunk_size;
    uint64_t end; /* of the file */
    size_t bytes;
    part parts[SPILL_PARTS];
};

static const char *folder(void)
{
    const char *dir = getenv("TMPDIR");
    return dir && *dir ? dir : "/tmp";
}

static rl_err *failed(int error, uint64_t written)
{
    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        return err_lab(
            "DISK",
            "no room for the ids of a check in %s after %llu MiB; set TMPDIR to a folder "
            "with more, or RLAB_BAG_MEMORY to more memory",
            folder(), (unsigned long long)(written >> 20));
    return err_lab("DISK", "the ids of a check cannot be kept in %s: %s", folder(),
                   strerror(error));
}

rl_err *spill_open(size_t memory, rl_spill **out)
{
    rl_buf path = {0};
    buf_printf(&path, "%s/rlab-bag.XXXXXX", folder());
    int fd = mkostemp(path.data, O_CLOEXEC);
    int error = errno;
    if (fd >= 0)
        unlink(path.data);
    buf_free(&path);
    if (fd < 0)
        return failed(error, 0);
    rl_spill *spill = mem_zero(sizeof *spill);
    size_t size = memory / SPILL_PARTS / 4;
    spill->fd = fd;
    spill->chunk_size = size < CHUNK_LEAST ? CHUNK_LEAST : size > CHUNK_MOST ? CHUNK_MOST : size;
    *out = spill;
    return NULL;
}

static rl_err *write_all(rl_spill *spill, const rl_buf *bytes)
{
    for (size_t done = 0; done < bytes->len;) {
        ssize_t n =
            pwrite(spill->fd, bytes->data + done, bytes->len - done, (off_t)(spill->end + done));
        if (n < 0 && errno != EINTR)
            return failed(errno, spill->end);
        done += n > 0 ? (size_t)n : 0;
    }
    return NULL;
}

static rl_err *write_chunk(rl_spill *spill, part *p)
{
    rl_err *err = write_all(spill, &p->open);
    if (err)
        return err;
    if (p->n == p->room) {
        p->room = p->room ? 2 * p->room : 8;
        p->chunks = mem_grow(p->chunks, p->room * sizeof *p->chunks);
    }
    p->chunks[p->n++] = (chunk){spill->end, p->open.len};
    spill->end += p->open.len;
    buf_reset(&p->open);
    return NULL;
}

rl_err *spill_put(rl_spill *spill, unsigned number, const rl_buf *record)
{
    rl_assert(number < SPILL_PARTS);
    part *p = &spill->parts[number];
    rl_err *err = p->open.len > 0 && p->open.len + record->len > spill->chunk_size
                      ? write_chunk(spill, p)
                      : NULL;
    if (err)
        return err;
    buf_add(&p->open, record->data, record->len);
    spill->bytes += record->len;
    return NULL;
}

static rl_err *read_chunk(const rl_spill *spill, const chunk *c, rl_buf *out)
{
    buf_reserve(out, c->len);
    while (out->len < c->len) {
        ssize_t n =
            pread(spill->fd, out->data + out->len, c->len - out->len, (off_t)(c->at + out->len));
        if (n == 0)
            return err_lab("DISK", "the ids of a check were cut off in %s", folder());
        if (n < 0 && errno != EINTR)
            return failed(errno, spill->end);
        out->len += n > 0 ? (size_t)n : 0;
    }
    return NULL;
}

rl_err *spill_next(const rl_spill *spill, unsigned number, size_t *at, rl_buf *out)
{
    rl_assert(number < SPILL_PARTS);
    const part *p = &spill->parts[number];
    size_t i = (*at)++;
    buf_reset(out);
    if (i < p->n)
        return read_chunk(spill, &p->chunks[i], out);
    if (i == p->n && p->open.len > 0)
        buf_add(out, p->open.data, p->open.len);
    return NULL;
}

size_t spill_bytes(const rl_spill *spill)
{
    return spill->bytes;
}

void spill_free(rl_spill *spill)
{
    if (!spill)
        return;
    for (int i = 0; i < SPILL_PARTS; i++) {
        buf_free(&spill->parts[i].open);
        free(spill->parts[i].chunks);
    }
    close(spill->fd);
    free(spill);
}
