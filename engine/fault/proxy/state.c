/* What every part asks of the proxy's state: how many handles are open, and gates by name. */
#include <string.h>

#include "base/assert.h"
#include "base/json.h"
#include "fault/proxy/internal.h"

void proxy_handle_opened(rl_proxy *proxy)
{
    proxy->handles++;
}

void proxy_handle_closed(rl_proxy *proxy)
{
    rl_assert(proxy->handles > 0);
    if (--proxy->handles == 0 && proxy->closing)
        proxy->over(proxy);
}

proxy_gate *gate_find(const rl_proxy *proxy, const char *name)
{
    for (proxy_gate *gate = proxy->gates; gate; gate = gate->next)
        if (strcmp(gate->name, name) == 0)
            return gate;
    return NULL;
}

bool proxy_gate_known(const rl_proxy *proxy, const char *name)
{
    return gate_find(proxy, name) != NULL;
}

rl_err *gate_unknown(const char *name)
{
    return err_lab("NO_PROXY", "there is no proxy '%s'", name);
}

bool owned_by(const char *owner, const char *name)
{
    size_t n = strlen(name);
    return n && strncmp(owner, name, n) == 0 && (owner[n] == 0 || owner[n] == '-');
}

/* Clients put a name into a path as it is, and could never ask for it again. */
rl_err *name_refused(const char *what, const char *name)
{
    bool is_dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0; /* clients resolve them */
    if (*name && !is_dots && !strchr(name, '/') && json_is_utf8(name, strlen(name)))
        return NULL;
    return err_lab("NAME", "the name of a %s is UTF-8, has no '/' and is neither '.' nor '..'",
                   what);
}
