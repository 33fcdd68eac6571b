#include <stdio.h>
#include <string.h>

#include "kafka/admin/run.h"

/* ---- ListOffsets for many partitions, over librdkafka ---- */

static void submit_offsets(kafka_admin *admin, const rd_kafka_AdminOptions_t *options,
                           const void *arg)
{
    rd_kafka_ListOffsets(admin->rk, (rd_kafka_topic_partition_list_t *)arg, options, admin->queue);
}

static const rd_kafka_ListOffsetsResultInfo_t **infos_of(rd_kafka_event_t *event, size_t *n)
{
    return rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(event), n);
}

/* The first code that says no more than that leaders are changing. */
static rd_kafka_resp_err_t moving_code(rd_kafka_event_t *event)
{
    size_t n;
    const rd_kafka_ListOffsetsResultInfo_t **infos = infos_of(event, &n);
    for (size_t i = 0; i < n; i++) {
        rd_kafka_resp_err_t code = rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i])->err;
        if (code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
            code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
            code == RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH ||
            code == RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH)
            return code;
    }
    return 0;
}

rl_err *kafka_admin_list_offsets(kafka_admin *admin, kafka_call *call,
                                 rd_kafka_topic_partition_list_t *list, bool committed,
                                 rd_kafka_event_t **event)
{
    admin_op op = {.api = RD_KAFKA_ADMIN_OP_LISTOFFSETS,
                   .what = "list offsets",
                   .submit = submit_offsets,
                   .code = moving_code,
                   .committed = committed};
    admin_run run = admin_begin(admin, call);
    return admin_do(&run, &op, list, event);
}

/* ---- over the wire ---- */

rl_err *kafka_admin_positions(kafka_admin *admin, kafka_call *call, const char *topic,
                              int partition, wire_positions *positions)
{
    admin_run run = admin_begin(admin, call);
    wire_call wire = admin_wire(&run);
    return wire_positions_get(admin->cluster, &wire, topic, partition, positions);
}

rl_err *kafka_admin_metadata(kafka_admin *admin, kafka_call *call, const char *const *topics,
                             int count, wire_metadata *metadata)
{
    admin_run run = admin_begin(admin, call);
    wire_call wire = admin_wire(&run);
    return wire_metadata_get(admin->cluster, &wire, WIRE_ANY, topics, count, metadata);
}

rl_err *kafka_admin_quorum(kafka_admin *admin, kafka_call *call, wire_quorum *quorum)
{
    admin_run run = admin_begin(admin, call);
    wire_call wire = admin_wire(&run);
    return wire_quorum_get(admin->cluster, &wire, quorum);
}

rl_err *kafka_admin_features(kafka_admin *admin, kafka_call *call, int broker,
                             wire_features *features)
{
    admin_run run = admin_begin(admin, call);
    wire_call wire = admin_wire(&run);
    wire_metadata m = {0};
    *features = (wire_features){0};
    rl_err *err = NULL;
    if (broker != WIRE_ANY && !wire_cluster_knows(admin->cluster, broker))
        err = wire_metadata_get(admin->cluster, &wire, WIRE_ANY, (const char *const[]){""}, 0, &m);
    wire_metadata_free(&m);
    return err ? err : wire_features_get(admin->cluster, &wire, broker, features);
}

static int level_of(const wire_features *features, const char *name)
{
    for (int i = 0; i < features->count; i++)
        if (strcmp(features->features[i].name, name) == 0)
            return features->features[i].level;
    return 0;
}

rl_err *kafka_admin_set_feature(kafka_admin *admin, kafka_call *call, const char *name, int level)
{
    wire_features now;
    rl_err *err = kafka_admin_features(admin, call, WIRE_ANY, &now);
    if (err)
        return err;
    int from = level_of(&now, name);
    wire_features_free(&now);
    if (from == level)
        return NULL;
    admin_run run = admin_begin(admin, call);
    wire_call wire = admin_wire(&run);
    return wire_feature_set(admin->cluster, &wire, name, level, level < from);
}

rl_err *kafka_admin_producers(kafka_admin *admin, kafka_call *call, const char *topic,
                              int partition, wire_producers *producers)
{
    admin_run run = admin_begin(admin, call);
    wire_call wire = admin_wire(&run);
    return wire_producers_get(admin->cluster, &wire, topic, partition, producers);
}

rl_err *kafka_admin_survey(kafka_admin *admin, kafka_call *call, bool groups, survey *out)
{
    admin_run run = admin_begin(admin, call);
    wire_call wire = admin_wire(&run);
    return survey_take(admin->cluster, &wire, groups, out);
}

bool admin_settling(admin_run *run, rl_err **err)
{
    bool silent = err_is(*err, RL_LAB, "TIMEOUT");
    if (silent || err_is(*err, RL_KAFKA, "_TRANSPORT"))
        run->lost++;
    if (!silent && !(*err && (*err)->domain == RL_KAFKA && (*err)->retriable))
        return false;
    if (!kafka_slice(run->until, KAFKA_SLICE_MS))
        return false;
    rl_err *stop = admin_pause(run, KAFKA_SLICE_MS / 2, "%s", (*err)->msg);
    err_free(*err);
    *err = stop;
    return !stop;
}

