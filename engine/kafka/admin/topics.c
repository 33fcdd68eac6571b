#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "kafka/admin/run.h"

#define LOOK_MS 15
#define PROBED_PARTITIONS 64 /* of a larger topic the first ones stand for all */

/* ---- waiting for what metadata says ---- */

/* Why a topic is not ready yet, into `why`; false when it is. */
static bool unready(const wire_topic *topic, int partitions, char *why, size_t size)
{
    if (topic->code || topic->count < partitions) {
        snprintf(why, size, "%d of %d partitions are known", topic->code ? 0 : topic->count,
                 partitions);
        return true;
    }
    for (int i = 0; i < topic->count; i++) {
        const wire_partition *p = &topic->partitions[i];
        if (p->leader >= 0 && p->isr.count == p->replicas.count)
            continue;
        snprintf(why, size, "partition %d has leader %d and %d of %d replicas in its ISR",
                 p->partition, p->leader, p->isr.count, p->replicas.count);
        return true;
    }
    return false;
}

typedef struct expectation {
    const char *name;
    int partitions; /* 0: the topic is gone */
    char why[128];
} expectation;

static bool met(const wire_metadata *metadata, expectation *e)
{
    const wire_topic *topic = wire_metadata_topic(metadata, e->name);
    if (!topic)
        return false;
    if (e->partitions)
        return !unready(topic, e->partitions, e->why, sizeof e->why);
    snprintf(e->why, sizeof e->why, "its metadata still says %d partitions", topic->count);
    return topic->code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

/* One broker's view. A broker that does not answer has no view and is not waited for; WIRE_ANY
 * must have one. */
static rl_err *look(admin_run *run, int broker, expectation *e, bool *done, wire_metadata *metadata)
{
    wire_call call = admin_wire(run);
    wire_call within =
        broker == WIRE_ANY ? call : wire_cluster_budget(run->admin->cluster, &call, broker);
    rl_err *err = wire_metadata_get(run->admin->cluster, &within, broker, &e->name, 1, metadata);
    if (!err) {
        *done = met(metadata, e);
        return NULL;
    }
    if (broker == WIRE_ANY || err_is(err, RL_LAB, "CANCELLED"))
        return err;
    err_free(err);
    *done = true;
    return NULL;
}

/* A change is complete when all brokers know of it, since the next question may go to any of
 * them. */
static rl_err *look_everywhere(admin_run *run, expectation *e, bool *done)
{
    wire_metadata m, other;
    rl_err *err = look(run, WIRE_ANY, e, done, &m);
    for (int i = 0; !err && *done && i < m.node_count; i++) {
        err = look(run, m.nodes[i].id, e, done, &other);
        wire_metadata_free(&other);
    }
    wire_metadata_free(&m);
    return err;
}

/* Metadata is ahead of the logs: a replica serves its partition a moment after all brokers have
 * heard of it. */
static bool served(const wire_positions *positions, int partition, expectation *e)
{
    for (int i = 0; i < positions->replica_count; i++) {
        const rl_err *err = positions->replicas[i].err;
        if (!err || err->domain != RL_KAFKA || !err->retriable)
            continue;
        snprintf(e->why, sizeof e->why, "broker %d does not serve partition %d yet",
                 positions->replicas[i].broker, partition);
        return false;
    }
    return true;
}

static rl_err *look_at_logs(admin_run *run, expectation *e, bool *done)
{
    for (int i = 0; *done && i < e->partitions && i < PROBED_PARTITIONS; i++) {
        wire_positions p;
        wire_call call = admin_wire(run);
        rl_err *err = wire_positions_get(run->admin->cluster, &call, e->name, i, &p);
        if (err)
            return err;
        *done = served(&p, i, e);
        wire_positions_free(&p);
    }
    return NULL;
}

static rl_err *wait_for(admin_run *run, const char *name, int partitions)
{
    expectation e = {.name = name, .partitions = partitions};
    for (;;) {
        bool done = false;
        rl_err *err = look_everywhere(run, &e, &done);
        if (!err && done)
            err = look_at_logs(run, &e, &done);
        if (err || done)
            return err;
        err = admin_pause(run, LOOK_MS, "topic %s was %s, but %s", name,
                          partitions ? "created" : "deleted", e.why);
        if (err)
            return err;
    }
}

/* ---- create ---- */

static rd_kafka_NewTopic_t *new_topic(const kafka_new_topic *topic, rl_err **err)
{
    char why[256] = "";
    rd_kafka_resp_err_t code = 0;
    rd_kafka_NewTopic_t *made =
        rd_kafka_NewTopic_new(topic->name, topic->partitions,
                              topic->assignment ? -1 : topic->replication_factor, why, sizeof why);
    for (int i = 0; made && !code && topic->assignment && i < topic->partitions; i++)
        code = rd_kafka_NewTopic_set_replica_assignment(
            made, i, topic->assignment[i].id, (size_t)topic->assignment[i].count, why, sizeof why);
    for (int i = 0; made && !code && i < topic->config_count; i++)
        code = rd_kafka_NewTopic_set_config(made, topic->configs[i].name, topic->configs[i].value);
    if (made && !code)
        return made;
    if (made)
        rd_kafka_NewTopic_destroy(made);
    *err = err_lab("USAGE", "topic %s: %s", topic->name, *why ? why : rd_kafka_err2str(code));
    return NULL;
}

static void submit_create(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                          const void *arg)
{
    rd_kafka_NewTopic_t *topic = (rd_kafka_NewTopic_t *)arg;
    rd_kafka_CreateTopics(admin->rk, &topic, 1, options, admin->queue);
}

static const rd_kafka_topic_result_t *create_result(rd_kafka_event_t *event)
{
    size_t n;
    return rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n)[0];
}

