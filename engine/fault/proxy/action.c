/* The actions of rules, by name. */
#include <string.h>

#include "fault/proxy/internal.h"

static const char *const actions[] = {"delay",      "cut-before", "cut-after", "late",
                                      "black-hole", "drop",       "duplicate", "error",
                                      "hold",       "count",      NULL};

const char *proxy_actions(void)
{
    return "delay, cut-before, cut-after, late, black-hole, drop, duplicate, error, hold, count";
}

bool proxy_action_parse(const char *name, proxy_action *action)
{
    for (int i = 0; actions[i]; i++)
        if (strcmp(actions[i], name) == 0) {
            *action = (proxy_action)i;
            return true;
        }
    return false;
}

const char *proxy_action_name(proxy_action action)
{
    return actions[action];
}
