#include "http/guard.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

enum { FORBIDDEN = 403, UNSUPPORTED_TYPE = 415, NAME_MAX_LEN = 255 };

typedef struct name {
    char text[NAME_MAX_LEN + 1];
} name;

/* The host of "host:port" or "[::1]:port", without a final dot; false: it is too long, or what
 * follows it is no port. */
static bool host_of(const char *authority, name *out)
{
    bool six = authority[0] == '[';
    const char *from = authority + six;
    size_t len = strcspn(from, six ? "]" : ":");
    const char *rest = from + len + (six && from[len]);
    if (len == 0 || len > NAME_MAX_LEN || (six && from[len] != ']'))
        return false;
    if (*rest && (*rest != ':' || rest[1 + strspn(rest + 1, "0123456789")] != '\0'))
        return false;
    memcpy(out->text, from, len);
    out->text[len] = '\0';
    if (!six && len > 1 && out->text[len - 1] == '.')
        out->text[len - 1] = '\0';
    return true;
}

static bool is_address(const char *host)
{
    unsigned char at[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, at) == 1 || inet_pton(AF_INET6, host, at) == 1;
}

static bool is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static bool is_listed(const char *list, const char *host)
{
    size_t len = strlen(host);
    for (const char *at = list; at && *at; at += strspn(at, ", ")) {
        size_t n = strcspn(at, ", ");
        if (n == len && strncasecmp(at, host, n) == 0)
            return true;
        at += n;
    }
    return false;
}

/* No name that somebody made point here is an address, so a server that is to be reached from
 * elsewhere may be asked by any of its addresses. */
static bool is_ours(const http_guard *guard, const char *host)
{
    if (is_loopback(host) || strcasecmp(host, guard->listen) == 0 || is_listed(guard->hosts, host))
        return true;
    return !is_loopback(guard->listen) && is_address(host);
}

static bool is_own_origin(const char *origin, const char *host)
{
    size_t scheme = strncasecmp(origin, "http://", 7) == 0    ? 7
                    : strncasecmp(origin, "https://", 8) == 0 ? 8
                                                              : 0;
    return scheme && host && strcasecmp(origin + scheme, host) == 0;
}

/* "application/json; charset=utf-8", "application/merge-patch+json" */
static bool is_json(const char *type)
{
    size_t len = type ? strcspn(type, "; \t") : 0;
    if (len == 16 && strncasecmp(type, "application/json", len) == 0)
        return true;
    return len > 17 && strncasecmp(type, "application/", 12) == 0 &&
           strncasecmp(type + len - 5, "+json", 5) == 0;
}

/* Browsers ask before they PUT to another site, and get no leave: so PUT may take plain text. */
static bool needs_json(const http_guard *guard, const http_head *head)
{
    return guard->json_only && head->has_body && strcmp(head->method, "PUT") != 0;
}

const char *http_guard_check(const http_guard *guard, const http_head *head, int *status)
{
    name host;
    *status = FORBIDDEN;
    if (head->host && (!host_of(head->host, &host) || !is_ours(guard, host.text)))
        return "the Host is none of this server's: ask it as localhost, or by a name of its "
               "option hosts";
    if (head->origin && !is_own_origin(head->origin, head->host))
        return "pages of other origins may not ask this server";
    *status = UNSUPPORTED_TYPE;
    if (head->has_body && head->content_coding && strcasecmp(head->content_coding, "identity") != 0)
        return "a body is sent as it is: without Content-Encoding";
    if (needs_json(guard, head) && !is_json(head->content_type))
        return "a body is JSON here: send it with Content-Type: application/json";
    return NULL;
}
