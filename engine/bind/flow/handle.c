#include "bind/flow/handle.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "bind/task/await.h"
#include "bind/value/hdr.h"
#include "bind/value/errs.h"
#include "bind/value/fields.h"
#include "bind/value/opts.h"
#include "bind/task/timed.h"

enum { SLICE_MS = 50 };

typedef struct event_wait event_wait;

typedef struct flow_side {
    uv_async_t async; /* first */
    rl_flow *flow;
    event_wait *waits;
} flow_side;

struct event_wait {
    rl_timed timed; /* first */
    flow_side *side;
    event_wait *next;
};

static const char flow_mark;

static rl_handle *flow_check(lua_State *L)
{
    rl_handle *h = lua_touserdata(L, 1);
    bool ours = h && lua_getmetatable(L, 1) && lua_rawgetp(L, -1, &flow_mark) != LUA_TNIL;
    luaL_argcheck(L, ours, 1, "a flow expected");
    lua_pop(L, 2);
    return handle_check(L, 1, h->type);
}

static rl_flow *flow_of(lua_State *L)
{
    return flow_check(L)->impl; /* first member */
}

/* ---- waking ---- */

static void wake_all(flow_side *side)
{
    for (event_wait *w = side->waits, *next; w; w = next) {
        next = w->next;
        timed_wake(&w->timed);
    }
}

static void on_async(uv_async_t *async)
{
    flow_side *side = (flow_side *)async;
    if (flow_has_news(side->flow))
        wake_all(side);
}

static void wake(void *side)
{
    uv_async_send(&((flow_side *)side)->async);
}

void flow_handle_set(lua_State *L, rl_handle *h, rl_flow *flow)
{
    flow_side *side = mem_zero(sizeof *side);
    side->flow = flow;
    uv_async_init(task_loop(L), &side->async, on_async);
    uv_unref((uv_handle_t *)&side->async);
    h->extra = side;
    handle_set(h, flow);
    flow_on_news(flow, wake, side);
}

void flow_handle_cancel(void *impl)
{
    flow_abort(impl);
}

static void side_closed(uv_handle_t *async)
{
    free(async);
}

void flow_handle_detach(rl_handle *h)
{
    flow_side *side = h->extra;
    flow_on_news(h->impl, NULL, NULL);
    wake_all(side);
    h->extra = NULL;
    uv_close((uv_handle_t *)&side->async, side_closed);
}

/* ---- events ---- */

static void push_event(lua_State *L, flow_event *event)
{
    lua_createtable(L, 0, 3 + event->nfields);
    field_set_text(L, "what", event->what);
    field_set_int(L, "at_ms", event->at_ms);
    for (int i = 0; i < event->nfields; i++) {
        if (event->fields[i].text)
            field_set_text(L, event->fields[i].key, event->fields[i].text);
        else
            field_set_int(L, event->fields[i].key, event->fields[i].number);
    }
    if (event->err) {
        errs_push_table(L, event->err);
        event->err = NULL;
        lua_setfield(L, -2, "err");
    }
    flow_event_free(event);
}

/* A list of what is there; nil when nothing is and nothing will be. */
static int push_events(lua_State *L, rl_flow *flow)
{
    bool ended = flow_ended(flow);
    flow_event *event = flow_take_event(flow);
    if (!event && ended) {
        lua_pushnil(L);
        return 1;
    }
    lua_newtable(L);
    for (lua_Integer n = 1; event; event = flow_take_event(flow), n++) {
        push_event(L, event);
        lua_rawseti(L, -2, n);
    }
    return 1;
}

static int waited(lua_State *L, rl_wait *wait)
{
    (void)wait;
    const rl_handle *h = lua_touserdata(L, 1);
    if (h->impl)
        return push_events(L, h->impl);
    lua_pushnil(L); /* closed meanwhile */
    return 1;
}

static void wait_forget(rl_timed *t)
{
    event_wait *w = (event_wait *)t;
    event_wait **p = &w->side->waits;
    while (*p && *p != w)
        p = &(*p)->next;
    if (*p)
        *p = w->next;
    if (!w->side->waits)
        uv_unref((uv_handle_t *)&w->side->async);
}

