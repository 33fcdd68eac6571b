-- What the servers of a stack are, said once: ports, images and settings, for `rlab up` and for
-- docker-compose.yml (spec/unit/deploy/compose_spec.lua compares). Versions are those of deps/pins.sh.
-- Tables only: plain Lua reads this file, too.
local M = {}

-- The port map. Without RLAB_PORT_BASE a port is the one in the column "default"; with RLAB_PORT_BASE=N it
-- is N + offset, so that a whole stack lies in N..N+199. The rows of servers that do not exist yet keep
-- their place.
--   name, offset, default
M.ports = {
  { "mysql", 6, 13306 },
  { "mysql-proxy", 16, 13316 },          -- clients that shall meet faults on the wire dial this one
  { "redis", 79, 16379 },
  { "redis-proxy", 89, 16389 },
  { "proxy", 74, 18474 },                -- the fault proxy's API
  { "command", 80, 18080 },
  { "query", 81, 18081 },
  { "relay", 82, 18082 },
  { "replay", 83, 18083 },
  { "consumer", 84, 18084 },
  { "exporter", 85, 18085 },
  { "canary", 86, 18086 },
  { "kafbat", 88, 18088 },               -- Kafka UI, in containers only
  { "kafka-ui", 90, 18090 },
  { "registry", 91, 18091 },
  { "kafka-1", 92, 19092 },              -- DIRECT: what clients dial
  { "kafka-2", 93, 19093 },
  { "kafka-3", 94, 19094 },
  { "controller", 99, 19099 },
  { "kafka-1-inter", 102, 19102 },       -- INTER: what the brokers dial among themselves
  { "kafka-2-inter", 103, 19103 },
  { "kafka-3-inter", 104, 19104 },
  { "kafka-1-prox", 112, 19112 },        -- PROX: what the proxy dials ...
  { "kafka-2-prox", 113, 19113 },
  { "kafka-3-prox", 114, 19114 },
  { "kafka-1-proxy", 122, 19122 },       -- ... and where the proxy listens: PROX is advertised at this port
  { "kafka-2-proxy", 123, 19123 },
  { "kafka-3-proxy", 124, 19124 },
  { "kafka-1-inter-proxy", 132, 19132 }, -- the same for INTER: a broker seen by its peers
  { "kafka-2-inter-proxy", 133, 19133 },
  { "kafka-3-inter-proxy", 134, 19134 },
  { "controller-proxy-1", 142, 19142 },  -- the controller as broker 1 sees it, and so on
  { "controller-proxy-2", 143, 19143 },
  { "controller-proxy-3", 144, 19144 },
  { "kafka-1-jmx", 152, 19152 },
  { "kafka-2-jmx", 153, 19153 },
  { "kafka-3-jmx", 154, 19154 },
  { "controller-jmx", 159, 19159 },
  { "redis-cluster-1", 171, 16371 },
  { "redis-cluster-2", 172, 16372 },
  { "redis-cluster-3", 173, 16373 },
  { "redis-cluster-4", 174, 16374 },
  { "redis-cluster-5", 175, 16375 },
  { "redis-cluster-6", 176, 16376 },
  { "redis-cluster-1-bus", 181, 16381 },
  { "redis-cluster-2-bus", 182, 16382 },
  { "redis-cluster-3-bus", 183, 16383 },
  { "redis-cluster-4-bus", 184, 16384 },
  { "redis-cluster-5-bus", 185, 16385 },
  { "redis-cluster-6-bus", 186, 16386 },
  { "prometheus", 190, 19190 },
  { "grafana", 191, 19191 },
  { "mysqld-exporter", 192, 19192 },
  { "redis-exporter", 193, 19193 },
}

-- What a container of that name is made from, and the name of its tag in deps/pins.sh.
M.images = {
  kafka = { "apache/kafka", "KAFKA_VERSION" },
  registry = { "apicurio/apicurio-registry-mem", "APICURIO_VERSION" },
  flyway = { "flyway/flyway", "FLYWAY_VERSION" },
  mysql = { "mysql", "IMAGE_MYSQL" },
  redis = { "redis", "IMAGE_REDIS" },
  kafbat = { "kafbat/kafka-ui", "IMAGE_KAFBAT" },
  prometheus = { "prom/prometheus", "IMAGE_PROMETHEUS" },
  grafana = { "grafana/grafana", "IMAGE_GRAFANA" },
  ["mysqld-exporter"] = { "prom/mysqld-exporter", "IMAGE_MYSQLD_EXPORTER" },
  ["redis-exporter"] = { "oliver006/redis_exporter", "IMAGE_REDIS_EXPORTER" },
  debian = { "debian", "IMAGE_DEBIAN" },
  maven = { "maven", "IMAGE_MAVEN" },
}

M.kafka = { brokers = { 1, 2, 3 }, controller = 9 }

