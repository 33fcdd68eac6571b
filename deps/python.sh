#!/usr/bin/env bash
# python.sh [schemathesis | kubernetes]: a Python environment of its own with the client libraries of docs/bring-your-own/python and of
# specs that have an independent reader, in the cache of make deps; with "schemathesis" one for make schemathesis, with
# "kubernetes" one for make k8s-lint (deps/lint/kubernetes.lock).
# Prints the path of its python. pip checks each file against deps/pins.sh; of confluent-kafka the wheel of one platform is
# pinned, elsewhere, and for schemathesis, against the index's checksums only. --requirements prints what pip is told.
. "$(dirname "$0")/lib.sh"

wanted="$PYTHON_KAFKA $PYTHON_MYSQL $PYTHON_REDIS" home=$cache/python
lock=$root/deps/lint/kubernetes.lock
[ "${1:-}" != schemathesis ] || wanted=$PYTHON_SCHEMATHESIS home=$cache/python-schemathesis
[ "${1:-}" != kubernetes ] || wanted=$(sed 's/ .*//' "$lock" | tr '\n' ' ') home=$cache/python-kubernetes

platform() { python3 -c 'import platform, sys; print("cp%d%d-%s" % (*sys.version_info[:2], platform.machine()))'; }

requirements() { # what redis needs on an older Python is among them, as hashes are asked of all or of none
  if [ "${home##*/}" = python-kubernetes ] && [ "$(platform)" = "$PYTHON_KAFKA_WHEEL" ]; then
    cat "$lock"
    return
  fi
  if [ "${home##*/}" != python ] || [ "$(platform)" != "$PYTHON_KAFKA_WHEEL" ]; then
    printf '%s\n' $wanted
    return
  fi
  printf '%s --hash=sha256:%s\n' "$PYTHON_KAFKA" "$PYTHON_KAFKA_SHA256" "$PYTHON_MYSQL" "$PYTHON_MYSQL_SHA256" \
    "$PYTHON_REDIS" "$PYTHON_REDIS_SHA256" "$PYTHON_TIMEOUT" "$PYTHON_TIMEOUT_SHA256"
}

if [ "${1:-}" = --requirements ]; then requirements; exit 0; fi

ready() { [ -x "$home/bin/python" ] && [ "$(cat "$home/wanted" 2>/dev/null)" = "$wanted" ]; }

if ! ready; then
  has python3 || die "python3 is missing: apt-get install python3 python3-venv"
  python3 -c 'import venv, ensurepip' 2>/dev/null || die "python3 has no venv: apt-get install python3-venv"
  take_lock
  if ! ready; then
    begin fetch "$wanted" >&2
    rm -rf "$home"
    run "making a Python environment" python3 -m venv "$home"
    requirements >"$work/requirements"
    run "pip install $wanted" "$home/bin/pip" install -q --only-binary :all: -r "$work/requirements"
    echo "$wanted" >"$home/wanted"
    ended >&2
  fi
fi
echo "$home/bin/python"
