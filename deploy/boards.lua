-- The dashboards, each a title and its panels; deploy/grafana.lua makes Grafana's JSON of them. A panel is
--   { "title", unit, {query, "legend"}, ... }; a query of recorded names is in deploy/prometheus/rules.yml.
local function rate(metric, by, window)
  return ("sum by (%s) (rate(%s[%s]))"):format(by or "instance", metric, window or "1m")
end

local function quantile(q, metric, by)
  return ("histogram_quantile(%s, sum by (%s, le) (rate(%s_bucket[1m])))"):format(q, by or "instance", metric)
end

local function latency(title, metric)
  return { title, "s", { quantile("0.5", metric), "{{instance}} p50" },
    { quantile("0.95", metric), "{{instance}} p95" }, { quantile("0.99", metric), "{{instance}} p99" } }
end

-- what every service has, of the one that `service` names
local function common(service)
  local of = ('* on (instance) group_left () (rlab_service_info{service="%s"})'):format(service)
  return { "Memory", "bytes", { "process_resident_memory_bytes " .. of, "{{instance}}" } },
    { "Processor", "percentunit", { "rate(process_cpu_seconds_total[1m]) " .. of, "{{instance}}" } }
end

local function board(uid, title, panels, more)
  local b = { uid = uid, title = title, panels = panels }
  for key, value in pairs(more or {}) do b[key] = value end
  return b
end

local function with_common(service, panels)
  for _, panel in ipairs { common(service) } do panels[#panels + 1] = panel end
  return panels
end

local pipeline = {
  { "Consumer lag", "short",
    { "sum by (consumergroup, topic) (kafka_consumergroup_lag)", "{{consumergroup}} {{topic}} offsets" },
    { 'sum by (consumergroup, topic) (rlab_kafka_consumergroup_lag{definition="readable"})',
      "{{consumergroup}} {{topic}} records" },
    { "max by (consumergroup, topic) (rlab_kafka_consumergroup_lag_seconds)",
      "{{consumergroup}} {{topic}} seconds", right = "s" } },
  { "Outbox: backlog and age", "short", { "rlab_relay_backlog", "{{instance}} rows" },
    { "rlab_relay_oldest_unsent_seconds", "{{instance}} oldest", right = "s" } },
  { "Dead letters", "ops", { "rlab:dlq:rate1m", "{{instance}} parked" },
    { rate "rlab_consumer_retried_total", "{{instance}} retried" },
    { rate "rlab_replay_replayed_total", "{{instance}} replayed" } },
  { "Cache: hits and misses", "ops",
    { rate("cache_gets_total", "application, cache, result"), "{{cache}} {{result}}" },
    { "rlab:cache_hit:ratio_rate1m", "{{instance}} hit ratio", right = "percentunit" } },
  { "Database: queries and connections", "ops",
    { "rate(mysql_global_status_queries[1m])", "queries" },
    { "mysql_global_status_threads_connected", "connections", right = "short" },
    { "sum by (application, db_client_connection_state) (db_client_connection_count)",
      "{{application}} {{db_client_connection_state}}", right = "short" },
    { "mysql_global_status_threads_running", "running", right = "short" } },
  { "Latency: p95 and p99", "s", { "rlab:http:p95_rate1m", "{{instance}} p95" },
    { "rlab:http:p99_rate1m", "{{instance}} p99" }, { "rlab:query:p95_rate1m", "{{instance}} reads p95" },
    { "rlab:query:p99_rate1m", "{{instance}} reads p99" } },
}

local command = with_common("command", {
  { "Entries", "ops",
    { rate("rlab_command_entries_total", "instance, outcome"), "{{instance}} {{outcome}}" } },
  { "Requests by status", "ops", { 'sum by (instance, status) (rate(http_server_requests_seconds_count[1m]) \z
    * on (instance) group_left () (rlab_service_info{service="command"}))',
    "{{instance}} {{status}}" } },
  latency("Transaction", "rlab_command_transaction_seconds"),
  { "Connections to MySQL", "short",
    { 'db_client_connection_count{application="command"}', "{{instance}} {{db_client_connection_state}}" },
    { 'db_client_connection_pending_requests{application="command"}', "{{instance}} waits" } },
  { "Reports of the direct modes", "ops",
    { rate("rlab_command_reports_total", "instance, status"), "{{instance}} {{status}}" } },
  { "Cache writes that wait", "short", { "rlab_command_cache_kept", "{{instance}}" } },
})

