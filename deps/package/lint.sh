#!/usr/bin/env bash
# package/lint.sh [DEB]: what `make install` and `make deb` put on a machine, asked of the tools that read it, in TAP: the man page
# of mandoc, the completions of their shells, the Homebrew formula of ruby where there is one, and the package of lintian.
cd "$(dirname "$0")/../.." || exit 1
rlab=${RLAB:-./rlab} count=0 failed=0
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT

# holds TEXT COMMAND...: the command prints nothing and succeeds
holds() {
  local text=$1 out status
  shift
  count=$((count + 1))
  out=$("$@" 2>&1)
  status=$?
  if [ -z "$out" ] && [ $status -eq 0 ]; then echo "ok $count - $text"; return; fi
  failed=$((failed + 1))
  echo "not ok $count - $text"
  sed 's/^/# /' <<<"${out:-status $status}" | head -n 40
}

# completes SHELL: its script parses, and is more than a word
completes() { "$rlab" completion "$1" >"$folder/$1" && [ -s "$folder/$1" ] && "$1" -n "$folder/$1"; }
page() { "$rlab" man >"$folder/rlab.1" && [ -s "$folder/rlab.1" ] && mandoc -Tlint -W style "$folder/rlab.1"; }
formula() { ruby -c deploy/homebrew/rlab.rb | grep -v '^Syntax OK$'; [ "${PIPESTATUS[0]}" -eq 0 ]; }

holds "mandoc takes rlab.1 without a word" page
for shell in bash zsh fish; do holds "$shell takes its completion" completes $shell; done
if command -v ruby >/dev/null; then holds "ruby takes the formula" formula; fi
if [ -n "${1:-}" ]; then holds "lintian takes ${1##*/}" lintian --no-cfg --allow-root --fail-on error,warning --tag-display-limit 0 "$1"; fi
echo "1..$count"
[ $failed -eq 0 ]
