#!/usr/bin/env bash
# browser.sh COMMAND...: runs COMMAND with what the browser's specs need. Chromium and Node.js are the distribution's
# (deps/packages.sh browser); playwright-core and axe-core come through npm into build/browser, checked against package-lock.json.
set -eu
cd "$(dirname "$0")/../.."
deps/packages.sh browser
home=build/browser
mkdir -p "$home"
if ! cmp -s spec/browser/package-lock.json "$home/installed"; then
  cp spec/browser/package.json spec/browser/package-lock.json "$home/"
  npm ci --silent --ignore-scripts --no-audit --no-fund --prefix "$home"
  cp spec/browser/package-lock.json "$home/installed"
fi
export RLAB_NODE_MODULES=$PWD/$home/node_modules
RLAB_CHROMIUM=${RLAB_CHROMIUM:-$(command -v chromium)}
export RLAB_CHROMIUM
exec "$@"
