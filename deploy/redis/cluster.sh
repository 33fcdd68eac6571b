#!/bin/sh
# cluster.sh PORT...: makes a Redis Cluster of six nodes on this container's 127.0.0.1, three primaries with a replica each,
# unless they are one already, and stays: the nodes share this container's network, which publishes their ports.
set -eu
nodes=
for port; do
  until [ "$(redis-cli -p "$port" ping 2>/dev/null)" = PONG ]; do sleep 0.2; done
  nodes="$nodes 127.0.0.1:$port"
done
if ! redis-cli -p "$1" cluster info | grep -q 'cluster_state:ok'; then
  redis-cli --cluster create $nodes --cluster-replicas 1 --cluster-yes
fi
exec tail -f /dev/null