static rd_kafka_resp_err_t create_code(rd_kafka_event_t *event)
{
    return rd_kafka_topic_result_error(create_result(event));
}

/* The brokers choose the number of partitions when the script did not. */
static rl_err *created_count(admin_run *run, const kafka_new_topic *topic, int *count)
{
    *count = topic->partitions;
    if (*count > 0)
        return NULL;
    wire_metadata m;
    wire_call call = admin_wire(run);
    rl_err *err = wire_metadata_get(run->admin->cluster, &call, WIRE_ANY, &topic->name, 1, &m);
    const wire_topic *seen = err ? NULL : wire_metadata_topic(&m, topic->name);
    *count = seen && seen->count ? seen->count : 1;
    wire_metadata_free(&m);
    return err;
}

rl_err *kafka_admin_create_topic(kafka_admin *admin, kafka_call *call, const kafka_new_topic *topic,
                                 bool wait)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_CREATETOPICS,
                                .what = "create topic",
                                .submit = submit_create,
                                .code = create_code,
                                .anywhere = true};
    admin_run run = admin_begin(admin, call);
    rd_kafka_event_t *event = NULL;
    rl_err *err = NULL;
    rd_kafka_NewTopic_t *made = new_topic(topic, &err);
    if (err)
        return err;
    err = admin_do(&run, &op, made, &event);
    rd_kafka_NewTopic_destroy(made);
    if (err)
        return err;
    const rd_kafka_topic_result_t *result = create_result(event);
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(result);
    if (!(run.lost &&
          code ==
              RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)) /* created by a try whose answer was lost */
        err = admin_item_err(code, "create topic", topic->name,
                             rd_kafka_topic_result_error_string(result));
    rd_kafka_event_destroy(event);
    int count;
    if (!err && wait)
        err = created_count(&run, topic, &count);
    return err || !wait ? err : wait_for(&run, topic->name, count);
}

/* ---- more partitions ---- */

static void submit_partitions(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                              const void *arg)
{
    rd_kafka_NewPartitions_t *parts = (rd_kafka_NewPartitions_t *)arg;
    rd_kafka_CreatePartitions(admin->rk, &parts, 1, options, admin->queue);
}

static const rd_kafka_topic_result_t *partitions_result(rd_kafka_event_t *event)
{
    size_t n;
    return rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event),
                                                   &n)[0];
}

static rd_kafka_resp_err_t partitions_code(rd_kafka_event_t *event)
{
    return rd_kafka_topic_result_error(partitions_result(event));
}

rl_err *kafka_admin_create_partitions(kafka_admin *admin, kafka_call *call,
                                      const kafka_new_topic *topic, bool wait)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_CREATEPARTITIONS,
                                .what = "create partitions",
                                .submit = submit_partitions,
                                .code = partitions_code,
                                .anywhere = true};
    admin_run run = admin_begin(admin, call);
    rd_kafka_event_t *event = NULL;
    char why[256] = "";
    rd_kafka_NewPartitions_t *parts =
        rd_kafka_NewPartitions_new(topic->name, (size_t)topic->partitions, why, sizeof why);
    if (!parts)
        return err_lab("USAGE", "partitions of %s: %s", topic->name, why);
    rl_err *err = admin_do(&run, &op, parts, &event);
    rd_kafka_NewPartitions_destroy(parts);
    if (err)
        return err;
    const rd_kafka_topic_result_t *result = partitions_result(event);
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(result);
    if (!(run.lost && code == RD_KAFKA_RESP_ERR_INVALID_PARTITIONS))
        err = admin_item_err(code, "create partitions of", topic->name,
                             rd_kafka_topic_result_error_string(result));
    rd_kafka_event_destroy(event);
    return err || !wait ? err : wait_for(&run, topic->name, topic->partitions);
}

