#!/usr/bin/env bash
# lint.sh: the rules of the house as tests, in TAP. A rule that is broken shows where.
cd "$(dirname "$0")/../.." || exit 1
count=0 failed=0

# rule TEXT COMMAND...: holds when the command prints nothing and succeeds
rule() {
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

tracked() { git ls-files -- "$@" 2>/dev/null || find "$@" -type f; }
c_files() { tracked engine spec/unit/c spec/fuzz spec/hostile bench | grep '\.[ch]$'; }
lua_files() { tracked lua experiments clients spec deps bench | grep '\.lua$'; }

format() { c_files | xargs -r clang-format --dry-run -Werror 2>&1 | sed -n 's/: error: .*//p' | sort -t: -u -k1,1; }
luacheck_quiet() { lua_files | xargs -r luacheck -q --codes --no-color | grep '^ .*:[0-9]' || true; }
shell_syntax() { tracked deps .ci bench clients spec | grep -E '\.sh$|^\.ci/run$' | xargs -r -n 1 bash -n; }
lua_stays_in_bind() {
  c_files | grep '^engine/' | grep -v '^engine/bind/' | xargs -r grep -nE '#include *[<"](lua|lauxlib|lualib|lua\.h)[^"]*[>"]'
  true
}
wide() { "$@" | LC_ALL=C.UTF-8 xargs -r grep -nE '^.{111,}' | cut -c 1-100; } # in characters, not bytes
full_folders() { # docs/experiments has a page for each experiment
  tracked engine lua spec deps bench clients docs | grep -v '^docs/experiments/' | awk '{ sub("/[^/]*$", ""); n[$0]++ } END { for (f in n) if (n[f] > 25) print f ": " n[f] " files" }'
}
circles() {
  "${MAKE:-make}" --no-print-directory -s -j"$(nproc)" BUILD=build all >/dev/null && lua5.4 deps/lint/circles.lua deps/lint/circles.allow
}
picture() {
  local drawn
  drawn=$(mktemp) && lua5.4 deps/lint/graph.lua "$drawn" && cmp -s "$drawn" docs/images/engine.svg ||
    echo "docs/images/engine.svg is old; run: lua5.4 deps/lint/graph.lua docs/images/engine.svg"
  rm -f "$drawn"
}
short_stories() { tracked experiments clients | grep '\.lua$' | xargs -r wc -l | awk '$2 != "total" && $1 > 199 { print $2 ": " $1 " lines" }'; }
short_files() { { c_files; lua_files; } | xargs -r wc -l | awk '$2 != "total" && $1 > 500 { print $2 ": " $1 " lines" }'; }
machine_paths() {
  { c_files; lua_files; tracked Makefile deps .ci | grep -v '\.lock$'; } | sort -u |
    xargs -r grep -nE '(^|[^a-z$}])/(work|root|home)/' | grep -v '^deps/lint/lint.sh:'
  true
}
unfinished() { { c_files; lua_files; } | xargs -r grep -nE '\b(TODO|FIXME|XXX)\b'; true; }
exits() { tracked engine | grep '\.c$' | grep -v '^engine/main\.c$' | xargs -r grep -nE '(^|[^_a-zA-Z.>])exit\('; true; }

rule "C is formatted (make format mends it)" format
rule "luacheck is content" luacheck_quiet
rule "shell scripts parse" shell_syntax
rule "only engine/bind includes lua.h" lua_stays_in_bind
rule "only engine/main.c exits" exits
rule "docs/images/engine.svg is what engine/ includes" picture
rule "no file is longer than 500 lines" short_files
rule "an experiment is a story of at most 200 lines" short_stories
rule "no line of C is longer than 110 columns" wide c_files
rule "no folder holds more than 25 files" full_folders
rule "C files of a folder use each other in no circle but those of deps/lint/circles.allow" circles
rule "no paths of one machine" machine_paths
rule "nothing is marked as unfinished" unfinished
echo "1..$count"
[ $failed -eq 0 ]