local relay = with_common("relay", {
  { "Backlog", "short", { "rlab_relay_backlog", "{{instance}}" } },
  { "Oldest unsent event", "s", { "rlab_relay_oldest_unsent_seconds", "{{instance}}" } },
  { "Rows", "ops", { rate "rlab_relay_read_total", "{{instance}} read" },
    { rate "rlab_relay_acked_total", "{{instance}} acknowledged" },
    { rate "rlab_relay_marked_total", "{{instance}} marked" } },
  { "What goes wrong", "ops", { rate "rlab_relay_retries_total", "{{instance}} sent again" },
    { rate "rlab_relay_fenced_total", "{{instance}} fenced" },
    { rate "rlab_relay_parked_total", "{{instance}} never to be sent" },
    { rate "rlab_relay_resets_total", "{{instance}} fresh starts" },
    { rate "rlab_relay_late_total", "{{instance}} committed late" } },
  { "Shards and batches", "short", { "rlab_relay_leases", "{{instance}} shards" },
    { "rlab_relay_in_flight", "{{instance}} batches under way" } },
  latency("A poll that found rows", "rlab_relay_read_seconds"),
  latency("A batch, to its last report", "rlab_relay_ack_seconds"),
  latency("A mark, to its commit", "rlab_relay_mark_seconds"),
})

local consumer = with_common("consumer", {
  { "Lag", "short", { "sum by (instance, topic) (rlab_consumer_lag)", "{{instance}} {{topic}}" } },
  { "Records", "ops", { rate "rlab_consumer_polled_total", "{{instance}} polled" },
    { rate "rlab_consumer_applied_total", "{{instance}} applied" },
    { rate "rlab_consumer_seen_total", "{{instance}} seen before" } },
  { "Failures", "ops", { rate "rlab_consumer_failed_total", "{{instance}} failed" },
    { rate "rlab_consumer_retried_total", "{{instance}} to a retry topic" },
    { rate "rlab_consumer_parked_total", "{{instance}} to the DLQ" },
    { rate "rlab_consumer_passed_over_total", "{{instance}} passed over" } },
  { "Rebalances", "short", { "rlab_consumer_partitions", "{{instance}} partitions" },
    { "increase(rlab_consumer_revoked_total[1m])", "{{instance}} taken away in a minute" },
    { "increase(rlab_consumer_dropped_total[1m])", "{{instance}} records dropped in a minute" } },
  { "Conflicts in MySQL", "ops", { rate "rlab_consumer_deadlocks_total", "{{instance}} deadlocks" },
    { rate "rlab_consumer_lock_waits_total", "{{instance}} lock waits" },
    { rate "rlab_consumer_repeats_total", "{{instance}} transactions again" } },
  { "Invalidations", "ops", { rate "rlab_consumer_invalidated_total", "{{instance}} done" },
    { rate "rlab_consumer_invalidations_failed_total", "{{instance}} failed" } },
  latency("A transaction", "rlab_consumer_transaction_seconds"),
  latency("From a record's timestamp to its commit", "rlab_consumer_delay_seconds"),
  latency("How late retries are", "rlab_consumer_lateness_seconds"),
})

local query = with_common("query", {
  { "Reads by source", "ops",
    { rate("rlab_query_seconds_count", "instance, source"), "{{instance}} {{source}}" } },
  { "Latency", "s", { quantile("0.5", "rlab_query_seconds"), "{{instance}} p50" },
    { "rlab:query:p95_rate1m", "{{instance}} p95" }, { "rlab:query:p99_rate1m", "{{instance}} p99" } },
  { "Hit ratio", "percentunit", { "rlab:cache_hit:ratio_rate1m", "{{instance}}" } },
  { "Loads that were shared", "ops", { rate "rlab_query_joins_total", "{{instance}} joined a load" },
    { rate "rlab_query_lease_waits_total", "{{instance}} waited for another process" },
    { rate "rlab_query_refreshes_total", "{{instance}} refreshed behind the answer" },
    { rate "rlab_query_early_total", "{{instance}} began early" } },
  { "Reads of MySQL", "short", { "rlab_query_db_busy", "{{instance}} under way" },
    { "rlab_query_db_allowed", "{{instance}} allowed" }, { "rlab_query_queued", "{{instance}} queued" } },
  { "What goes wrong", "ops", { rate "rlab_query_refused_total", "{{instance}} refused" },
    { rate "rlab_query_db_errors_total", "{{instance}} of MySQL" },
    { rate "rlab_query_redis_errors_total", "{{instance}} of Redis" },
    { rate "rlab_query_fills_refused_total", "{{instance}} fills that came too late" } },
  { "Breakers", "short", { "rlab_query_breaker_state", "{{instance}} {{need}}" } },
})

