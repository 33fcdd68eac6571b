#!/usr/bin/env bash
# Checks over ten million ids.
set -eu
echo "bag: checks over ${RLAB_BENCH_IDS:-10000000} ids"
"${BUILD:-build}/bench/bag" "${RLAB_BENCH_IDS:-10000000}"
