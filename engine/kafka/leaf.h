/* Locks that librdkafka's callbacks take, so under locks of its own: a thread that holds one and calls
 * librdkafka waits for a lock whose holder may be waiting for it.
 *
 * Offers: lock and unlock of such a mutex, and kafka_may_call, which whoever calls librdkafka near one
 * asserts. Any other mutex of ours may be held during a call.
 * Uses: nothing. Thread: any. */
#ifndef RL_KAFKA_LEAF_H
#define RL_KAFKA_LEAF_H

#include <pthread.h>
#include <stdbool.h>

extern _Thread_local int kafka_leaves; /* held by this thread */

static inline void kafka_leaf_lock(pthread_mutex_t *lock)
{
    pthread_mutex_lock(lock);
    kafka_leaves++;
}

static inline void kafka_leaf_unlock(pthread_mutex_t *lock)
{
    kafka_leaves--;
    pthread_mutex_unlock(lock);
}

static inline bool kafka_may_call(void)
{
    return kafka_leaves == 0;
}

#endif
