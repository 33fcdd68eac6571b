#include "bind/host/refused.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "term/tty.h"

/* PROBE: more than a thread's stack, which is what libraries ask for at once. */
enum { EXIT_OUTPUT = 74, PROBE = 16 << 20 };

/* libuv, librdkafka and others abort() where they get no memory or no thread. What a failed assertion
 * aborts is left as it is: then there is memory. */
static void on_abort(int signum)
{
    tty_restore();
    if (mmap(NULL, PROBE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        mem_out();
    signal(signum, SIG_DFL);
    raise(signum); /* it may have come from outside, and would be lost */
}

void refused_memory_watch(void)
{
    struct sigaction act = {.sa_handler = on_abort};
    sigemptyset(&act.sa_mask);
    sigaction(SIGABRT, &act, NULL);
}

/* A pipe whose reader has seen enough, as `head` has. */
static bool nobody_reads(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

int refused_output(int code)
{
    if ((fflush(stdout) == 0 && !ferror(stdout)) || nobody_reads())
        return code;
    fprintf(stderr, "rlab: standard output did not take all that was said: is the disk full?\n");
    return code ? code : EXIT_OUTPUT;
}