/* ---- delete ---- */

typedef struct deletion {
    rd_kafka_DeleteTopic_t **topics;
    size_t count;
} deletion;

static void submit_delete(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                          const void *arg)
{
    const deletion *d = arg;
    rd_kafka_DeleteTopics(admin->rk, d->topics, d->count, options, admin->queue);
}

static rl_err *delete_all(admin_run *run, const char *const *names, int count,
                          rd_kafka_event_t **event)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_DELETETOPICS,
                                .what = "delete topics",
                                .submit = submit_delete,
                                .anywhere = true};
    deletion d = {.topics = mem_alloc((size_t)count * sizeof *d.topics), .count = (size_t)count};
    for (int i = 0; i < count; i++)
        d.topics[i] = rd_kafka_DeleteTopic_new(names[i]);
    rl_err *err = admin_do(run, &op, &d, event);
    rd_kafka_DeleteTopic_destroy_array(d.topics, d.count);
    free(d.topics);
    return err;
}

rl_err *kafka_admin_delete_topics(kafka_admin *admin, kafka_call *call, const char *const *names,
                                  int count, bool wait, kafka_items *items)
{
    admin_run run = admin_begin(admin, call);
    rd_kafka_event_t *event = NULL;
    *items = (kafka_items){0};
    rl_err *err = count ? delete_all(&run, names, count, &event) : NULL;
    if (err || !count)
        return err;
    size_t n;
    const rd_kafka_topic_result_t **results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &n);
    for (size_t i = 0; i < n; i++) {
        const char *name = rd_kafka_topic_result_name(results[i]);
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        if (run.lost && code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            code = 0; /* deleted by a try whose answer was lost */
        admin_item_add(items, name, -1, 0,
                       admin_item_err(code, "delete topic", name,
                                      rd_kafka_topic_result_error_string(results[i])));
    }
    rd_kafka_event_destroy(event);
    for (int i = 0; wait && i < items->count; i++)
        if (!items->items[i].err)
            items->items[i].err = wait_for(&run, items->items[i].name, 0);
    return NULL;
}

/* ---- configurations ---- */

static void submit_describe(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                            const void *arg)
{
    rd_kafka_ConfigResource_t *resource = (rd_kafka_ConfigResource_t *)arg;
    rd_kafka_DescribeConfigs(admin->rk, &resource, 1, options, admin->queue);
}

static void submit_alter(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                         const void *arg)
{
    rd_kafka_ConfigResource_t *resource = (rd_kafka_ConfigResource_t *)arg;
    rd_kafka_IncrementalAlterConfigs(admin->rk, &resource, 1, options, admin->queue);
}

rl_err *kafka_admin_configs(kafka_admin *admin, kafka_call *call, rd_kafka_ResourceType_t type,
                            const char *name, rd_kafka_event_t **event)
{
    admin_op op = {.api = RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
                   .what = "describe configs",
                   .submit = submit_describe,
                   .anywhere = type != RD_KAFKA_RESOURCE_BROKER};
    admin_run run = admin_begin(admin, call);
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(type, name);
    rl_err *err = admin_do(&run, &op, resource, event);
    rd_kafka_ConfigResource_destroy(resource);
    if (err)
        return err;
    size_t n;
    const rd_kafka_ConfigResource_t *result = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(*event), &n)[0];
    err = admin_item_err(rd_kafka_ConfigResource_error(result), "configs of", name,
                         rd_kafka_ConfigResource_error_string(result));
    if (err) {
        rd_kafka_event_destroy(*event);
        *event = NULL;
    }
    return err;
}

static rl_err *put_pairs(rd_kafka_ConfigResource_t *resource, const kafka_pair *pairs, int count)
{
    for (int i = 0; i < count; i++) {
        rd_kafka_AlterConfigOpType_t op = pairs[i].value ? RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET
                                                         : RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE;
        rd_kafka_error_t *error = rd_kafka_ConfigResource_add_incremental_config(
            resource, pairs[i].name, op, pairs[i].value);
        if (error)
            return kafka_err_take(NULL, error, "alter configs");
    }
    return NULL;
}

