/* The files that travel inside the program: Lua sources, experiments, migrations, report assets
 * and deps/pins.sh. Uses nothing. The table is constant data made at build time by
 * deps/embed.lua, so any thread may read it. */
#ifndef RL_BASE_EMBED_H
#define RL_BASE_EMBED_H

#include <stddef.h>

/* One file: its path in the tree ("lua/rlab/task.lua"), its bytes and their number. A zero byte
 * follows the data. */
typedef struct rl_embed {
    const char *name;
    const unsigned char *data;
    size_t len;
} rl_embed;

/* Sorted by name (strcmp order), rl_embed_count entries. */
extern const rl_embed rl_embeds[];
extern const size_t rl_embed_count;

#endif
