/* What a cluster client must know of a command before it can send it.
 *
 * Offers: cluster_command_form, where a command's first key stands, whether it can have but one, and
 * whether it only reads.
 * Uses: nothing. Thread: any. */
#ifndef RL_REDIS_CLUSTER_COMMAND_H
#define RL_REDIS_CLUSTER_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cluster_form {
    int key;     /* the argument that is the first key, or 0: it has none */
    bool single; /* no other key; a command that is not known counts as one of several */
    bool reads;  /* may be asked twice, and of a replica */
} cluster_form;

cluster_form cluster_command_form(int argc, const char *const *argv, const size_t *lens);

#endif
