#!/usr/bin/env bash
# soak.sh: in turn, for as long as is asked: experiments on a machine that is disturbed, the pipeline while its
# services are killed and frozen, hunts of right arms. A verdict that is wrong (a right arm violated or broken, a
# wrong arm that did not fail, a script error) is what must not come; inconclusive with its reason may. Needs a
# stack: it is brought up where none runs. Prints a table and the track record of the arms; exits with 1 when a
# verdict was wrong. A run as predicted leaves no folder, every other one does.
#   HOURS=2 or MINUTES=8: until then · COUNT=1: instead, so many of each · SEED=1 · PARTS="verdicts services hunts"
#   verdicts: EXPERIMENTS="E-001 ..." KINDS="none rlab child server kill cpu0 hogs", each pair before any comes again
#     none: nothing is done · rlab, child, server: that process, drawn by the seed, is stopped (SIGSTOP) for 1 to 8 s
#     kill: a server gets SIGKILL · cpu0: rlab and its children have one processor · hogs: two busy loops
#   services: SERVICE_MINUTES=2 of spec/soak/pipeline.lua · hunts: HUNTS="E-031:lease ..." BUDGET=60s
# Only processes that rlab started are stopped or killed, each by its pid.
set -u
cd "$(dirname "$0")/../.." || exit 1
SEED=${SEED:-1} PARTS=${PARTS:-verdicts services hunts}
KINDS=${KINDS:-none rlab child server kill cpu0 hogs} SERVICE_MINUTES=${SERVICE_MINUTES:-2} BUDGET=${BUDGET:-60s}
EXPERIMENTS=${EXPERIMENTS:-$(./rlab list --json | sed -n 's/.*"id": "\(.*\)".*/\1/p')}
HUNTS=${HUNTS:-E-001:lease E-001:versioned E-002:outbox E-003:relay-crash-dedup E-004:store-after-work
    E-031:lease E-031:version}
LOG=${LOG:-$(mktemp -d "${TMPDIR:-/tmp}/rlab-soak.XXXXXX")}
RANDOM=$SEED
mkdir -p "$LOG" || exit 1

say() { printf '%s\n' "$*" >&2; }

seconds=$(awk -v h="${HOURS:-0}" -v m="${MINUTES:-0}" 'BEGIN { printf "%d", h * 3600 + m * 60 }')
[ "$seconds" -gt 0 ] || [ -n "${COUNT:-}" ] || seconds=480

# millis FROM TO: a drawn number of seconds, such as 3.271
millis() { printf '%d.%03d' $(($1 + RANDOM % ($2 - $1))) $((RANDOM % 1000)); }

servers() { ./rlab status --json | tr -d ' \n' | tr '{' '\n' | grep '"server":' | sed -n 's/.*"pid":\([0-9]*\).*/\1/p'; }
children() { ps -o pid= --ppid "$1" 2>/dev/null; }

# one_of PID...: a drawn one
one_of() {
    local list=("$@")
    [ ${#list[@]} -gt 0 ] && echo "${list[$((RANDOM % ${#list[@]}))]}"
}

# victim KIND PID-OF-RLAB
victim() {
    case $1 in
    rlab) echo "$2" ;;
    child) one_of $(children "$2") ;;
    server | kill) one_of $(servers) ;;
    esac
}

# hurt KIND PID-OF-RLAB MOMENT SECONDS -> what was done; fails, with the reason, when nothing was
hurt() {
    sleep "$3"
    local pid name
    kill -0 "$2" 2>/dev/null || { echo "over before $3 s"; return 1; }
    pid=$(victim "$1" "$2")
    [ -n "$pid" ] || { echo "no $1 to hurt at $3 s"; return 1; }
    name=$(tr '\0' ' ' <"/proc/$pid/cmdline" | grep -o 'service [a-z]*\|role [^ ]* [a-z]*\|mysqld\|redis-server\|kafka.Kafka\|run E-[0-9]*\|serve' | head -1)
    if [ "$1" = kill ]; then
        kill -KILL "$pid" || { echo "${name:-$pid} had gone at $3 s"; return 1; }
        echo "SIGKILL of ${name:-$pid} at $3 s"
        return
    fi
    kill -STOP "$pid" || { echo "${name:-$pid} had gone at $3 s"; return 1; }
    sleep "$4"
    kill -CONT "$pid"
    echo "${name:-$pid} stopped at $3 s for $4 s"
}

verdict_of() {
    case $1 in
    0) echo predicted ;;
    3) echo inconclusive ;;
    69) echo unreachable ;;
    *) echo WRONG ;;
    esac
}

# note WHAT KIND CODE DID WHY: a line of the table
note() {
    local verdict
    verdict=$(verdict_of "$3")
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$verdict" "$3" "$4" "$5" >>"$LOG/table"
    say "$1 $2: $verdict ($3) · $4 · ${5:0:160}"
}

# tidy CODE NAME: what was as predicted leaves no folder
tidy() { [ "$1" != 0 ] || [ -z "$2" ] || rm -rf "$LOG/runs/${2:?}"; }

# name and sentence of the last run
name_of_last() { sed -n 's/^    "name": "\(E-[^"]*\/[^"]*\)",*$/\1/p' "$LOG/last.json" | head -1; }
why_of_last() { sed -n 's/^  "sentence": "\(.*\)",*$/\1/p' "$LOG/last.json" | grep . || tail -1 "$LOG/last.err"; }

