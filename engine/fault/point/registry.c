#include "fault/point/registry.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/rng.h"

const char *const fail_point_names[FAIL_POINT_COUNT] = {
#define POINT(id, name, help) name,
#include "fault/point/list.h"
#undef POINT
};

const char *const fail_point_helps[FAIL_POINT_COUNT] = {
#define POINT(id, name, help) help,
#include "fault/point/list.h"
#undef POINT
};

typedef struct term_state {
    int64_t seen, fired;
    rl_rng rng;
} term_state;

typedef struct point {
    char *name, *text; /* text is NULL while it is not armed */
    fail_expr expr;
    term_state *states;
    int64_t hits, fired, armings;
    uint64_t generation;
} point;

typedef struct barrier {
    char *name;
    int64_t arrived;
    uint64_t round;
} barrier;

atomic_int fail_armed;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t released;
    point **points;
    barrier *barriers;
    int points_count, barriers_count;
    uint64_t seed;
    void (*on_release)(void);
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .released = PTHREAD_COND_INITIALIZER, .seed = 1};

/* ---- the table of points; every function here expects the lock ---- */

static int point_find(const char *name)
{
    for (int i = 0; i < all.points_count; i++)
        if (strcmp(all.points[i]->name, name) == 0)
            return i;
    return -1;
}

static point *find_or_add(const char *name)
{
    int i = point_find(name);
    if (i >= 0)
        return all.points[i];
    point *p = mem_zero(sizeof *p);
    p->name = mem_strdup(name);
    all.points = mem_grow(all.points, sizeof(point *) * (size_t)(all.points_count + 1));
    all.points[all.points_count++] = p;
    return p;
}

static int find_barrier(const char *name)
{
    for (int i = 0; i < all.barriers_count; i++)
        if (strcmp(all.barriers[i].name, name) == 0)
            return i;
    all.barriers = mem_grow(all.barriers, sizeof(barrier) * (size_t)(all.barriers_count + 1));
    all.barriers[all.barriers_count] = (barrier){.name = mem_strdup(name)};
    return all.barriers_count++;
}

static void release(void)
{
    pthread_cond_broadcast(&all.released);
    if (all.on_release)
        all.on_release();
}

static void clear(point *p)
{
    if (!p->text)
        return;
    fail_expr_free(&p->expr);
    free(p->states);
    free(p->text);
    p->states = NULL;
    p->text = NULL;
    p->generation++;
    atomic_fetch_sub(&fail_armed, 1);
    release();
}

static void arm(const char *name, const char *text, fail_expr *expr)
{
    rl_assert(expr->count > 0 && expr->count <= FAIL_TERMS_MAX);
    point *p = find_or_add(name);
    clear(p);
    p->expr = *expr;
    p->text = mem_strdup(text);
    p->hits = p->fired = 0;
    p->states = mem_zero(sizeof *p->states * (size_t)expr->count);
    rl_rng root, of_point;
    rng_init(&root, all.seed);
    rng_split(&root, name, strlen(name), &of_point);
    for (int i = 0; i < expr->count; i++)
        rng_split(&of_point, (const char *)&i, sizeof i, &p->states[i].rng);
    hitlog_armed(p->name, ++p->armings, p->text);
    atomic_fetch_add(&fail_armed, 1);
}

/* ---- arming ---- */

void fail_arm_parsed(const char *name, const char *text, fail_expr *expr)
{
    pthread_mutex_lock(&all.lock);
    arm(name, text, expr);
    pthread_mutex_unlock(&all.lock);
}

bool fail_has_room(const char *name)
{
    pthread_mutex_lock(&all.lock);
    bool room = all.points_count < FAIL_POINTS_MAX || point_find(name) >= 0;
    pthread_mutex_unlock(&all.lock);
    return room;
}

bool fail_disarm(const char *name)
{
    pthread_mutex_lock(&all.lock);
    int i = point_find(name);
    bool was = i >= 0 && all.points[i]->text;
    if (was)
        clear(all.points[i]);
    pthread_mutex_unlock(&all.lock);
    return was;
}

void fail_disarm_all(void)
{
    pthread_mutex_lock(&all.lock);
    for (int i = 0; i < all.points_count; i++)
        clear(all.points[i]);
    pthread_mutex_unlock(&all.lock);
}

