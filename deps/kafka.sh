#!/usr/bin/env bash
# Kafka's own jars by Maven, each checked against deps/kafka.lock. `kafka.sh --lock` writes that file anew,
# `kafka.sh --licences` prints each jar's name, version and licence.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/maven.sh"

jars kafka "$KAFKA_VERSION" "$KAFKA_KB" \
  "$(dependency org.apache.kafka "kafka_$KAFKA_SCALA" "$KAFKA_VERSION"; dependency org.apache.logging.log4j log4j-slf4j-impl "$LOG4J_VERSION")" "${1:-}"
