#include "evidence/pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/buf.h"

enum { LARGE = 4 << 20 };

void *pages_grow(void *p, size_t had, size_t n)
{
    if (n < LARGE)
        return mem_grow(p, n);
    void *q = had >= LARGE
                  ? mremap(p, had, n, MREMAP_MAYMOVE)
                  : mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (q == MAP_FAILED)
        mem_out();
    madvise(q, n, MADV_HUGEPAGE); /* advice: where there are none, nothing is lost */
    if (had > 0 && had < LARGE)
        memcpy(q, p, had);
    if (had < LARGE)
        free(p);
    return q;
}

void pages_free(void *p, size_t had)
{
    if (had < LARGE)
        free(p);
    else
        munmap(p, had);
}
