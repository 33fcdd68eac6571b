/* What is said, and the exit code, when the machine refuses memory or output.
 *
 * Offers: refused_memory_watch, after which a library that gives up for want of memory ends rlab as
 * mem_out does; refused_output, the code of a program that could not say all that it said.
 * Uses: base/buf, term/tty. Thread: the main thread. */
#ifndef RL_BIND_HOST_REFUSED_H
#define RL_BIND_HOST_REFUSED_H

void refused_memory_watch(void);
int refused_output(int code); /* code, or 74 in place of 0 when standard output took not all and
                                  * is no pipe that nobody reads */

#endif
