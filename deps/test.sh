#!/usr/bin/env bash
# test.sh TIER...: runs tiers (unit asan tsan tsan-live apicheck oracle lint live console many observe secure drivers
# drawn mutants hunt-mutants packages), each test speaking TAP, and sums them up.
# Closes with what was skipped and what failed, then "N passed, N failed"; a tier that could not run counts as one failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0 skipped=0
tmp=${TMPDIR:-/tmp}
scratch=$(mktemp -d "$tmp/rlab-test.XXXXXX")
export TMPDIR=$scratch/tmp
mkdir "$TMPDIR"
make=${MAKE:-make}
unset MAKEFLAGS MFLAGS MAKELEVEL

seconds() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", to - from }'; }

# tap LABEL LIMIT COMMAND...: runs a command that speaks TAP. What fails is shown in full as it happens; with
# SHOW=1 each passed test is named too. A command that dies or says nothing counts as one failed test.
tap() {
  local label=$1 limit=$2 began=$EPOCHREALTIME log=$scratch/log status ok bad planned told
  shift 2
  timeout -k 10 "$limit" "$@" </dev/null 2>&1 | tee "$log" | awk -v show="${SHOW:-0}" '
    function say(text) { print "    " text; fflush() }
    /^ok [0-9]+ - # SKIP/ { bad = 0; say("skipped " $0); next }
    /^ok [0-9]/ { bad = 0; if (show) { sub(/^ok [0-9]+ - /, ""); say($0) } next }
    /^not ok / { bad = 1; say("FAILED " $0); next }
    /^1\.\.[0-9]|^# (not )?ok - / { bad = 0; next }
    bad || /^#|ERROR|runtime error|Sanitizer|rlab:/ { say($0) }'
  status=${PIPESTATUS[0]}
  ok=$(grep '^ok [0-9]' "$log" | grep -vc '# SKIP') bad=$(grep -c '^not ok [0-9]' "$log")
  planned=$(sed -n 's/^1\.\.\([0-9][0-9]*\)$/\1/p' "$log" | awk '{ n += $1 } END { print NR ? n : -1 }')
  told=$(grep -cE '^(not )?ok [0-9]' "$log")
  if [ "$told" -ne "$planned" ] || [ "$told" -eq 0 ] || { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
    bad=$((bad + 1))
    [ "$status" -ne 124 ] || echo "    it did not end within $limit s"
    echo "    FAILED $label ended with status $status after $told tests; its last lines:"
    tail -n 25 "$log" | sed 's/^/    | /'
  fi
  passed=$((passed + ok)) failed=$((failed + bad))
  skipped=$((skipped + $(grep -c '^ok [0-9]* - # SKIP' "$log")))
  [ "$bad" -eq 0 ] || { grep '^not ok' "$log" || echo "not ok - $label"; } | sed "s/^not ok [0-9]* *- /$tier: /" >>"$scratch/failed"
  printf '  %-9s %-44s %5d passed  %d failed  %s\n' "$tier" "$label" "$ok" "$bad" "$(seconds "$began")"
}

broken() {
  failed=$((failed + 1))
  printf '  %-9s %-44s could not run\n' "$tier" "$1" | tee -a "$scratch/failed"
}

build() { # BUILD
  local log=$scratch/build began=$EPOCHREALTIME
  if ! "$make" --no-print-directory -j"$(nproc)" BUILD="$1" all tests >"$log" 2>&1; then
    tail -n 30 "$log" | sed 's/^/    | /'
    broken "make BUILD=$1"
    grep -E 'error:|^rlab: ' "$log" | head -n 5 | sed 's/^/    | /' >>"$scratch/failed"
    return 1
  fi
  ! grep -q '^  cc' "$log" || printf '  %-9s %-44s %s\n' "$tier" "built $(grep -c '^  cc' "$log") files" "$(seconds "$began")"
}

# ThreadSanitizer writes what it finds into files, so that no child's report gets lost. First a race made on purpose: were it
# not found, the silence that follows would mean nothing.
under_tsan() { # COMMAND...
  export TSAN_OPTIONS="log_path=$scratch/race exitcode=66 suppressions=$PWD/spec/tsan.supp"
  if build build-tsan && "$make" --no-print-directory -s BUILD=build-tsan build-tsan/fixture/race; then
    build-tsan/fixture/race
    [ $? -eq 66 ] && ls "$scratch"/race.* >/dev/null 2>&1 || broken "a race made on purpose was not found"
    rm -f "$scratch"/race.*
    "$@"
    races
  fi
  unset TSAN_OPTIONS
}

# The services' threads at work: where they meet servers, and one another.
FLOWS=${FLOWS:-relay consumer query cache cache_cluster load command services_kill}
tsan_live() {
  local name list=()
  for name in $FLOWS; do list+=("spec/live/service/${name}_spec.lua"); done
  program=build-tsan/rlab
  live "${list[@]}"
  program=./rlab
}

races() {
  local report
  for report in "$scratch"/race.*; do
    [ -e "$report" ] || continue
    head -n 60 "$report" | sed 's/^/    | /'
    failed=$((failed + 1))
    printf '  %-9s %-44s FAILED\n' "$tier" "no race in process ${report##*.}" | tee -a "$scratch/failed"
  done
}

specs() { [ -n "$(find "$@" -name '*_spec.lua' 2>/dev/null)" ]; }

unit() { # BUILD PROGRAM [lua-only]
  local t
  build "$1" || return 0
  if [ "${3:-}" != lua-only ]; then
    for t in spec/unit/c/*/test_*.c spec/fuzz/*.c; do
      [ -e "$t" ] || continue
      case $t in spec/fuzz/*) t=fuzz_${t##*/} ;; *) t=${t##*/} ;; esac
      CMOCKA_MESSAGE_OUTPUT=TAP tap "${t%.c}" 120 "$1/test/${t%.c}"
    done
  fi
  if specs spec/unit; then tap "spec/unit" "${limit:-600}" "$2" busted -o TAP spec/unit; fi
}

