#!/bin/sh
# run.sh RELAY [--build]: builds a relay of this folder, debezium or watermill, once, and runs it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rlab
out=$cache/bring-your-own-outbox

debezium() {
  [ -d "$cache/debezium/libs" ] || "$here/../../../deps/debezium.sh" >&2
  [ "$out/Relay.class" -nt "$here/debezium/Relay.java" ] ||
    javac -nowarn -cp "$cache/debezium/libs/*" -d "$out" "$here/debezium/Relay.java" >&2
  [ "${1:-}" = --build ] || exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx256m -cp "$out:$cache/debezium/libs/*" Relay
}

watermill() {
  PATH=$PATH:/usr/local/go/bin
  command -v go >/dev/null || { echo "no Go found: install $(sed -n 's/^go /Go /p' "$here/watermill/go.mod") or newer" >&2; exit 69; }
  env -C "$here/watermill" GOFLAGS= GOTOOLCHAIN=local go build -mod=readonly -trimpath -buildvcs=false -o "$out/watermill.$$" .
  mv "$out/watermill.$$" "$out/watermill"
  [ "${1:-}" = --build ] || exec "$out/watermill"
}

mkdir -p "$out"
relay=$1
shift
case $relay in
  debezium | watermill) "$relay" "$@" ;;
  *) echo "run.sh: debezium or watermill, not '$relay'" >&2; exit 64 ;;
esac