bool fail_resume(const char *name)
{
    pthread_mutex_lock(&all.lock);
    int i = point_find(name);
    if (i >= 0) {
        all.points[i]->generation++;
        release();
    }
    pthread_mutex_unlock(&all.lock);
    return i >= 0;
}

void fail_set_seed(uint64_t seed)
{
    pthread_mutex_lock(&all.lock);
    all.seed = seed;
    pthread_mutex_unlock(&all.lock);
}

rl_err *fail_log_to(const char *path)
{
    pthread_mutex_lock(&all.lock);
    rl_err *err = hitlog_open(path);
    pthread_mutex_unlock(&all.lock);
    return err;
}

bool fail_counts(const char *name, int64_t *hits, int64_t *fired)
{
    pthread_mutex_lock(&all.lock);
    int i = point_find(name);
    *hits = i >= 0 ? all.points[i]->hits : 0;
    *fired = i >= 0 ? all.points[i]->fired : 0;
    pthread_mutex_unlock(&all.lock);
    return i >= 0;
}

void fail_each(void (*visit)(const fail_info *, void *), void *arg)
{
    pthread_mutex_lock(&all.lock);
    for (int i = 0; i < all.points_count; i++) {
        const point *p = all.points[i];
        visit(&(fail_info){p->name, p->text, p->hits, p->fired}, arg);
    }
    pthread_mutex_unlock(&all.lock);
}

/* ---- a hit ---- */

static bool cond_holds(const fail_cond *cond, const fail_kv *ctx, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(ctx[i].key, cond->key) == 0)
            return strcmp(ctx[i].value, cond->value) == 0;
    return false;
}

static bool term_fits(const fail_term *t, const fail_kv *ctx, int n)
{
    if (t->pid && t->pid != getpid())
        return false;
    for (int i = 0; i < t->conds_count; i++)
        if (!cond_holds(&t->conds[i], ctx, n))
            return false;
    return true;
}

/* Whether a term whose `if` fits takes this hit; its chance is drawn last, so that the other
 * limits do not move the sequence. */
static bool term_takes(const fail_term *t, term_state *state)
{
    if (t->kth) {
        int64_t window = t->count ? t->count : 1;
        if (state->seen < t->kth || state->seen >= t->kth + window)
            return false;
    } else if (t->count && state->fired >= t->count) {
        return false;
    }
    return t->percent >= 100 || rng_double(&state->rng) * 100 < t->percent;
}

/* Every term counts the hit that fits it; the first that takes it is the answer. */
static int choose(point *p, const fail_kv *ctx, int n)
{
    int chosen = -1;
    for (int i = 0; i < p->expr.count; i++) {
        if (!term_fits(&p->expr.terms[i], ctx, n))
            continue;
        p->states[i].seen++;
        if (chosen < 0 && term_takes(&p->expr.terms[i], &p->states[i]))
            chosen = i;
    }
    if (chosen >= 0)
        p->states[chosen].fired++;
    return chosen;
}

/* Hits that nobody takes are written, too: who reads the log counts for himself. */
static void write_hit(const point *p, int term, const fail_kv *ctx, int n)
{
    const fail_term *t = term < 0 ? NULL : &p->expr.terms[term];
    hitlog_hit(p->name,
               &(hitlog_place){.arming = p->armings,
                               .hit = p->hits,
                               .nth = t ? p->states[term].seen : 0,
                               .term = term + 1},
               t, ctx, n);
}

static void arrive(const fail_term *t, fail_ticket *ticket)
{
    ticket->barrier = find_barrier(t->name);
    barrier *b = &all.barriers[ticket->barrier];
    ticket->round = b->round;
    if (++b->arrived < t->number)
        return;
    b->arrived = 0;
    b->round++;
    release();
}

