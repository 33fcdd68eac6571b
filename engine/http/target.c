#include "http/target.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/json.h"

/* A fragment is the client's own, and is never sent. */
static bool has_no_stranger(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f || *text == '#')
            return false;
    return true;
}

/* Behind "http://" or "https://", or NULL. */
static const char *behind_scheme(const char *text)
{
    if (strncasecmp(text, "http://", 7) == 0)
        return text + 7;
    return strncasecmp(text, "https://", 8) == 0 ? text + 8 : NULL;
}

bool http_target_split(const char *text, http_target *target)
{
    const char *authority = behind_scheme(text);
    *target = (http_target){.authority = {"", 0}};
    if (authority) {
        target->authority = (http_part){authority, strcspn(authority, "/?")};
        text = authority + target->authority.len;
    }
    bool rootless = authority && *text != '/'; /* "http://host" is for "/" */
    if ((*text != '/' && !rootless) || !has_no_stranger(text))
        return false;
    size_t len = strcspn(text, "?");
    target->path = rootless ? (http_part){"/", 1} : (http_part){text, len};
    const char *query = text + len + (text[len] == '?');
    target->query = (http_part){query, strlen(query)};
    return !authority || target->authority.len > 0;
}

char *http_decode(const char *text, size_t len)
{
    char *copy = mem_alloc(len + 1);
    size_t n = 0;
    bool fine = true;
    for (size_t i = 0; i < len && fine; i++) {
        if (text[i] != '%') {
            copy[n++] = text[i];
            continue;
        }
        int high = i + 2 < len ? json_hex_digit(text[i + 1]) : -1;
        int low = high >= 0 ? json_hex_digit(text[i + 2]) : -1;
        fine = low >= 0 && high + low > 0;
        copy[n++] = (char)(high * 16 + low);
        i += 2;
    }
    copy[n] = '\0';
    if (fine && json_is_utf8(copy, n))
        return copy;
    free(copy);
    return NULL;
}
