#include "mysql/watch.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    my_watch *armed;
    double waking; /* when the thread looks next; 0: not before it is told to */
    bool started;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

double my_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

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

/* Ends what is late; returns the next deadline, or 0. */
static double expire(double now)
{
    double next = 0;
    for (my_watch *w = all.armed, *following; w; w = following) {
        following = w->next;
        if (w->deadline > now) {
            if (next <= 0 || w->deadline < next)
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
        all.waking = expire(my_now());
        if (all.waking <= 0) {
            pthread_cond_wait(&all.change, &all.lock);
            continue;
        }
        struct timespec ts = {.tv_sec = (time_t)all.waking};
        ts.tv_nsec = (long)((all.waking - (double)ts.tv_sec) * 1e9);
        pthread_cond_timedwait(&all.change, &all.lock, &ts);
    }
    return NULL;
}

static void start(void)
{
    pthread_condattr_t attr;
    pthread_t thread;
    if (all.started)
        return;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&all.change, &attr);
    pthread_condattr_destroy(&attr);
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
        w->deadline = my_now() + seconds;
        w->armed = true;
        w->next = all.armed;
        if (all.armed)
            all.armed->prev = w;
        all.armed = w;
        if (all.waking <= 0 || w->deadline < all.waking)
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
