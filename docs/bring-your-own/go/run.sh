#!/bin/sh
# run.sh PROGRAM: builds a program of this folder (Go says at once when nothing has changed) and runs it; with --build it builds only.
# Versions are pinned by go.mod, bytes by go.sum.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${XDG_CACHE_HOME:-$HOME/.cache}/rlab/bring-your-own-go
PATH=$PATH:/usr/local/go/bin
command -v go >/dev/null || { echo "no Go found: install $(sed -n 's/^go /Go /p' "$here/go.mod") or newer" >&2; exit 69; }
mkdir -p "$out"
env -C "$here" GOFLAGS= GOTOOLCHAIN=local go build -mod=readonly -trimpath -buildvcs=false -o "$out/$1.$$" "./$1"
mv "$out/$1.$$" "$out/$1"
[ "${2:-}" = --build ] || exec "$out/$1"
