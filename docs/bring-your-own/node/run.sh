#!/bin/sh
# run.sh PROGRAM: puts what package-lock.json names into rlab's cache once (npm checks each against its integrity hash, no script of a package is
# run), and runs PROGRAM.js of this folder; with --build it installs only.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${XDG_CACHE_HOME:-$HOME/.cache}/rlab/bring-your-own-node
command -v node >/dev/null && command -v npm >/dev/null || { echo "no Node found: install nodejs (18 or newer) and npm" >&2; exit 69; }
mkdir -p "$out"
if ! cmp -s "$here/package-lock.json" "$out/installed"; then
  cp "$here/package.json" "$here/package-lock.json" "$out"
  npm ci --prefix "$out" --ignore-scripts --no-audit --no-fund --silent >&2
  cp "$here/package-lock.json" "$out/installed"
fi
[ "${2:-}" = --build ] || NODE_PATH=$out/node_modules exec node "$here/$1.js"
