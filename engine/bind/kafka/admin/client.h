/* rlab.kafka.admin: the observer as Lua sees it.
 *
 * Offers: kafka_admin_open, which adds `admin` to the module table of rlab.kafka; to the files of
 * this folder, one per noun: the call that waits and the reading and pushing that they share. Every
 * method takes `at_most` (in its option table, or in a last table argument), 5 s unless the handle
 * says otherwise.
 * Uses: kafka/admin, bind/task, bind/opts, bind/kafka_values. Thread: the Lua thread.
 * Text in arguments is not copied: what is read stays on the stack of the calling function,
 * which the task keeps until the call is over. */
#ifndef RL_BIND_KAFKA_ADMIN_CLIENT_H
#define RL_BIND_KAFKA_ADMIN_CLIENT_H

#include <lua.h>

#include "bind/task/await.h"
#include "kafka/admin/client.h"

/* The module table is on top. */
void kafka_admin_open(lua_State *L);

/* ---- for of this folder ---- */

typedef struct admin_job {
    rl_await await;
    kafka_admin *admin;
    kafka_call call;
    rd_kafka_event_t *event;               /* freed with the job */
    rd_kafka_topic_partition_list_t *list; /* likewise */
    kafka_items items;                     /* likewise */
} admin_job;

/* A job of `size` bytes with an admin_job first, to be filled and given to admin_await. Raises,
 * if at all, before anything is allocated. opts: index of the table that may say at_most, or of
 * nothing. */
void *admin_job_new(lua_State *L, size_t size, void (*run)(rl_await *),
                    int (*push)(lua_State *, rl_await *), int opts);
/* Raises what admin_job_new would raise: before something is allocated that would leak. */
void admin_check(lua_State *L, int opts);
/* For jobs with fields of their own; it must end with admin_job_drop. */
void admin_job_on_drop(admin_job *job, void (*drop)(rl_await *));
void admin_job_drop(rl_await *a);
int admin_await(lua_State *L, admin_job *job);

/* The keys of a call that has no option of its own. */
extern const char *const admin_only_at_most[];

/* A list of n pointers to text at idx (a table of strings, or one string); stays on the stack. */
const char **admin_names(lua_State *L, int idx, const char *what, int *count);
/* The index of the options of (names [, options]), which may also stand among the names. */
int admin_names_opts(lua_State *L);
/* Like lua_getfield, for text that must be there; stays on the stack. */
const char *admin_text(lua_State *L, int idx, const char *key, const char *call);
/* The pairs of the option table `key`, with room for `extra` more; stay on the stack. */
kafka_pair *admin_pairs(lua_State *L, int idx, const char *key, int extra, int *count);
/* A partition number as an argument or as an option. */
int admin_partition_arg(lua_State *L, int idx);
int admin_partition_opt(lua_State *L, int idx, const char *call);

void admin_set_ids(lua_State *L, const char *key, const wire_ids *ids);

typedef void (*admin_push_item)(lua_State *L, const kafka_item *item);
/* The results of a call for several: {<done>={...}, failed={{..., err=}}}; nil and the first
 * error when nothing went well. Errors are taken. */
int admin_push_items(lua_State *L, kafka_items *items, const char *done, admin_push_item push);
void admin_push_name(lua_State *L, const kafka_item *item);
void admin_push_place(lua_State *L, const kafka_item *item);

/* Each sets its methods in the table on top. */
void admin_topics_bind(lua_State *L);
void admin_configs_bind(lua_State *L);
void admin_features_bind(lua_State *L);
void admin_groups_bind(lua_State *L);
void admin_offsets_bind(lua_State *L);
void admin_survey_bind(lua_State *L);
void admin_acls_bind(lua_State *L);

#endif
