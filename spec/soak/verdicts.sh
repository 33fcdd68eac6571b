#!/usr/bin/env bash
# verdicts.sh: experiments on a machine that is disturbed, again and again. A verdict that is wrong (a right arm
# violated, a wrong arm that did not fail, a script error) is what must not come; inconclusive with its reason
# may. Needs a stack: it is brought up where none runs. Prints a table; exits with 1 when a verdict was wrong.
#   COUNT=1 SEED=1 EXPERIMENTS="E-001 ..." KINDS="rlab child server kill cpu0 hogs" spec/soak/verdicts.sh
#   rlab, child, server: that process, drawn by the seed, is stopped (SIGSTOP) for 1 to 8 s at a drawn moment
#   kill: a server gets SIGKILL then · cpu0: rlab and its children have one processor · hogs: two busy loops
# Only processes that rlab started are stopped or killed, each by its pid.
set -u
cd "$(dirname "$0")/../.." || exit 1
COUNT=${COUNT:-1} SEED=${SEED:-1} KINDS=${KINDS:-rlab child server kill cpu0 hogs}
EXPERIMENTS=${EXPERIMENTS:-$(./rlab list --json | sed -n 's/.*"id": "\(.*\)".*/\1/p')}
LOG=${LOG:-$(mktemp -d "${TMPDIR:-/tmp}/rlab-soak.XXXXXX")}
RANDOM=$SEED
mkdir -p "$LOG" || exit 1

say() { printf '%s\n' "$*" >&2; }

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

# once KIND EXPERIMENT SEED
once() {
    local kind=$1 experiment=$2 seed=$3 at long front=() hogs=() did hurt=yes
    local out="$LOG/$experiment-$kind-$seed"
    at=$(millis 1 12) long=$(millis 1 8)
    [ "$kind" = cpu0 ] && front=(taskset -c 0)
    if [ "$kind" = hogs ]; then
        for _ in 1 2; do
            (while :; do :; done) &
            hogs+=($!)
        done
    fi
    "${front[@]}" ./rlab run "$experiment" --seed "$seed" --json --runs "$LOG/runs" >"$out.json" 2>"$out.err" &
    local pid=$!
    case $kind in
    cpu0 | hogs) did=$kind ;;
    *) did=$(hurt "$kind" "$pid" "$at" "$long") || hurt=no ;;
    esac
    wait "$pid"
    local code=$?
    [ ${#hogs[@]} -gt 0 ] && kill "${hogs[@]}" && wait "${hogs[@]}" 2>/dev/null
    local why
    why=$(sed -n 's/^  "sentence": "\(.*\)",*$/\1/p' "$out.json" | head -1)
    [ -n "$why" ] || why=$(tail -1 "$out.err")
    [ $hurt = no ] && [ "$code" = 0 ] && { say "$experiment $kind: $did"; return; }
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$experiment" "$kind" "$(verdict_of "$code")" "$code" "$did" "$why" \
        >>"$LOG/table"
    say "$experiment $kind seed $seed: $(verdict_of "$code") ($code) · $did · ${why:0:160}"
}

./rlab up >/dev/null || exit 1
: >"$LOG/table"
for ((i = 0; i < COUNT; i++)); do
    for kind in $KINDS; do
        for experiment in $EXPERIMENTS; do once "$kind" "$experiment" $((SEED + i)); done
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
echo "seed $SEED, $COUNT of each; everything lies in $LOG"
! grep -q '	WRONG	' "$LOG/table"