# Sets RLAB_PORT_BASE to a block of ports (room for two stacks) that nobody listens on and no other test run has taken,
# below the ephemeral range. The lock on descriptor 8 holds as long as this script or a server that it started lives.
free_block() {
  local base used
  used=$(awk 'FNR > 1 && $4 == "0A" { split($2, a, ":"); print a[2] }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  for _ in $(seq 100); do
    base=$((20000 + RANDOM % 30 * 400))
    exec 8>"$tmp/rlab-ports-$base.$(id -u).lock" && flock -n 8 || continue
    awk -v base=$base '{ p = 0; for (i = 1; i <= 4; i++) p = p * 16 + index("0123456789ABCDEF", substr($1, i, 1)) - 1
                         if (p >= base && p < base + 400) exit 1 }' <<<"$used" && { RLAB_PORT_BASE=$base; return; }
  done
  return 1
}

# Every process of the test stack was started with its RLAB_HOME in the environment.
left_behind() {
  local p
  for p in /proc/[0-9]*; do
    ! grep -qzxF "RLAB_HOME=$1" "$p/environ" 2>/dev/null || echo "${p#/proc/}"
  done
}

program=./rlab
up=up
# What specs are told of the stack; a secure one says it by its file.
addresses() {
  [ "$up" != "up --secure" ] || return 0
  eval "$($program env 2>>"$scratch/up")" || return 1
  export RLAB_TEST_BROKERS=$KAFKA_BROKERS RLAB_TEST_MYSQL="$MYSQL_HOST:$MYSQL_TCP_PORT $MYSQL_USER $MYSQL_PWD" RLAB_TEST_REDIS=$REDIS_HOST:$REDIS_PORT
}

start_live() { # a stack of our own, by $program
  local began
  free_block || { broken "no free block of ports"; return 1; }
  RLAB_HOME=$scratch/home
  export RLAB_HOME RLAB_PORT_BASE
  mkdir -p "$RLAB_HOME"
  began=$EPOCHREALTIME
  if ! { timeout 300 $program $up </dev/null >"$scratch/up" 2>&1 && addresses; }; then
    sed 's/^/    | /' "$scratch/up"
    broken "rlab up"
    return 1
  fi
  printf '  %-9s %-44s %s\n' "$tier" "$(sed -n 's/^ *stack *//; T; s/  .*//; p' "$scratch/up" | tail -n 1)" "$(seconds "$began")"
}

live() { # SPECS... on a stack of their own, by $program
  local specs
  if start_live; then
    SHOW=1
    for specs in "$@"; do tap "$specs" 3600 $program busted -o TAP "$specs"; done
    SHOW=0
  fi
  stop_live
}

# Mechanisms broken one at a time, in a copy: the words are those of deps/mutants.lua. A stack is started when a judge
# needs one; the copy is the tree's, and one run at a time makes it. JOBS of them share the catalogue, each on a stack of
# its own and in a process group of its own, so that Ctrl-C reaches what it started.
mutants() { # WORDS...
  exec 7>"$tmp/rlab-mutants.$(cksum <<<"$PWD" | cut -d ' ' -f 1).lock"
  flock -n 7 || { broken "another run of the mutants in this tree"; return 0; }
  build build || return 0
  case " $* " in
  *" --list "*) lua5.4 deps/mutants.lua "$@" && passed=$((passed + 1)) ;;
  *" --tap "*) stack_for "$@" && SHOW=1 tap "spec/mutants" 3600 lua5.4 deps/mutants.lua "$@" ;;
  *) mutants_beside "${JOBS:-2}" "$@" && passed=$((passed + 1)) || failed=$((failed + 1)) ;;
  esac
  stop_live
}

