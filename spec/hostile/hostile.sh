#!/usr/bin/env bash
# hostile.sh: the services and the proxy, built with AddressSanitizer and UBSan, get COUNT connections of mutated
# captures (storm.c): HTTP requests at every HTTP server of ours; Kafka, MySQL and Redis through the proxy. Ends
# with a line of figures; exits with 1 after a crash, a sanitizer's report, a descriptor that stays open, an answer
# of 500 or a server that answers no more. SEED draws all of it.
#   COUNT=4000 SEED=1 SERVERS=yes spec/hostile/hostile.sh
#   SERVERS=yes: the services work on the stack of RLAB_HOME (started where none runs), in a schema of their own,
#   and the proxy stands before its servers. SERVERS=no: what stands behind both answers with mutated captures too.
set -u
cd "$(dirname "$0")/../.." || exit 1
unset MAKEFLAGS MFLAGS MAKELEVEL
export COUNT=${COUNT:-4000} SEED=${SEED:-1} SERVERS=${SERVERS:-yes}
make=${MAKE:-make}
"$make" --no-print-directory -s -j"${JOBS:-$(nproc)}" BUILD=build-asan all || exit 1
"$make" --no-print-directory -s -j"${JOBS:-$(nproc)}" BUILD=build all build/hostile/storm || exit 1
REPORTS=$(mktemp -d "${TMPDIR:-/tmp}/rlab-hostile.XXXXXX") || exit 1
export REPORTS
trap 'rm -rf "$REPORTS"' EXIT
./rlab busted -o TAP spec/hostile/hostile_spec.lua
code=$?
for report in "$REPORTS"/report.*; do
  [ -e "$report" ] || continue
  code=1
  echo "a sanitizer's report:"
  head -n 60 "$report" | sed 's/^/    | /'
done
cat "$REPORTS/figures" 2>/dev/null || code=1
exit "$code"