-- server.properties of every node, beside its listeners and its folder
M.kafka.properties = {
  -- three copies, one may be missing
  "num.partitions=1", "default.replication.factor=3", "min.insync.replicas=2",
  "offsets.topic.replication.factor=3", "offsets.topic.num.partitions=4",
  "transaction.state.log.replication.factor=3", "transaction.state.log.min.isr=2",
  "transaction.state.log.num.partitions=4",
  "share.coordinator.state.topic.replication.factor=3", "share.coordinator.state.topic.min.isr=2",
  "share.coordinator.state.topic.num.partitions=1",
  "auto.create.topics.enable=false", -- a typo must not make a topic
  "auto.leader.rebalance.enable=false", -- leaders move only when a script moves them
  -- short timers, so that a fault shows within seconds
  "replica.lag.time.max.ms=2000", "replica.fetch.wait.max.ms=200", "replica.fetch.backoff.ms=100",
  "broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500",
  "controller.quorum.election.timeout.ms=500", "controller.quorum.election.backoff.max.ms=100",
  "controller.quorum.fetch.timeout.ms=1000", "controller.quorum.retry.backoff.ms=20",
  "group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=500",
  "group.consumer.min.session.timeout.ms=1000", "group.consumer.session.timeout.ms=2000",
  "group.consumer.min.heartbeat.interval.ms=200", "group.consumer.heartbeat.interval.ms=300",
  "group.consumer.assignment.interval.ms=0",
  "group.share.min.session.timeout.ms=1000", "group.share.min.heartbeat.interval.ms=200",
  "group.share.min.record.lock.duration.ms=1000", "group.share.record.lock.duration.ms=1000",
  "transaction.abort.timed.out.transaction.cleanup.interval.ms=200",
  "log.retention.check.interval.ms=1000", "log.initial.task.delay.ms=500",
  -- small: three brokers share one machine with everything else
  "num.network.threads=2", "num.io.threads=2", "background.threads=2", "num.replica.fetchers=1",
  "num.recovery.threads.per.data.dir=1", "log.cleaner.threads=1", "log.cleaner.dedupe.buffer.size=2097152",
  "log.cleaner.io.buffer.size=65536", "log.index.size.max.bytes=1048576",
}

-- of a secure stack's nodes, beside those: TLS, who logs in how, and nothing that was not granted. Paths are
-- relative to a node's folder.
M.kafka.secure = {
  "sasl.mechanism.inter.broker.protocol=PLAIN", "sasl.mechanism.controller.protocol=PLAIN",
  "listener.name.inter.sasl.enabled.mechanisms=PLAIN",
  "listener.name.controller.sasl.enabled.mechanisms=PLAIN",
  "listener.name.direct.sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER",
  "listener.name.direct.scram-sha-512.sasl.jaas.config="
    .. "org.apache.kafka.common.security.scram.ScramLoginModule required;",
  "listener.name.direct.scram-sha-256.sasl.jaas.config="
    .. "org.apache.kafka.common.security.scram.ScramLoginModule required;",
  "listener.name.direct.oauthbearer.sasl.jaas.config="
    .. "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
  "listener.name.direct.oauthbearer.sasl.server.callback.handler.class="
    .. "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
  "sasl.oauthbearer.expected.audience=rlab", "sasl.oauthbearer.expected.issuer=rlab",
  "listener.name.direct.oauthbearer.connections.max.reauth.ms=3600000", -- nobody stays longer than his token
  "listener.name.mtls.ssl.client.auth=required",
  "listener.name.mtls.ssl.principal.mapping.rules=RULE:^CN=([a-z]+)$/$1/,DEFAULT",
  "ssl.keystore.type=PEM", "ssl.keystore.location=../tls/server.both",
  "ssl.truststore.type=PEM", "ssl.truststore.location=../tls/ca.pem",
  "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
  "allow.everyone.if.no.acl.found=false",
}

M.mysql = {
  "--skip-name-resolve", "--performance-schema=OFF", "--innodb-buffer-pool-size=128M",
  "--max-connections=400",
  "--table-open-cache=400", "--table-definition-cache=400", "--innodb-redo-log-capacity=64M",
  "--innodb-lock-wait-timeout=1", "--innodb-print-all-deadlocks=ON", -- as the experiments expect
}

M.redis = { "--save", "", "--appendonly", "yes" }

-- of a node of the Redis Cluster, beside those
M.redis_cluster = {
  "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-announce-ip", "127.0.0.1",
  "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no",
  "--repl-diskless-sync-delay", "0", "--shutdown-timeout", "0",
}

-- ---- what Prometheus asks ----

M.mysqld_exporter = {
  "--no-collect.slave_status", -- MySQL 9 has no such statement any more
  "--collect.info_schema.processlist", -- what threads do, which the public dashboard shows
}

local ACTUATOR = "/actuator/prometheus"

-- Jobs as rules.yml and the dashboards know them, each target by its name in the port map and by where it is
-- among the containers. On the local stack services come and go at ports of their own: the exporter passes
-- on (`passed_on`) what they tell, and is asked every second, for an arm may live for no more than three.
M.scrape = {
  { job = "rlab", path = ACTUATOR, every = 1, passed_on = { "exporter", "/actuator/services" },
    { "command", "command:18080" }, { "query", "query:18081" }, { "relay", "relay:18082" },
    { "replay", "replay:18083" }, { "consumer", "consumer:18084" } },
  { job = "exporter", path = ACTUATOR, every = 1, { "exporter", "exporter:18085" } },
  { job = "kafka", { "kafka-1-jmx", "kafka-1:9404" }, { "kafka-2-jmx", "kafka-2:9404" },
    { "kafka-3-jmx", "kafka-3:9404" }, { "controller-jmx", "controller:9404" } },
  { job = "mysql", { "mysqld-exporter", "mysqld-exporter:9104" } },
  { job = "redis", { "redis-exporter", "redis-exporter:9121" } },
  { job = "prometheus", { "prometheus", "localhost:9090" } },
}

return M