local replay = with_common("replay", {
  { "Records", "ops", { rate "rlab_replay_replayed_total", "{{instance}} sent back" },
    { rate "rlab_replay_parked_total", "{{instance}} at their limit" },
    { rate "rlab_replay_skipped_total", "{{instance}} on the skip list" },
    { rate "rlab_replay_failures_total", "{{instance}} failed" } },
  { "Still to be replayed", "short", { "rlab_replay_lag", "{{instance}}" } },
})

local kafka = {
  { "Brokers", "short", { "kafka_brokers", "in the cluster" },
    { "kafka_controller_kafkacontroller_activecontrollercount", "{{instance}} active controller" } },
  { "Replicas", "short",
    { "sum(kafka_topic_partition_under_replicated_partition)", "under-replicated partitions" },
    { "sum(kafka_topic_partition_leader == bool -1)", "partitions without a leader" } },
  { "Records in", "ops", { "rate(kafka_server_brokertopicmetrics_messagesin_total[1m])", "{{instance}}" } },
  { "Bytes", "Bps", { "rate(kafka_server_brokertopicmetrics_bytesin_total[1m])", "{{instance}} in" },
    { "rate(kafka_server_brokertopicmetrics_bytesout_total[1m])", "{{instance}} out" } },
  { "Lag by its three definitions", "short",
    { "sum by (consumergroup, definition) (rlab_kafka_consumergroup_lag)",
      "{{consumergroup}} {{definition}}" } },
  { "Open transactions", "s", { "rlab_kafka_topic_partition_open_transaction_age_seconds > 0",
    "{{topic}}/{{partition}}" } },
  { "Classic groups by state", "short",
    { "sum by (state) (kafka_server_groupcoordinator_classic_groups)", "{{state}}" },
    { "sum(increase(kafka_server_groupcoordinator_group_completed_rebalance_total[1m]))",
      "rebalances in a minute", right = "short" } },
  { "Requests, p99", "ms",
    { 'kafka_network_requestmetrics_totaltimems{quantile="0.99", request=~"Produce|Fetch"}',
      "{{instance}} {{request}}" } },
}

-- What the stores and services show of a fault, as it happens.
local run = {
  { "Services and servers that answer", "short", { "sum by (job) (up)", "{{job}}" } },
  { "Events: written, sent, applied", "ops",
    { 'sum(rate(rlab_command_entries_total[30s]))', "written" },
    { 'sum(rate(rlab_relay_acked_total[30s]))', "sent" },
    { 'sum(rate(rlab_consumer_applied_total[30s]))', "applied" },
    { 'sum(rate(rlab_consumer_seen_total[30s]))', "seen before" } },
  { "What waits", "short", { "sum(rlab_relay_backlog)", "in the outbox" },
    { "sum by (consumergroup) (kafka_consumergroup_lag)", "{{consumergroup}}" } },
  { "In-sync replicas", "short", { "sum by (topic) (kafka_topic_partition_in_sync_replica)", "{{topic}}" } },
  { "Reads by source", "ops", { 'sum by (source) (rate(rlab_query_seconds_count[30s]))', "{{source}}" } },
  { "Alerts", "short", { 'sum by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}" } },
}

local faults = {
  { "a failpoint fired", "red", -- a series begins with the first time: no increase() knows of it
    "increase(rlab_failpoint_fired_total[15s]) > 0 or \z
      (rlab_failpoint_fired_total > 0 unless rlab_failpoint_fired_total offset 15s)",
    "{{instance}} {{failpoint}}" },
  { "a process began", "orange", "time() - process_start_time_seconds < 15", "{{instance}}" },
  { "does not answer", "red", "up == 0", "{{job}} {{instance}}" },
  { "a broker is gone", "red", "kafka_brokers < 3", "{{instance}}" },
  { "a breaker is open", "purple", "rlab_query_breaker_state == 2", "{{instance}} {{need}}" },
}

return {
  board("rlab-pipeline", "rlab: pipeline", pipeline),
  board("rlab-command", "rlab: command service", command),
  board("rlab-relay", "rlab: outbox relay", relay),
  board("rlab-consumer", "rlab: consumer service", consumer),
  board("rlab-query", "rlab: query service", query),
  board("rlab-replay", "rlab: replay worker", replay),
  board("rlab-kafka", "rlab: Kafka", kafka),
  board("rlab-run", "rlab: a run", run, { annotations = faults, from = "now-5m" }),
}
