/* The TCP sockets that this machine's kernel knows.
 *
 * Offers: a walk over them. The listening ones are asked of the kernel's socket diagnosis
 * (NETLINK_SOCK_DIAG), which looks at nothing else: well below a millisecond, where /proc/net/tcp
 * walks the whole table of connections for each look. Where it does not answer, and for all other
 * states, /proc is read.
 * Uses: base/files, base/buf. Thread: any; nothing is kept between calls. */
#ifndef RL_LOOP_TCP_TABLE_H
#define RL_LOOP_TCP_TABLE_H

#include <stdbool.h>
#include <sys/types.h>

enum { TCP_TABLE_ESTABLISHED = 1, TCP_TABLE_LISTEN = 10 }; /* tcp_row.state, the kernel's numbers */

typedef struct tcp_row {
    unsigned local_port, remote_port, state, rx_queue, uid;
    unsigned long inode;
} tcp_row;

typedef bool (*tcp_visit)(const tcp_row *row, void *arg); /* false ends the walk */

void tcp_table_listening(tcp_visit visit, void *arg);
void tcp_table_of(pid_t pid, tcp_visit visit,
                  void *arg); /* every state, as the process's namespace has them */

#endif
