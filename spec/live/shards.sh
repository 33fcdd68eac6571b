#!/usr/bin/env bash
# shards.sh: the same experiments with the same seed, once in one piece and once as SHARDS=4 parts, each a process of its own with a
# stack of its own (home and ports); the parts are merged, and each arm must have the outcome that it has in the whole, each
# check the same finding. Exits with 1 where one has not, or where `rlab merge` ends otherwise than the whole.
#   EXPERIMENTS="E-004 ..." SEED=7 · AT_ONCE=4 parts at a time (a stack takes 2.5 GB) · PORT_BASE=23000: each stack 900 above the last
#   DIR=FOLDER keeps the runs there; else they are gone when nothing differs
# Only processes that rlab started are stopped, by `rlab down` of these stacks.
set -u
cd "$(dirname "$0")/../.." || exit 1
SHARDS=${SHARDS:-4} SEED=${SEED:-7} AT_ONCE=${AT_ONCE:-4} PORT_BASE=${PORT_BASE:-23000}
EXPERIMENTS=${EXPERIMENTS:-E-004 E-012 E-024 E-025 E-026 E-027 E-028 E-031}
dir=${DIR:-$(mktemp -d "${TMPDIR:-/tmp}/rlab-shards.XXXXXX")}
mkdir -p "$dir" || exit 1

# on I COMMAND...: with the I-th stack
on() { RLAB_HOME=$dir/stack-$1 RLAB_PORT_BASE=$((PORT_BASE + 900 * ($1 - 1))) "${@:2}"; }
down() { [ ! -d "$dir/stack-$1" ] || on "$1" ./rlab down >/dev/null; }
all_down() { for i in $(seq "$SHARDS"); do down "$i"; done; }
trap 'all_down; exit 130' INT TERM

# part I: its shard, on its stack; the code is written down, as several run at a time
part() {
    # shellcheck disable=SC2086 # words
    on "$1" ./rlab run $EXPERIMENTS --seed "$SEED" --shard "$1/$SHARDS" --runs "$dir/shard-$1" --quiet
    echo $? >"$dir/code-$1"
    [ "$1" = 1 ] || down "$1" # the first goes on with the whole
}

for i in $(seq "$SHARDS"); do
    while [ "$(jobs -rp | wc -l)" -ge "$AT_ONCE" ]; do wait -n; done
    part "$i" &
done
wait
# shellcheck disable=SC2086
on 1 ./rlab run $EXPERIMENTS --seed "$SEED" --runs "$dir/whole" --quiet
whole=$?
all_down
./rlab merge "$dir"/shard-* --into "$dir/merged" --quiet
merged=$?

printf '\n  exit codes   parts %s   merged %s   whole %s\n\n' "$(cat "$dir"/code-* | paste -sd ' ')" "$merged" "$whole"
lua5.4 spec/live/shards.lua "$dir/whole" "$dir/merged" "$dir"/shard-*
differs=$?
[ "$merged" = "$whole" ] || differs=1
if [ $differs = 0 ] && [ -z "${DIR:-}" ]; then rm -rf "$dir"; else echo "  the runs are in $dir"; fi
exit $differs
