/* How the relay's threads wait for each other: one lock, one condition. */
#include "base/assert.h"
#include "base/cond.h"
#include "flow/relay/internal.h"

void relay_sync_open(flow_relay *relay)
{
    pthread_mutex_init(&relay->lock, NULL);
    cond_init(&relay->change);
}

void relay_sync_close(flow_relay *relay)
{
    pthread_cond_destroy(&relay->change);
    pthread_mutex_destroy(&relay->lock);
}

void relay_wait(flow_relay *relay, double seconds)
{
    rl_assert(flow_lock_held(&relay->lock));
    cond_wait_until(&relay->change, &relay->lock, deadline_in(seconds));
}

void relay_signal(flow_relay *relay)
{
    rl_assert(flow_lock_held(&relay->lock));
    pthread_cond_broadcast(&relay->change);
}
