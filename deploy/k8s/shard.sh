#!/bin/bash
# shard.sh SHARDS WORDS...: `rlab WORDS...` as one pod of an Indexed Job of so many: its index says which part, and its runs stand
# in $RESULTS/shard-I. A verdict, whichever it is, is no failure of the pod: the merge tells it. Anything else is, and is tried again.
[ $# -ge 2 ] || { echo "shard.sh: how many shards, and what is to be run? shard.sh 4 run all" >&2; exit 64; }
shards=$1 part=$((${JOB_COMPLETION_INDEX:?an Indexed Job sets it} + 1))
shift
rlab "$@" --shard "$part/$shards" --runs "${RESULTS:-/results}/shard-$part"
code=$?
[ $code -gt 4 ] || exit 0
exit $code
