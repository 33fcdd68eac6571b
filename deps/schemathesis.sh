#!/usr/bin/env bash
# schemathesis.sh: asks running services what docs/openapi says of them, by Schemathesis.
# SERVICES="command=http://127.0.0.1:18080 query=http://127.0.0.1:18081" names them; their servers are up, so that no 5xx is
# right. EXAMPLES (100) of each operation, SEED (7). Failpoints are left alone: an expression that was made up might kill.
. "$(dirname "$0")/lib.sh"

[ -n "${SERVICES:-}" ] || die 'name the running services: make schemathesis SERVICES="command=http://127.0.0.1:18080"'
for service in $SERVICES; do
  [ -f "$root/docs/openapi/${service%%=*}.json" ] || die "'$service': a service and its URL, such as command=http://127.0.0.1:18080"
done
python=$("$root/deps/python.sh" schemathesis)
work=$(mktemp -d) failed=0
cd "$work"
for service in $SERVICES; do
  "${python%/*}/schemathesis" run "$root/docs/openapi/${service%%=*}.json" --url "${service#*=}" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-100}" --seed "${SEED:-7}" \
    --exclude-path-regex '^/failpoints' --generation-database none --no-color || failed=1
done
told=1 # by what it wrote
exit $failed
