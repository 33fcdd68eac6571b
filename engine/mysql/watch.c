#include "mysql/watch.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/cond.h"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    my_watch *armed;
    rl_deadline waking; /* when the thread looks next */
    bool started;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .waking = DEADLINE_NEVER};

static void unlink_armed(my_watch *w)
{
    if (!w->armed)
        return;
    if (w->prev)
        w->prev->next = w->next;
    else
        all.armed = w->next;
    if (w->next)
        w->next->prev = w->prev;
    w->prev = w->next = NULL;
    w->armed = false;
}

static void hang_up(my_watch *w)
{
    if (w->fd >= 0)
        shutdown(w->fd, SHUT_RDWR);
}

/* Ends what is late; returns the next deadline. */
static rl_deadline expire(void)
{
    rl_deadline next = DEADLINE_NEVER;
    for (my_watch *w = all.armed, *following; w; w = following) {
        following = w->next;
        if (!deadline_passed(w->deadline)) {
            if (w->deadline < next)
                next = w->deadline;
            continue;
        }
        unlink_armed(w);
        w->expired = true;
        hang_up(w);
    }
    return next;
}

static void *watch_main(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&all.lock);
    for (;;) {
        all.waking = expire();
        cond_wait_until(&all.change, &all.lock, all.waking);
    }
    return NULL;
}

static void start(void)
{
    pthread_t thread;
    if (all.started)
        return;
    cond_init(&all.change);
    all.started = pthread_create(&thread, NULL, watch_main, NULL) == 0;
    if (all.started)
        pthread_detach(thread);
}

void my_watch_init(my_watch *w)
{
    *w = (my_watch){.fd = -1};
}

void my_watch_fd(my_watch *w, int fd)
{
    pthread_mutex_lock(&all.lock);
    w->fd = fd;
    if (w->cancelled)
        hang_up(w);
    pthread_mutex_unlock(&all.lock);
}

void my_watch_arm(my_watch *w, double seconds)
{
    pthread_mutex_lock(&all.lock);
    unlink_armed(w);
    if (seconds > 0) {
        start();
        w->deadline = deadline_in(seconds);
        w->armed = true;
        w->next = all.armed;
        if (all.armed)
            all.armed->prev = w;
        all.armed = w;
        if (w->deadline < all.waking)
            pthread_cond_signal(&all.change);
    }
    pthread_mutex_unlock(&all.lock);
}

void my_watch_disarm(my_watch *w)
{
    pthread_mutex_lock(&all.lock);
    unlink_armed(w);
    pthread_mutex_unlock(&all.lock);
}

void my_watch_cancel(my_watch *w)
{
    pthread_mutex_lock(&all.lock);
    w->cancelled = true;
    hang_up(w);
    pthread_mutex_unlock(&all.lock);
}

void my_watch_forget(my_watch *w)
{
    pthread_mutex_lock(&all.lock);
    w->cancelled = w->expired = false;
    pthread_mutex_unlock(&all.lock);
}

static bool read_flag(const bool *flag)
{
    pthread_mutex_lock(&all.lock);
    bool value = *flag;
    pthread_mutex_unlock(&all.lock);
    return value;
}

bool my_watch_expired(my_watch *w)
{
    return read_flag(&w->expired);
}

bool my_watch_cancelled(my_watch *w)
{
    return read_flag(&w->cancelled);
}
