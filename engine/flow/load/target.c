/* Where requests go: this machine, and nothing else. */
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "flow/load/internal.h"

bool flow_load_is_local(const char *host, size_t len)
{
    static const char *const names[] = {"localhost", "::1", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (len == strlen(names[i]) && memcmp(host, names[i], len) == 0)
            return true;
    int dots = 0, digits = 0;
    for (size_t i = 0; i < len; i++) {
        dots += host[i] == '.';
        digits += host[i] >= '0' && host[i] <= '9';
    }
    return len > 4 && memcmp(host, "127.", 4) == 0 && dots == 3 && dots + digits == (int)len;
}

static rl_err *not_local(const char *host, size_t len)
{
    return err_lab("USAGE",
                   "load is sent to this machine only (127.x.x.x, localhost, ::1), not to '%.*s'",
                   (int)len, host);
}

static rl_err *wrong_url(const char *url)
{
    return err_lab("USAGE", "url must be http://HOST:PORT, got '%s'", url);
}

/* http://HOST[:PORT][/] */
rl_err *load_target_url(flow_load *load, const char *url)
{
    if (strncmp(url, "http://", 7) != 0)
        return wrong_url(url);
    const char *host = url + 7, *bracket = *host == '[' ? strchr(host, ']') : NULL;
    size_t len = bracket ? (size_t)(bracket + 1 - host) : strcspn(host, ":/");
    const char *port = host + len;
    size_t digits = *port == ':' ? strcspn(port + 1, "/") : 0;
    int number = *port == ':' ? units_port(port + 1, digits) : 80;
    const char *end = *port == ':' ? port + 1 + digits : port;
    if (len == 0 || number < 1 || (*end && strcmp(end, "/") != 0))
        return wrong_url(url);
    load->port = number;
    if (!flow_load_is_local(host, len))
        return not_local(host, len);
    load->host = bracket ? mem_dup(host + 1, len - 2) : mem_dup(host, len);
    return NULL;
}

/* Every bootstrap address; that the brokers' own addresses are local too is seen when connected. */
rl_err *load_target_brokers(rd_kafka_conf_t *conf)
{
    char brokers[4096];
    kafka_conf_value(conf, "bootstrap.servers", brokers, sizeof brokers);
    for (const char *at = brokers; *at; at += strspn(at, ",")) {
        size_t len = strcspn(at, ",");
        size_t host = len;
        while (host > 0 && at[host] != ':')
            host--;
        if (!flow_load_is_local(at, host ? host : len))
            return not_local(at, host ? host : len);
        at += len;
    }
    return NULL;
}
