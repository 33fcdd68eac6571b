-- rlab.kafka: the admin, which observes and changes a cluster.
local AT_MOST = "at_most: duration, the deadline of this call; default that of the handle"
local WAIT = "wait: boolean = true, until every broker that answers agrees"

return {
  module = "kafka", kind = "module",
  types = {
    { name = "admin", meta = "kafka.admin", doc = "Observes and changes a cluster. Every call takes at_most.",
      methods = {
        { "create_topic", "a:create_topic{name =, partitions =, replication_factor =, configs =, \z
          assignment =, wait =, at_most =} -> true | nil, err",
          "Creates a topic.",
          params = { "name: string", "partitions: integer, default the broker's",
            "replication_factor: integer, default the broker's",
            "configs: table, topic configs by name",
            "assignment: table, replicas by partition, e.g. {{1,2},{2,3}}", WAIT, AT_MOST },
          errors = "TOPIC_ALREADY_EXISTS",
            example = 'must(a:create_topic { name = "orders", partitions = 3, replication_factor = 3, \z
              configs = { ["min.insync.replicas"] = 2 } })' },
        { "create_partitions", "a:create_partitions{topic =, count =, wait =, at_most =} -> true | nil, err",
          "Grows a topic to `count` partitions.",
          params = { "topic: string", "count: integer, in total", WAIT, AT_MOST } },
        { "delete_topics", "a:delete_topics(names [, {wait =, at_most =}]) -> result | nil, err",
          "Deletes topics.",
          params = { "names: table, list", WAIT, AT_MOST } },
        { "delete_records", "a:delete_records{topic =, partition =, before =, at_most =} -> low | nil, err",
          "Moves the low watermark up.",
          params = { "topic: string", "partition: integer",
            "before: integer, the new first offset; without it, or as \"end\", the high watermark",
            AT_MOST } },
        { "topics", "a:topics([{internal =, at_most =}]) -> names | nil, err", "Names of all topics.",
          params = { "internal: boolean = false, Kafka's own too", AT_MOST } },
        { "topic", "a:topic(name [, {at_most =}]) -> topic | nil, err",
          "A topic's id, and its partitions with leader, epoch, replicas, ISR and offline replicas.",
          params = { "name: string", AT_MOST },
            returns = "{ name, id, internal, partitions = { [1] = { partition, leader, epoch, replicas, \z
              isr, offline } } }",
          errors = "UNKNOWN_TOPIC_OR_PART" },
        { "cluster", "a:cluster([{at_most =}]) -> cluster | nil, err",
          "Id, brokers, controller and the controllers' quorum.",
          params = { AT_MOST }, returns = "{ id, controller, brokers = { { id, host, port, rack } }, \z
            quorum = { leader, epoch, hw, voters } }" },
        { "configs", "a:configs{topic = | group = | broker =, details =, at_most =} -> table | nil, err",
          "Configuration of a topic, a group or a broker, by name.",
          params = { "topic: string", "group: string, instead of topic", "broker: integer, instead of topic",
            "details: boolean = false, each as { value, source, read_only, sensitive }", AT_MOST } },
        { "alter_configs",
          "a:alter_configs{topic = | group = | broker =, set =, delete =, at_most =} -> true | nil, err",
          "Changes a configuration step by step.",
          params = { "topic: string", "group: string, instead of topic; it need not exist yet",
            "broker: integer, instead of topic", "set: table, values by name",
            "delete: table, names that go back to their default", AT_MOST } },
        { "features", "a:features([{broker =, at_most =}]) -> table | nil, err",
          "The feature levels that the cluster has settled on, by name, such as transaction.version; one \z
            that is off is not among them.",
          params = { "broker: integer, as that one knows them; any without it", AT_MOST } },
        { "set_feature", "a:set_feature(name, level [, {at_most =}]) -> true | nil, err",
          "Raises or lowers the level of a feature for the whole cluster; brokers hear of it a little later.",
          params = { "name: string", "level: integer", AT_MOST },
          errors = "INVALID_UPDATE_VERSION, FEATURE_UPDATE_FAILED" },
        { "elect_leaders", "a:elect_leaders{type =, partitions =, at_most =} -> list | nil, err",
          "Elects leaders.",
          params = { 'type: string = "preferred", or "unclean", which may lose records',
            "partitions: table, list of { topic =, partition = }; all without it", AT_MOST } },
        { "groups", "a:groups([{at_most =}]) -> list | nil, err",
          "All groups: { id, state, type, simple }; `failed` says which broker did not tell.",
          params = { AT_MOST } },
        { "group", "a:group(id [, {at_most =}]) -> group | nil, err",
          "State, protocol, coordinator and members with their assignment.",
          params = { "id: string", AT_MOST },
            returns = "{ id, state, type, protocol, coordinator, members = { { id, client_id, \z
              instance_id, host, assignment } } }" },
        { "group_offsets", "a:group_offsets(id [, {partitions =, stable =, at_most =}]) -> list | nil, err",
          "What a group committed: { topic, partition, offset, metadata }.",
          params = { "id: string", "partitions: table, only these",
            "stable: boolean = false, fails while a transaction has offsets pending", AT_MOST } },
        { "alter_group_offsets", "a:alter_group_offsets(id, list [, {at_most =}]) -> list | nil, err",
          "Commits for a group that has no live member.",
          params = { "id: string", "list: table, of { topic =, partition =, offset = }", AT_MOST },
            errors = "UNKNOWN_MEMBER_ID while members are alive" },
        { "delete_group_offsets", "a:delete_group_offsets(id, list [, {at_most =}]) -> list | nil, err",
          "Forgets committed offsets.",
          params = { "id: string", "list: table, of { topic =, partition = }", AT_MOST } },
        { "delete_groups", "a:delete_groups(ids [, {at_most =}]) -> result | nil, err",
          "Deletes groups without members.",
          params = { "ids: table, list", AT_MOST } },
        { "offsets", "a:offsets(topic, partition [, {at_most =}]) -> positions | nil, err",
          "Low watermark, LSO, HW and log end of one partition side by side, and each replica's log end. \z
            What the leader did not tell within 300 ms is absent, and `why` says so; `failed` has the \z
            error of each replica that did not answer.",
          params = { "topic: string", "partition: integer", AT_MOST },
            returns = "{ topic, partition, low, lso, hw, leo, leader, epoch, isr, leo_by = { [broker] = \z
              offset }, why = err | nil, failed = { [broker] = err } | nil }",
          example = 'local at = must(a:offsets("orders", 0))\nif at.why then error(at.why) end\n\z
            print(at.leo - at.hw)' },
        { "list_offsets", 'a:list_offsets(list [, {isolation =, at_most =}]) -> list | nil, err',
          "One position of many partitions, in the order asked for.",
          params = { 'list: table, of { topic =, partition =, at = }; at is "earliest", "latest", \z
            "max_timestamp" or ms since 1970',
            'isolation: string = "read_uncommitted", or "read_committed"', AT_MOST } },
        { "transactions", "a:transactions([{states =, at_most =}]) -> list | nil, err",
          "Transactions over all coordinators: { id, state, producer_id, coordinator }.",
          params = { 'states: table, such as { "Ongoing" }', AT_MOST } },
        { "transaction", "a:transaction(id [, {at_most =}]) -> transaction | nil, err",
          "One transaction with its partitions.",
          params = { "id: string, the transactional.id", AT_MOST },
          returns = "{ id, state, producer_id, epoch, timeout_ms, start_ms, coordinator, partitions = { { \z
            topic, partition } } }" },
        { "producers", "a:producers(topic, partition [, {at_most =}]) -> list | nil, err",
          "Producers the partition knows, and which open transaction holds the LSO back.",
          params = { "topic: string", "partition: integer", AT_MOST },
          returns = "{ { producer_id, epoch, last_sequence, last_timestamp, coordinator_epoch, txn_start, \z
            transaction, holds_lso } }" },
        { "abort_hanging", "a:abort_hanging(topic, partition [, {at_most =}]) -> list | nil, err",
          "Aborts the transactions that are open in the partition and with no coordinator, such as those \z
            whose end an unclean election lost; they hold the LSO back for good. Where one is open with its \z
            coordinator, nothing is done to it.",
          params = { "topic: string", "partition: integer", AT_MOST },
          returns = "{ { producer_id, epoch, txn_start, ... } }, those that were aborted",
          errors = "UNKNOWN where a broker does not tell which transactions are open" },
        { "survey", "a:survey([{groups =, at_most =}]) -> survey | nil, err",
          "The whole cluster in a few round trips, whatever the number of partitions and groups. What a \z
            broker did not tell in time is absent, and `failed` says so: `silent` where it did not answer.",
          params = { "groups: boolean = true, else topics only, and no transactions", AT_MOST },
          returns = "{ brokers, topics = { { name, internal, partitions = { { partition, leader, replicas, \z
            isr, low, lso, hw, holder, open_since_ms } } } }, groups = { { id, type, coordinator, members, \z
            committed = { orders = { [0] = 17 } } } }, failed = { { broker, silent, err } } }",
          example = "for _, group in ipairs(must(a:survey()).groups) do print(group.id, group.members) end" },
        { "create_acls", "a:create_acls(list [, {at_most =}]) -> true | nil, err",
          "Grants rights, from any host, where the brokers have an authorizer; what is there stays.",
          params = { 'list: table, of { principal = "User:name", resource =, name =, pattern =, \z
            operation = }; resource is "topic" (the default), "group", "transactional-id" or "cluster", \z
            which has no name; pattern "literal" (the default) or "prefixed"; operation "read", "write", \z
            "create", "delete", "alter", "describe", "describe-configs", "alter-configs", "cluster-action", \z
            "idempotent-write" or "all"', AT_MOST },
          errors = "SECURITY_DISABLED without an authorizer, CLUSTER_AUTHORIZATION_FAILED" },
        { "delete_acls", "a:delete_acls(list [, {at_most =}]) -> number | nil, err",
          "Takes rights back; says how many there were.",
          params = { "list: table, as of create_acls", AT_MOST } },
        { "set_scram", "a:set_scram{user =, password =, mechanism =, at_most =} -> true | nil, err",
          "Makes a user who logs in by SCRAM, or gives it another password.",
          params = { "user: string", "password: string",
            'mechanism: string = "SCRAM-SHA-512", or "SCRAM-SHA-256"', AT_MOST } },
        { "close", "a:close()", "Also by <close>." },
      } },
  },
}
