/* The proxy from its beginning to its end, and what goes with an owner. */
#include <stdlib.h>
#include <string.h>

#include "fault/proxy/internal.h"
#include "fault/proxy/life.h"

static void destroy(rl_proxy *proxy)
{
    void (*done)(void *) = proxy->done;
    void *arg = proxy->done_arg;
    while (proxy->rules) {
        proxy_rule *rule = proxy->rules;
        proxy->rules = rule->next;
        rule_free(rule);
    }
    while (proxy->watches) {
        proxy_watch *watch = proxy->watches;
        proxy->watches = watch->next;
        watch_free(watch);
    }
    traffic_free(proxy);
    pipe_free_all(proxy);
    free(proxy->chunk);
    free(proxy);
    if (done)
        done(arg);
}

rl_proxy *proxy_new(uv_loop_t *loop, uint64_t seed)
{
    rl_proxy *proxy = mem_zero(sizeof *proxy);
    proxy->loop = loop;
    proxy->over = destroy;
    proxy->chunk = mem_alloc(PROXY_READ);
    proxy->rows_next = 1;
    rng_init(&proxy->rng, seed);
    return proxy;
}

void proxy_free(rl_proxy *proxy, void (*done)(void *), void *arg)
{
    proxy->closing = true;
    proxy->done = done;
    proxy->done_arg = arg;
    proxy->handles++;
    while (proxy->gates)
        err_free(proxy_gate_remove(proxy, proxy->gates->name));
    proxy_handle_closed(proxy);
}

rl_err *proxy_reset(rl_proxy *proxy)
{
    rl_err *first = NULL;
    for (proxy_gate *gate = proxy->gates; gate; gate = gate->next) {
        toxic_free_all(gate);
        rl_err *err = proxy_gate_enable(proxy, gate->name, true);
        if (first)
            err_free(err);
        else
            first = err;
    }
    return first;
}

static int remove_rules(rl_proxy *proxy, const char *owner)
{
    int n = 0;
    for (proxy_rule *rule = proxy->rules, *next; rule; rule = next) {
        next = rule->next;
        if (!owned_by(rule->spec.owner, owner))
            continue;
        err_free(proxy_rule_remove(proxy, rule->id));
        n++;
    }
    return n;
}

int proxy_owner_remove(rl_proxy *proxy, const char *owner)
{
    int n = remove_rules(proxy, owner);
    for (proxy_watch *watch = proxy->watches, *next; watch; watch = next) {
        next = watch->next;
        if (!owned_by(watch->owner, owner))
            continue;
        err_free(proxy_watch_remove(proxy, watch->id));
        n++;
    }
    for (proxy_gate *gate = proxy->gates, *next; gate; gate = next) {
        next = gate->next;
        if (!owned_by(gate->owner, owner))
            continue;
        err_free(proxy_gate_remove(proxy, gate->name));
        n++;
    }
    return n;
}
