#!/usr/bin/env bash
# Builds the programs of clients/ into $cache/clients: client libraries of Kafka, their versions pinned by go.mod and old.mod, their
# bytes by go.sum and old.sum. What cannot be built here is missing there, and the arms that want it are not run: exit 1.
. "$(dirname "$0")/../deps/lib.sh"

build() { # PROGRAM PACKAGE MODFILE MODULE
  local version
  version=$(sed -nE "s#^(require)?[[:space:]]*$4 v##p" "$root/clients/$3" | head -n 1)
  begin build "$1, $4 $version"
  attempt env -C "$root/clients" GOFLAGS= GOTOOLCHAIN=local go build -mod=readonly -modfile="$3" -trimpath -buildvcs=false \
    -o "$work/$1" "./$2"
  if [ $status -ne 0 ]; then
    rm -f "$cache/clients/$1"
    printf '\n'
    open_line=
    note note "$1 is not built: $(grep -vm 1 "^go: downloading" "$work/log")"
    missing="$missing $1"
    return 0
  fi
  mv "$work/$1" "$cache/clients/$1"
  ended
}

PATH=$PATH:/usr/local/go/bin
take_lock
mkdir -p "$cache/clients"
missing=
if ! has go; then
  rm -f "$cache/clients/"*
  die "no Go found, so franz-go and sarama are not built and their arms not run; install $(sed -n 's/^go /Go /p' "$root/clients/go.mod") or newer"
fi
build franz-go franz go.mod github.com/twmb/franz-go
build franz-go-old franz old.mod github.com/twmb/franz-go
build sarama sarama go.mod github.com/IBM/sarama
[ -z "$missing" ] || die "not built:$missing; their arms are not run"
