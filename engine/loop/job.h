/* Jobs: blocking C made awaitable.
 *
 * Offers: rl_lane, a queue that runs one job at a time on the loop's thread pool (one lane a
 * handle: clients need no locks), and rl_job, one blocking call. `run` is called on a pool thread
 * and may block; `done` is called afterwards on the loop thread, exactly once, also for a job that
 * was cancelled before it ran (then `run` was never called and `cancelled` is true). `cancel` is
 * called on the loop thread while `run` is under way and must make it return soon.
 * Uses: libuv. Thread: everything but `run` belongs to the loop thread. */
#ifndef RL_LOOP_JOB_H
#define RL_LOOP_JOB_H

#include <stdbool.h>
#include <uv.h>

typedef struct rl_job rl_job;

typedef struct rl_lane {
    uv_loop_t *loop;
    rl_job *head, *tail; /* waiting, in order */
    rl_job *running;
} rl_lane;

struct rl_job {
    uv_work_t work;
    rl_lane *lane;
    rl_job *next;
    void (*run)(rl_job *job);
    void (*done)(rl_job *job);
    void (*cancel)(rl_job *job);
    bool cancelled;
};

void lane_init(rl_lane *lane, uv_loop_t *loop);
bool lane_idle(const rl_lane *lane);
void job_submit(rl_lane *lane, rl_job *job);
void job_cancel(rl_job *job);

#endif