rl_err *kafka_admin_alter_configs(kafka_admin *admin, kafka_call *call,
                                  rd_kafka_ResourceType_t type, const char *name,
                                  const kafka_pair *pairs, int count)
{
    admin_op op = {.api = RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS,
                   .what = "alter configs",
                   .submit = submit_alter,
                   .anywhere = type != RD_KAFKA_RESOURCE_BROKER};
    admin_run run = admin_begin(admin, call);
    rd_kafka_event_t *event = NULL;
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(type, name);
    rl_err *err = put_pairs(resource, pairs, count);
    if (!err)
        err = admin_do(&run, &op, resource, &event);
    rd_kafka_ConfigResource_destroy(resource);
    if (err)
        return err;
    size_t n;
    const rd_kafka_ConfigResource_t *result = rd_kafka_IncrementalAlterConfigs_result_resources(
        rd_kafka_event_IncrementalAlterConfigs_result(event), &n)[0];
    err = admin_item_err(rd_kafka_ConfigResource_error(result), "alter configs of", name,
                         rd_kafka_ConfigResource_error_string(result));
    rd_kafka_event_destroy(event);
    return err;
}

/* ---- records ---- */

static void submit_records(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                           const void *arg)
{
    rd_kafka_DeleteRecords_t *records = (rd_kafka_DeleteRecords_t *)arg;
    rd_kafka_DeleteRecords(admin->rk, &records, 1, options, admin->queue);
}

rl_err *kafka_admin_delete_records(kafka_admin *admin, kafka_call *call, const char *topic,
                                   int partition, int64_t before, int64_t *low)
{
    static const admin_op op = {
        .api = RD_KAFKA_ADMIN_OP_DELETERECORDS, .what = "delete records", .submit = submit_records};
    admin_run run = admin_begin(admin, call);
    rd_kafka_event_t *event = NULL;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = before;
    rd_kafka_DeleteRecords_t *records = rd_kafka_DeleteRecords_new(list);
    rl_err *err = admin_do(&run, &op, records, &event);
    rd_kafka_DeleteRecords_destroy(records);
    rd_kafka_topic_partition_list_destroy(list);
    if (err)
        return err;
    const rd_kafka_topic_partition_t *place =
        &rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event))
             ->elems[0];
    *low = place->offset;
    err = admin_item_err(place->err, "delete records of", topic, NULL);
    rd_kafka_event_destroy(event);
    return err;
}

/* ---- leaders ---- */

static void submit_elect(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                         const void *arg)
{
    rd_kafka_ElectLeaders(admin->rk, (rd_kafka_ElectLeaders_t *)arg, options, admin->queue);
}

rl_err *kafka_admin_elect(kafka_admin *admin, kafka_call *call, rd_kafka_ElectionType_t type,
                          rd_kafka_topic_partition_list_t *list, kafka_items *items)
{
    static const admin_op op = {.api = RD_KAFKA_ADMIN_OP_ELECTLEADERS,
                                .what = "elect leaders",
                                .submit = submit_elect,
                                .anywhere = true};
    admin_run run = admin_begin(admin, call);
    rd_kafka_event_t *event = NULL;
    *items = (kafka_items){0};
    rd_kafka_ElectLeaders_t *elect = rd_kafka_ElectLeaders_new(type, list);
    rl_err *err = admin_do(&run, &op, elect, &event);
    rd_kafka_ElectLeaders_destroy(elect);
    if (err)
        return err;
    size_t n;
    const rd_kafka_topic_partition_result_t **results =
        rd_kafka_ElectLeaders_result_partitions(rd_kafka_event_ElectLeaders_result(event), &n);
    for (size_t i = 0; i < n; i++) {
        const rd_kafka_topic_partition_t *place =
            rd_kafka_topic_partition_result_partition(results[i]);
        const rd_kafka_error_t *error = rd_kafka_topic_partition_result_error(results[i]);
        rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : 0;
        char where[300];
        snprintf(where, sizeof where, "%s [%d]", place->topic, place->partition);
        admin_item_add(items, place->topic, place->partition, 0,
                       admin_item_err(code, "elect a leader of", where,
                                      error ? rd_kafka_error_string(error) : NULL));
    }
    rd_kafka_event_destroy(event);
    return NULL;
}
