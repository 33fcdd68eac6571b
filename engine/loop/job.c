#include "loop/job.h"

#include <stddef.h>

#include "base/assert.h"

static void start_next(rl_lane *lane);

void lane_init(rl_lane *lane, uv_loop_t *loop)
{
    *lane = (rl_lane){.loop = loop};
}

bool lane_idle(const rl_lane *lane)
{
    return !lane->running && !lane->head;
}

static void on_work(uv_work_t *work)
{
    rl_job *job = work->data;
    job->run(job);
}

static void on_after(uv_work_t *work, int status)
{
    rl_job *job = work->data;
    rl_lane *lane = job->lane;
    if (status == UV_ECANCELED)
        job->cancelled = true;
    lane->running = NULL;
    start_next(lane);
    job->done(job);
}

static void start_next(rl_lane *lane)
{
    rl_job *job = lane->head;
    if (!job || lane->running)
        return;
    lane->head = job->next;
    if (!lane->head)
        lane->tail = NULL;
    job->next = NULL;
    lane->running = job;
    job->work.data = job;
    int rc = uv_queue_work(lane->loop, &job->work, on_work, on_after);
    rl_assert(rc == 0);
    (void)rc;
}

void job_submit(rl_lane *lane, rl_job *job)
{
    rl_assert(lane->loop && job->run && job->done);
    job->lane = lane;
    job->next = NULL;
    job->cancelled = false;
    if (lane->tail)
        lane->tail->next = job;
    else
        lane->head = job;
    lane->tail = job;
    start_next(lane);
}

static bool unlink_waiting(rl_lane *lane, rl_job *job)
{
    rl_job *prev = NULL;
    for (rl_job *waiting = lane->head; waiting; prev = waiting, waiting = waiting->next) {
        if (waiting != job)
            continue;
        *(prev ? &prev->next : &lane->head) = waiting->next;
        if (lane->tail == waiting)
            lane->tail = prev;
        return true;
    }
    return false;
}

void job_cancel(rl_job *job)
{
    rl_assert(job->lane);
    if (job->cancelled)
        return;
    job->cancelled = true;
    if (unlink_waiting(job->lane, job)) {
        job->done(job);
        return;
    }
    /* A job that the pool has not picked up yet is withdrawn; libuv then calls on_after by
     * itself. */
    if (uv_cancel((uv_req_t *)&job->work) == 0)
        return;
    if (job->cancel)
        job->cancel(job);
}
