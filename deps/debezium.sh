#!/usr/bin/env bash
# Debezium's embedded engine with its MySQL connector, the peer of `make bench ARGS="relay --java"`: jars by Maven, each checked against
# deps/debezium.lock. No part of `make deps`: the bench asks for it. `debezium.sh --lock` writes the lock file anew, `debezium.sh --licences` prints
# each jar's name, version and licence.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/maven.sh"

jars debezium "$DEBEZIUM_VERSION" "$DEBEZIUM_KB" "$(
  dependency io.debezium debezium-api "$DEBEZIUM_VERSION"
  dependency io.debezium debezium-embedded "$DEBEZIUM_VERSION"
  dependency io.debezium debezium-connector-mysql "$DEBEZIUM_VERSION"
)" "${1:-}"
