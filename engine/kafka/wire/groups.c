#include <stdlib.h>
#include <string.h>

#include "kafka/wire/api.h"

#define CONSUMER_VERSION 0
#define CLASSIC_VERSION 5
#define DELETE_VERSION 2
#define LEAST_MEMBER 7 /* bytes of one in a response of either kind */

/* ---- what the two descriptions share ---- */

static void write_ids(frame_writer *w, const char *id)
{
    frame_put_array(w, 1);
    frame_put_str(w, id);
}

static void write_group_describe(frame_writer *w, const void *id)
{
    write_ids(w, id);
    frame_put_i8(w, 0); /* no authorized operations */
    frame_put_tags(w);
}

static void read_group_partitions(frame_reader *r, frame_slice topic,
                                  rd_kafka_topic_partition_list_t *list)
{
    char *name = frame_dup(topic);
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--)
        rd_kafka_topic_partition_list_add(list, name ? name : "", frame_i32(r));
    free(name);
}

static void read_members(frame_reader *r, wire_group *group,
                         void (*read)(frame_reader *r, wire_member *m))
{
    int n;
    group->members = wire_read_array(r, sizeof *group->members, LEAST_MEMBER, &n);
    for (int i = 0; i < n && !r->bad; i++)
        read(r, &group->members[group->member_count++]);
}

static rl_err *end_group(frame_reader *r, int code, const char *id, wire_group *group,
                         const char *what)
{
    frame_i32(r); /* authorized operations */
    frame_tags(r);
    frame_tags(r);
    rl_err *err = frame_end(r, what);
    if (!err)
        err = wire_code(code, "group %s", id);
    if (!err && (!group->state || !group->protocol))
        err = err_lab("MALFORMED", "%s without a state", what);
    if (err)
        wire_group_free(group);
    return err;
}

/* ---- ConsumerGroupDescribe ---- */

static rd_kafka_topic_partition_list_t *read_assignment(frame_reader *r)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--) {
        frame_raw(r, 16); /* the topic's id */
        read_group_partitions(r, wire_read_topic(r), list);
        frame_tags(r);
    }
    frame_tags(r);
    return list;
}

static void read_consumer(frame_reader *r, wire_member *m)
{
    m->id = frame_dup(frame_str(r));
    m->instance_id = frame_dup(frame_str(r));
    frame_str(r); /* rack */
    frame_i32(r); /* epoch */
    m->client_id = frame_dup(frame_str(r));
    m->host = frame_dup(frame_str(r));
    for (int32_t n = frame_array(r); n > 0 && !r->bad; n--)
        frame_str(r); /* subscribed to */
    frame_str(r);     /* by pattern */
    m->assignment = read_assignment(r);
    m->target = read_assignment(r);
    frame_tags(r);
}

rl_err *wire_consumer_group_parse(frame_reader *r, const char *id, wire_group *group)
{
    *group = (wire_group){.classic = false};
    frame_i32(r); /* throttle time */
    wire_read_one(r);
    int code = frame_i16(r);
    frame_str(r); /* the broker's words */
    frame_str(r);
    group->state = frame_dup(frame_str(r));
    frame_i32(r); /* epoch, also of the assignment */
    frame_i32(r);
    group->protocol = frame_dup(frame_str(r));
    read_members(r, group, read_consumer);
    return end_group(r, code, id, group, "ConsumerGroupDescribe response");
}

/* ---- DescribeGroups ---- */

/* Members wrote it, the broker only keeps it: version, topics, and whatever else their assignor
 * wants to say. */
static rd_kafka_topic_partition_list_t *parse_assignment(frame_slice bytes, bool *bad)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    if (!bytes.len)
        return list;
    frame_reader r = frame_read(bytes.data, bytes.len, false);
    frame_i16(&r);
    for (int32_t n = frame_array(&r); n > 0 && !r.bad; n--)
        read_group_partitions(&r, wire_read_topic(&r), list);
    *bad |= r.bad;
    return list;
}

/* Returns what it was assigned, as it stands. */
static frame_slice read_classic(frame_reader *r, wire_member *m)
{
    m->id = frame_dup(frame_str(r));
    m->instance_id = frame_dup(frame_str(r));
    m->client_id = frame_dup(frame_str(r));
    m->host = frame_dup(frame_str(r));
    frame_bytes(r); /* subscription */
    frame_slice assignment = frame_bytes(r);
    frame_tags(r);
    return assignment;
}