/* The coordinator may be settling, as in admin_do. */
rl_err *kafka_admin_transaction(kafka_admin *admin, kafka_call *call, const char *id,
                                wire_txn_info *info)
{
    admin_run run = admin_begin(admin, call);
    rl_err *err;
    do {
        wire_call wire = admin_wire_try(&run);
        err = wire_txn_describe(admin->cluster, &wire, id, info);
    } while (admin_settling(&run, &err));
    return err;
}

/* Each broker lists the transactions it coordinates; one that is silent is named among the failed. */
static rl_err *ask_brokers(admin_run *run, const wire_metadata *metadata, const char *const *states,
                           int count, wire_txns *txns, kafka_items *failed)
{
    for (int i = 0; i < metadata->node_count; i++) {
        const wire_node *node = &metadata->nodes[i];
        wire_call wire = admin_wire(run);
        wire_call within = wire_cluster_budget(run->admin->cluster, &wire, node->id);
        rl_err *err = wire_txns_list(run->admin->cluster, &within, node->id, states, count, txns);
        if (err_is(err, RL_LAB, "CANCELLED") || err_is(err, RL_LAB, "USAGE"))
            return err;
        char name[300];
        snprintf(name, sizeof name, "%.250s:%d", node->host, node->port);
        if (err)
            admin_item_add(failed, name, node->id, 0, err);
    }
    if (failed->count < metadata->node_count || !failed->count)
        return NULL;
    rl_err *err = failed->items[0].err;
    failed->items[0].err = NULL;
    return err;
}

rl_err *kafka_admin_transactions(kafka_admin *admin, kafka_call *call, const char *const *states,
                                 int count, wire_txns *txns, kafka_items *failed)
{
    admin_run run = admin_begin(admin, call);
    wire_call wire = admin_wire(&run);
    wire_metadata m;
    *txns = (wire_txns){0};
    *failed = (kafka_items){0};
    rl_err *err =
        wire_metadata_get(admin->cluster, &wire, WIRE_ANY, (const char *const[]){""}, 0, &m);
    if (!err)
        err = ask_brokers(&run, &m, states, count, txns, failed);
    wire_metadata_free(&m);
    if (err) {
        wire_txns_free(txns);
        kafka_items_free(failed);
    }
    return err;
}

/* ---- transactions that nobody will end ---- */

static bool is_open_in(const wire_producers *list, const wire_producer *p)
{
    for (int i = 0; i < list->count; i++)
        if (list->producers[i].producer_id == p->producer_id &&
            list->producers[i].txn_start == p->txn_start)
            return p->txn_start >= 0;
    return false;
}

static bool has_coordinator(const wire_txns *txns, int64_t producer_id)
{
    for (int i = 0; i < txns->count; i++)
        if (txns->txns[i].producer_id == producer_id)
            return true;
    return false;
}

static rl_err *open_with_coordinators(kafka_admin *admin, kafka_call *call, wire_txns *txns)
{
    static const char *const states[] = {"Ongoing", "PrepareCommit", "PrepareAbort"};
    kafka_items silent;
    rl_err *err = kafka_admin_transactions(admin, call, states, 3, txns, &silent);
    if (err)
        return err;
    if (silent.count > 0)
        err =
            err_lab("UNKNOWN", "%d brokers do not tell which transactions are open", silent.count);
    kafka_items_free(&silent);
    return err;
}

/* Open before the coordinators were asked and still open after it: one that has just begun, or was
 * just ended, is not taken for one that hangs. */
static rl_err *find_hanging(kafka_admin *admin, kafka_call *call, const char *topic, int partition,
                            wire_producers *hanging)
{
    wire_producers before;
    wire_txns txns = {0};
    rl_err *err = kafka_admin_producers(admin, call, topic, partition, &before);
    if (!err)
        err = open_with_coordinators(admin, call, &txns);
    if (!err)
        err = kafka_admin_producers(admin, call, topic, partition, hanging);
    int n = 0;
    for (int i = 0; i < hanging->count; i++)
        if (is_open_in(&before, &hanging->producers[i]) &&
            !has_coordinator(&txns, hanging->producers[i].producer_id))
            hanging->producers[n++] = hanging->producers[i];
    hanging->count = n;
    wire_producers_free(&before);
    wire_txns_free(&txns);
    return err;
}

rl_err *kafka_admin_abort_hanging(kafka_admin *admin, kafka_call *call, const char *topic,
                                  int partition, wire_producers *hanging)
{
    *hanging = (wire_producers){0};
    rl_err *err = find_hanging(admin, call, topic, partition, hanging);
    for (int i = 0; i < hanging->count && !err; i++) {
        admin_run run = admin_begin(admin, call);
        wire_call wire = admin_wire(&run);
        err = wire_txn_abort(admin->cluster, &wire, topic, partition, &hanging->producers[i]);
    }
    if (err)
        wire_producers_free(hanging);
    return err;
}
