/* The options of a connection, owned. */
#include <stdlib.h>

#include "mysql/internal.h"

static const char *copy(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

my_opts my_opts_copy(const my_opts *opts)
{
    my_opts copied = *opts;
    copied.host = mem_strdup(opts->host ? opts->host : "127.0.0.1");
    copied.socket = copy(opts->socket);
    copied.user = copy(opts->user);
    copied.password = copy(opts->password);
    copied.database = copy(opts->database);
    copied.ca = copy(opts->ca);
    copied.cert = copy(opts->cert);
    copied.key = copy(opts->key);
    return copied;
}

void my_opts_free(my_opts *opts)
{
    const char *strings[] = {opts->host,     opts->socket, opts->user, opts->password,
                             opts->database, opts->ca,     opts->cert, opts->key};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        free((char *)strings[i]);
}
