/* Deadlines and cancels for sockets that a library reads.
 *
 * Offers: my_watch, one socket under watch: it is shut down when its deadline passes or
 * my_watch_cancel is called, which ends the library's blocked read or write at once. The libraries'
 * own timeouts know whole seconds only and differ in what they count.
 * Uses: base/deadline, one thread of its own for the deadlines. Thread: any; `expired` and
 * `cancelled` are read through the functions. */
#ifndef RL_MYSQL_WATCH_H
#define RL_MYSQL_WATCH_H

#include <stdbool.h>

#include "base/deadline.h"

typedef struct my_watch {
    struct my_watch *prev, *next;
    int fd;
    rl_deadline deadline;
    bool armed, expired, cancelled;
} my_watch;

void my_watch_init(my_watch *watch);
void my_watch_fd(my_watch *watch, int fd); /* -1 before the socket is closed */
void my_watch_arm(my_watch *watch,
                  double seconds); /* 0: no deadline; armed anew when it was armed */
void my_watch_disarm(my_watch *watch);
void my_watch_cancel(my_watch *watch);
void my_watch_forget(my_watch *watch); /* clears expired and cancelled */
bool my_watch_expired(my_watch *watch);
bool my_watch_cancelled(my_watch *watch);

#endif