stack_for() { ! lua5.4 deps/mutants.lua --needs-stack "$@" >/dev/null || start_live; }

# The same mechanisms broken, and nobody told: what a hunt finds of it. COUNT SEED BUDGET
hunt_mutants() {
  build build || return 0
  start_live && lua5.4 deps/mutants/hunt.lua --count "${COUNT:-10}" --seed "${SEED:-1}" --budget "${BUDGET:-60s}" ${ONE:+--only "$ONE"} \
    && passed=$((passed + 1)) || failed=$((failed + 1))
  stop_live
}

# Of a run that is cut off the answers are kept until one of the same tree has come to its end.
mutants_beside() { # JOBS WORDS...
  local i jobs=$1 taken=$scratch/taken kept
  shift
  mkdir "$taken"
  kept=build/mutants.$( (git rev-parse HEAD; git diff HEAD; echo "$*") | cksum | cut -d ' ' -f 1)
  [ ! -s "$kept" ] || echo "  mutants   goes on: $(wc -l <"$kept") answers are kept in $kept"
  set -m
  for i in $(seq "$jobs"); do
    (
      scratch=$scratch/worker-$i
      mkdir "$scratch"
      trap stop_live EXIT
      trap 'exit 130' INT TERM HUP
      stack_for "$@" && lua5.4 deps/mutants.lua --worker "$i" --workers "$jobs" --taken "$taken" --kept "$kept" "$@"
      touch "$taken/done.$i" "$taken/over.$i" # also of one that was cut off: the others wait for it
    ) &
  done
  set +m
  wait
  lua5.4 deps/mutants.lua --sum --taken "$taken" --kept "$kept" "$@"
}

# Down, then a look whether a process that carries this RLAB_HOME is left.
stop_live() {
  local home=$scratch/home left
  [ -d "$home" ] || return 0
  timeout 60 $program down --force >"$scratch/down" 2>&1 </dev/null || { cat "$scratch/down"; broken "rlab down"; }
  left=$(left_behind "$home")
  [ -z "$left" ] || { kill -9 $left; broken "processes left behind: $(echo $left)"; }
  rm -rf "$home"
}

finish() {
  local group
  for group in $(jobs -p); do kill -TERM -- "-$group" 2>/dev/null; done
  wait
  stop_live
  rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

for tier in "$@"; do
  case $tier in
  unit) unit build ./rlab ;;
  asan) unit build-asan build-asan/rlab ;;
  tsan) limit=1200 under_tsan unit build-tsan build-tsan/rlab ;;
  tsan-live) under_tsan tsan_live ;;
  oracle)
    unit build-oracle build-oracle/rlab
    program=build-oracle/rlab
    live spec/live/store/mysql*_spec.lua
    program=./rlab
    ;;
  apicheck) unit build-apicheck build-apicheck/rlab lua-only ;;
  lint)
    tap "rules of the house" 300 deps/lint/lint.sh
    tap "docs/extending.md" 300 deps/lint/recipes.sh
    ;;
  packages)
    if build build; then
      deps/package/deb.sh "$scratch/deb" && tap "packages" 300 deps/package/lint.sh "$scratch"/deb/*.deb || broken "make deb"
    fi
    ;;
  live) if build build; then live spec/live spec/transcript; fi ;;
  console) if build build; then live spec/browser; fi ;;
  many) if build build; then live spec/soak; fi ;;
  observe)
    up="up --observe"
    if build build; then live spec/observe; fi
    up=up
    ;;
  secure)
    up="up --secure"
    if build build; then live spec/secure; fi
    up=up
    ;;
  drivers) if build build; then live spec/drivers; fi ;;
  drawn) mutants --tap --draw 5 ;;
  mutants) mutants ${MUTANTS:-} ;;
  hunt-mutants) hunt_mutants ;;
  *) broken "no such tier: $tier" ;;
  esac
done
echo
[ ! -s "$scratch/failed" ] || { echo "what failed:"; sed 's/^ */  /' "$scratch/failed"; echo; }
[ "$skipped" -eq 0 ] || printf '%d skipped, each with its reason above\n\n' "$skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
