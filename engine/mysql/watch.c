#include "mysql/watch.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/cond.h"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    my_watch *armed;
    rl_deadline waking; /* when the thread looks next */
    bool started;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .waking = DEADLINE_NEVER};

static void unlink_armed(my_watch *watch)
{
    if (!watch->armed)
        return;
    if (watch->prev)
        watch->prev->next = watch->next;
    else
        all.armed = watch->next;
    if (watch->next)
        watch->next->prev = watch->prev;
    watch->prev = watch->next = NULL;
    watch->armed = false;
}

static void watch_hang_up(my_watch *watch)
{
    if (watch->fd >= 0)
        shutdown(watch->fd, SHUT_RDWR);
}

/* Ends what is late; returns the next deadline. */
static rl_deadline watch_expire(void)
{
    rl_deadline next = DEADLINE_NEVER;
    for (my_watch *watch = all.armed, *following; watch; watch = following) {
        following = watch->next;
        if (!deadline_passed(watch->deadline)) {
            if (watch->deadline < next)
                next = watch->deadline;
            continue;
        }
        unlink_armed(watch);
        watch->expired = true;
        watch_hang_up(watch);
    }
    return next;
}

static void *watch_main(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&all.lock);
    for (;;) {
        all.waking = watch_expire();
        cond_wait_until(&all.change, &all.lock, all.waking);
    }
    return NULL;
}

static void watch_start(void)
{
    pthread_t thread;
    if (all.started)
        return;
    cond_init(&all.change);
    all.started = pthread_create(&thread, NULL, watch_main, NULL) == 0;
    if (all.started)
        pthread_detach(thread);
}

void my_watch_init(my_watch *watch)
{
    *watch = (my_watch){.fd = -1};
}

void my_watch_fd(my_watch *watch, int fd)
{
    pthread_mutex_lock(&all.lock);
    rl_assert(fd < 0 || watch->fd < 0); /* the old one is taken off before it is closed */
    watch->fd = fd;
    if (watch->cancelled)
        watch_hang_up(watch);
    pthread_mutex_unlock(&all.lock);
}

void my_watch_arm(my_watch *watch, double seconds)
{
    pthread_mutex_lock(&all.lock);
    unlink_armed(watch);
    if (seconds > 0) {
        watch_start();
        watch->deadline = deadline_in(seconds);
        watch->armed = true;
        watch->next = all.armed;
        if (all.armed)
            all.armed->prev = watch;
        all.armed = watch;
        if (watch->deadline < all.waking)
            pthread_cond_signal(&all.change);
    }
    pthread_mutex_unlock(&all.lock);
}

void my_watch_disarm(my_watch *watch)
{
    pthread_mutex_lock(&all.lock);
    unlink_armed(watch);
    pthread_mutex_unlock(&all.lock);
}

void my_watch_cancel(my_watch *watch)
{
    pthread_mutex_lock(&all.lock);
    watch->cancelled = true;
    watch_hang_up(watch);
    pthread_mutex_unlock(&all.lock);
}

void my_watch_forget(my_watch *watch)
{
    pthread_mutex_lock(&all.lock);
    watch->cancelled = watch->expired = false;
    pthread_mutex_unlock(&all.lock);
}

static bool read_flag(const bool *flag)
{
    pthread_mutex_lock(&all.lock);
    bool value = *flag;
    pthread_mutex_unlock(&all.lock);
    return value;
}

bool my_watch_expired(my_watch *watch)
{
    return read_flag(&watch->expired);
}

bool my_watch_cancelled(my_watch *watch)
{
    return read_flag(&watch->cancelled);
}