static void read_reader(frame_reader *r, wire_member *m)
{
    frame_slice assignment = read_classic(r, m);
    m->assignment = parse_assignment(assignment, &r->bad);
}

static void read_stranger(frame_reader *r, wire_member *m)
{
    read_classic(r, m);
    m->assignment = rd_kafka_topic_partition_list_new(0);
}

/* Only a group of consumers says in Kafka's words who reads what; Connect, for one, has its own. */
rl_err *wire_classic_group_parse(frame_reader *r, const char *id, wire_group *group)
{
    *group = (wire_group){.classic = true};
    frame_i32(r); /* throttle time */
    wire_read_one(r);
    int code = frame_i16(r);
    frame_str(r);
    group->state = frame_dup(frame_str(r));
    frame_slice type = frame_str(r);
    group->protocol = frame_dup(frame_str(r));
    bool consumers = type.len == 8 && !memcmp(type.data, "consumer", 8);
    read_members(r, group, consumers ? read_reader : read_stranger);
    return end_group(r, code, id, group, "DescribeGroups response");
}

/* ---- both ---- */

typedef rl_err *(*parse_group)(frame_reader *r, const char *id, wire_group *group);

static rl_err *group_describe(wire_cluster *cluster, const wire_call *call, int broker,
                              const wire_question *question, parse_group parse, wire_group *group)
{
    frame_reader r;
    rl_err *err = wire_ask(cluster, call, broker, question, &r);
    return err ? err : parse(&r, question->arg, group);
}

/* Not of the consumer protocol, not there at all, or a broker that does not know this protocol:
 * the older question finds out. */
static bool not_consumer(const rl_err *err)
{
    return err_is(err, RL_KAFKA, "GROUP_ID_NOT_FOUND") ||
           err_is(err, RL_KAFKA, "UNSUPPORTED_VERSION");
}

rl_err *wire_group_describe(wire_cluster *cluster, const wire_call *call, const char *id,
                            wire_group *group)
{
    wire_question consumer = {FRAME_CONSUMER_GROUP_DESCRIBE, CONSUMER_VERSION, write_group_describe,
                              id};
    wire_question classic = {FRAME_DESCRIBE_GROUPS, CLASSIC_VERSION, write_group_describe, id};
    wire_node node;
    *group = (wire_group){0};
    rl_err *err = wire_coordinator(cluster, call, WIRE_GROUP_COORDINATOR, id, &node);
    if (err)
        return err;
    err = group_describe(cluster, call, node.id, &consumer, wire_consumer_group_parse, group);
    if (not_consumer(err)) {
        err_free(err);
        err = group_describe(cluster, call, node.id, &classic, wire_classic_group_parse, group);
    }
    if (err)
        free(node.host);
    else
        group->coordinator = node;
    return err;
}

static void free_list(rd_kafka_topic_partition_list_t *list)
{
    if (list)
        rd_kafka_topic_partition_list_destroy(list);
}

void wire_group_free(wire_group *group)
{
    for (int i = 0; i < group->member_count; i++) {
        wire_member *m = &group->members[i];
        free(m->id);
        free(m->instance_id);
        free(m->client_id);
        free(m->host);
        free_list(m->assignment);
        free_list(m->target);
    }
    free(group->members);
    free(group->state);
    free(group->protocol);
    free(group->coordinator.host);
    *group = (wire_group){0};
}

/* ---- DeleteGroups ---- */

static void write_group_delete(frame_writer *w, const void *id)
{
    write_ids(w, id);
    frame_put_tags(w);
}

rl_err *wire_group_delete_parse(frame_reader *r, const char *id)
{
    frame_i32(r); /* throttle time */
    wire_read_one(r);
    frame_str(r);
    int code = frame_i16(r);
    frame_tags(r);
    frame_tags(r);
    rl_err *err = frame_end(r, "DeleteGroups response");
    return err ? err : wire_code(code, "delete group %s", id);
}

rl_err *wire_group_delete(wire_cluster *cluster, const wire_call *call, const char *id)
{
    wire_question q = {FRAME_DELETE_GROUPS, DELETE_VERSION, write_group_delete, id};
    frame_reader r;
    int broker;
    rl_err *err = wire_ask_coordinator(cluster, call, WIRE_GROUP_COORDINATOR, id, &q, &r, &broker);
    return err ? err : wire_group_delete_parse(&r, id);
}