# once KIND EXPERIMENT SEED
once() {
    local kind=$1 experiment=$2 seed=$3 at long front=() hogs=() did hurt=yes
    at=$(millis 1 12) long=$(millis 1 8)
    [ "$kind" = cpu0 ] && front=(taskset -c 0)
    if [ "$kind" = hogs ]; then
        for _ in 1 2; do
            (while :; do :; done) &
            hogs+=($!)
        done
    fi
    "${front[@]}" ./rlab run "$experiment" --seed "$seed" --json --runs "$LOG/runs" >"$LOG/last.json" 2>"$LOG/last.err" &
    local pid=$!
    case $kind in
    none | cpu0 | hogs) did=$kind ;;
    *) did=$(hurt "$kind" "$pid" "$at" "$long") || hurt=no ;;
    esac
    wait "$pid"
    local code=$?
    [ ${#hogs[@]} -gt 0 ] && kill "${hogs[@]}" && wait "${hogs[@]}" 2>/dev/null
    tidy "$code" "$(name_of_last)"
    [ $hurt = no ] && [ "$code" = 0 ] && { say "$experiment $kind: $did"; return; }
    note "$experiment" "$kind" "$code" "seed $seed, $did" "$(why_of_last)"
}

# services SEED: the pipeline for some minutes
services() {
    ./rlab run spec/soak/pipeline.lua --set "minutes=$SERVICE_MINUTES" --seed "$1" --json --runs "$LOG/runs" \
        >"$LOG/last.json" 2>"$LOG/last.err"
    local code=$?
    tidy "$code" "$(name_of_last)"
    note pipeline services "$code" "seed $1" "$(why_of_last)"
}

# a_hunt EXPERIMENT:ARM SEED: nothing may break a right arm; what broke one is kept, and so is what was tried
a_hunt() {
    local dir="$LOG/hunt/${1/:/-}-$2" code
    ./rlab hunt "${1%%:*}" --arm "${1#*:}" --budget "$BUDGET" --seed "$2" --runs "$dir" >"$LOG/last.out" 2>&1
    code=$?
    note "${1/:/ }" hunt "$code" "seed $2" "$(sed -n 's/^ *\(covered\|not hunted\) *//p' "$LOG/last.out" | head -1)"
    if [ $code = 0 ]; then rm -rf "$dir"; else cp "$LOG/last.out" "$dir/said"; fi
}

# ---- in turn ----

shuffled() { while read -r line; do printf '%05d %s\n' $RANDOM "$line"; done | sort | cut -d ' ' -f 2-; }

# list PART ROUND: its turns, in an order drawn by the seed
list() {
    case $1 in
    verdicts) for kind in $KINDS; do for experiment in $EXPERIMENTS; do echo "$kind $experiment"; done; done ;;
    services) echo pipeline ;;
    hunts) for hunt in $HUNTS; do echo "$hunt"; done ;;
    esac | (RANDOM=$((SEED * 1000 + $2)) && shuffled)
}

declare -A rounds=()
# next_of PART: the next of its turns, in $turn; fails when it has had its rounds
next_of() {
    local file=$LOG/$1.turns n=${rounds[$1]:-0}
    if [ ! -s "$file" ]; then
        [ "$seconds" -gt 0 ] || [ "$n" -lt "$COUNT" ] || return 1
        list "$1" "$n" >"$file"
        rounds[$1]=$((n + 1))
    fi
    turn=$(head -n 1 "$file") && sed -i 1d "$file"
}

# go PART: one of its turns
go() {
    local turn seed
    next_of "$1" || return 1
    seed=$((SEED + rounds[$1] - 1))
    case $1 in
    verdicts) once $turn "$seed" ;;
    services) services "$seed" ;;
    hunts) a_hunt "$turn" "$seed" ;;
    esac
}

in_time() { [ "$seconds" -eq 0 ] || [ $SECONDS -lt "$seconds" ]; }

for part in $PARTS; do
    case $part in verdicts | services | hunts) ;; *) say "PARTS are verdicts, services and hunts, not '$part'" && exit 1 ;; esac
done
./rlab up >/dev/null || exit 1
: >"$LOG/table"
SECONDS=0 went=yes
while [ $went = yes ]; do
    went=no
    for part in $PARTS; do
        # A verdict is short beside the others.
        for _ in 1 $([ "$part" != verdicts ] || seq 5); do
            in_time && go "$part" && went=yes || break
        done
    done
done

echo
awk -F'\t' '{ n[$2]++; v[$2 "/" $3]++; total[$3]++; all++; if ($3 != "predicted") why[$2 ": " $6]++ }
    END {
        printf "%-8s %6s %10s %13s %12s %6s\n", "kind", "runs", "predicted", "inconclusive", "unreachable", "WRONG"
        for (k in n) printf "%-8s %6d %10d %13d %12d %6d\n", k, n[k], v[k "/predicted"], v[k "/inconclusive"],
            v[k "/unreachable"], v[k "/WRONG"]
        printf "%-8s %6d %10d %13d %12d %6d\n", "all", all, total["predicted"], total["inconclusive"],
            total["unreachable"], total["WRONG"]
        if (length(why) > 0) print "\nnot as predicted, with the reason:"
        for (w in why) printf "%4d  %s\n", why[w], substr(w, 1, 220)
    }' "$LOG/table"
if [ -d "$LOG/runs" ]; then echo && ./rlab record --runs "$LOG/runs"; fi
rm -f "$LOG"/last.* "$LOG"/*.turns
echo "seed $SEED, $((SECONDS / 60)) minutes; what was not as predicted lies in $LOG"
! grep -q '	WRONG	' "$LOG/table"