static void die(const fail_term *t)
{
    if (t->action == FAIL_EXIT)
        _exit((int)t->number);
    if (t->action != FAIL_KILL)
        return;
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void fill_decision(fail_decision *decision, const point *p, int slot, const fail_term *t)
{
    decision->action = t->action;
    decision->seconds = t->seconds;
    decision->hit = p->hits;
    decision->value = t->value;
    decision->value.text = t->value.text ? mem_strdup(t->value.text) : NULL;
    decision->name = t->name ? mem_strdup(t->name) : NULL;
    decision->ticket = (fail_ticket){.point = slot,
                                     .barrier = -1,
                                     .arming = p->armings,
                                     .hit = p->hits,
                                     .generation = p->generation};
    if (t->action == FAIL_BARRIER)
        arrive(t, &decision->ticket);
}

void fail_decide(const char *name, const fail_kv *ctx, int n, fail_decision *out)
{
    rl_assert(name && n >= 0 && (ctx || n == 0));
    *out = (fail_decision){.action = FAIL_OFF};
    pthread_mutex_lock(&all.lock);
    int slot = point_find(name);
    point *p = slot >= 0 && all.points[slot]->text ? all.points[slot] : NULL;
    int term = -1;
    if (p) {
        p->hits++;
        term = choose(p, ctx, n);
        write_hit(p, term, ctx, n);
    }
    if (term >= 0 && p->expr.terms[term].action != FAIL_OFF) {
        p->fired++;
        die(&p->expr.terms[term]);
        fill_decision(out, p, slot, &p->expr.terms[term]);
    }
    pthread_mutex_unlock(&all.lock);
}

void fail_decision_free(fail_decision *decision)
{
    free(decision->value.text);
    free(decision->name);
    *decision = (fail_decision){.action = FAIL_OFF};
}

/* ---- waiting ---- */

static bool passed(const fail_ticket *ticket)
{
    rl_assert(ticket->point >= 0 && ticket->point < all.points_count);
    rl_assert(ticket->barrier < all.barriers_count);
    return all.points[ticket->point]->generation != ticket->generation ||
           (ticket->barrier >= 0 && all.barriers[ticket->barrier].round != ticket->round);
}

bool fail_passed(const fail_ticket *ticket)
{
    pthread_mutex_lock(&all.lock);
    bool yes = passed(ticket);
    pthread_mutex_unlock(&all.lock);
    return yes;
}

/* Written before it waits: who stands still has said so. */
static void begin_wait(const fail_ticket *ticket)
{
    hitlog_wait(all.points[ticket->point]->name, ticket->arming, ticket->hit, HITLOG_WAITS);
}

void fail_wait(const fail_ticket *ticket)
{
    pthread_mutex_lock(&all.lock);
    begin_wait(ticket);
    pthread_mutex_unlock(&all.lock);
}

static void leave(const fail_ticket *ticket)
{
    hitlog_wait(all.points[ticket->point]->name, ticket->arming, ticket->hit,
                passed(ticket) ? HITLOG_LET_GO : HITLOG_WENT);
    if (ticket->barrier >= 0 && all.barriers[ticket->barrier].round == ticket->round)
        all.barriers[ticket->barrier].arrived--;
}

void fail_leave(const fail_ticket *ticket)
{
    pthread_mutex_lock(&all.lock);
    leave(ticket);
    pthread_mutex_unlock(&all.lock);
}

void fail_on_release(void (*released)(void))
{
    pthread_mutex_lock(&all.lock);
    all.on_release = released;
    pthread_mutex_unlock(&all.lock);
}

static void block(const fail_ticket *ticket)
{
    pthread_mutex_lock(&all.lock);
    begin_wait(ticket);
    while (!passed(ticket))
        pthread_cond_wait(&all.released, &all.lock);
    leave(ticket);
    pthread_mutex_unlock(&all.lock);
}

static void block_for(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds,
                         .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

fail_outcome fail_hit(fail_point_id id, const fail_kv *ctx, int n, fail_value *out)
{
    rl_assert((int)id >= 0 && id < FAIL_POINT_COUNT);
    fail_decision d;
    fail_outcome outcome = FAIL_GO_ON;
    *out = (fail_value){0};
    fail_decide(fail_point_names[id], ctx, n, &d);
    if (d.action == FAIL_RETURN || d.action == FAIL_ERROR) {
        outcome = d.action == FAIL_RETURN ? FAIL_RETURNED : FAIL_FAILED;
        *out = d.value;
        d.value.text = NULL;
    } else if (d.action == FAIL_SLEEP) {
        block_for(d.seconds);
    } else if (d.action == FAIL_PAUSE || d.action == FAIL_BARRIER) {
        block(&d.ticket);
    } else if (d.action == FAIL_CALL) {
        log_msg(LOG_LEVEL_WARN, "failpoint %s is in C: call(%s) does nothing there",
                fail_point_names[id], d.name);
    }
    fail_decision_free(&d);
    return outcome;
}
