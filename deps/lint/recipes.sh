#!/usr/bin/env bash
# recipes.sh: replays docs/extending.md in a copy of the tree, in TAP: its patches apply, the copy builds, their tests pass.
cd "$(dirname "$0")/../.." || exit 1
copy=$(mktemp -d "${TMPDIR:-/tmp}/rlab-recipes.XXXXXX") || exit 1
trap 'rm -rf "$copy"' EXIT
count=0 failed=0

step() { # TEXT COMMAND...
  local text=$1 out
  shift
  count=$((count + 1))
  if out=$("$@" 2>&1); then echo "ok $count - recipes: $text"; return; fi
  failed=$((failed + 1))
  echo "not ok $count - recipes: $text"
  tail -n 25 <<<"$out" | sed 's/^/# /'
}

patches() { awk '/^```diff$/ { on = 1; next } /^```$/ { on = 0 } on' docs/extending.md; }
apply() { patches | (cd "$copy" && GIT_CEILING_DIRECTORIES=$(dirname "$copy") git apply -p1 -); }
build() { "${MAKE:-make}" -C "$copy" -s -j"$(nproc)" all; }
document() { (cd "$copy" && ./rlab api --write); }
tests() { (cd "$copy" && ./rlab busted spec/unit/recipe_*_spec.lua spec/unit/docs/api_spec.lua spec/unit/docs/services_spec.lua); }
explained() { (cd "$copy" && ./rlab explain experiments/E-900.lua | grep -q 'never-sent'); }

git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$copy"
cp -a build rlab "$copy/" # what is built already is not built again
step "the patches apply" apply
step "the tree builds with them" build
step "docs/api.md and docs/services.md are written anew" document
step "their tests pass" tests
step "the experiment can be explained" explained
echo "1..$count"
[ $failed -eq 0 ]
