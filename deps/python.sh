#!/usr/bin/env bash
# python.sh [schemathesis]: a Python environment of its own with the client libraries of docs/bring-your-own/python and of
# specs that have an independent reader, in the cache of make deps; with "schemathesis" one for make schemathesis.
# Prints the path of its python. pip checks each file against the index's checksum.
. "$(dirname "$0")/lib.sh"

wanted="$PYTHON_KAFKA $PYTHON_MYSQL $PYTHON_REDIS" home=$cache/python
[ "${1:-}" != schemathesis ] || wanted=$PYTHON_SCHEMATHESIS home=$cache/python-schemathesis
ready() { [ -x "$home/bin/python" ] && [ "$(cat "$home/wanted" 2>/dev/null)" = "$wanted" ]; }

if ! ready; then
  has python3 || die "python3 is missing: apt-get install python3 python3-venv"
  python3 -c 'import venv, ensurepip' 2>/dev/null || die "python3 has no venv: apt-get install python3-venv"
  take_lock
  if ! ready; then
    begin fetch "$wanted" >&2
    rm -rf "$home"
    run "making a Python environment" python3 -m venv "$home"
    # shellcheck disable=SC2086
    run "pip install $wanted" "$home/bin/pip" install -q --only-binary :all: $wanted
    echo "$wanted" >"$home/wanted"
    ended >&2
  fi
fi
echo "$home/bin/python"