static int flow_l_events(lua_State *L)
{
    rl_handle *h = flow_check(L);
    double limit = timed_limit(L, 2);
    lua_settop(L, 1);
    push_events(L, h->impl);
    if (lua_isnil(L, -1) || lua_rawlen(L, -1) > 0 || (limit >= 0 && limit < 1e-9))
        return 1;
    lua_settop(L, 1);
    event_wait *w = timed_new(L, sizeof *w, waited);
    w->timed.forget = wait_forget;
    w->side = h->extra;
    w->next = w->side->waits;
    w->side->waits = w;
    uv_ref((uv_handle_t *)&w->side->async);
    uv_async_send(&w->side->async); /* something may have come just now */
    return timed_wait(L, &w->timed, limit);
}

/* ---- the rest ---- */

typedef struct end_job {
    rl_await await;
    rl_flow *flow;
    const flow_end *end;
    double seconds;
    atomic_bool given_up;
} end_job;

static void end_run(rl_await *a)
{
    end_job *job = (end_job *)a;
    const flow_end *end = job->end;
    rl_deadline until = job->seconds < 0 ? DEADLINE_NEVER : deadline_in(job->seconds);
    if (end->stop)
        flow_stop(job->flow);
    while (!a->err && !flow_join(job->flow, SLICE_MS / 1e3)) {
        if (atomic_load(&job->given_up))
            a->err = err_lab("CANCELLED", "%s was cancelled", end->call);
        else if (deadline_passed(until))
            a->err = err_lab("TIMEOUT", "%s in time", end->late);
    }
    if (!a->err && end->failure)
        a->err = end->failure(job->flow);
}

static void end_cancel(rl_await *a)
{
    atomic_store(&((end_job *)a)->given_up, true);
}

int flow_end_await(lua_State *L, rl_flow *flow, double seconds, const flow_end *end)
{
    lua_settop(L, 1);
    end_job *job = await_new(sizeof *job, end_run, NULL, NULL);
    job->flow = flow;
    job->end = end;
    job->seconds = seconds;
    job->await.cancel = end_cancel;
    return await_job(L, 1, &job->await);
}

static int flow_l_stop(lua_State *L)
{
    static const flow_end stop = {true, "stop", "the flow has not finished its work", NULL};
    return flow_end_await(L, flow_of(L), arg_duration(L, 2, 10), &stop);
}

static int flow_l_health(lua_State *L)
{
    rl_flow *flow = flow_of(L);
    char *why = flow_ill(flow);
    lua_pushboolean(L, !why);
    if (!why)
        return 1;
    lua_pushstring(L, why);
    free(why);
    return 2;
}

static int flow_l_running(lua_State *L)
{
    lua_pushboolean(L, !flow_ended(flow_of(L)));
    return 1;
}

void flow_push_stats(lua_State *L, rl_flow *flow, const char *const *names, int n)
{
    lua_createtable(L, 0, n + 2);
    for (int i = 0; i < n; i++)
        field_set_int(L, names[i], flow_total(flow, i));
    field_set_int(L, "events_dropped", flow_dropped(flow));
}

void flow_set_hdr(lua_State *L, const char *key, flow_hdr *const *hdrs, int n)
{
    struct hdr_histogram *sum = hdr_push(L);
    for (int i = 0; i < n; i++)
        flow_hdr_add_to(hdrs[i], sum);
    lua_setfield(L, -2, key);
}

void flow_type_open(lua_State *L, const rl_handle_type *type, const luaL_Reg *methods)
{
    static const luaL_Reg shared[] = {{"events", flow_l_events},
                                      {"stop", flow_l_stop},
                                      {"health", flow_l_health},
                                      {"running", flow_l_running},
                                      {NULL, NULL}};
    assert(type->cancel == flow_handle_cancel && type->detach == flow_handle_detach);
    handle_type_open(L, type, methods);
    luaL_getmetatable(L, type->name);
    lua_pushboolean(L, 1);
    lua_rawsetp(L, -2, &flow_mark);
    lua_getfield(L, -1, "__index");
    luaL_setfuncs(L, shared, 0);
    lua_pop(L, 2);
}
