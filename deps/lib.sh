# Shared by the scripts in deps/: where things live, how a step is told, and how a download becomes trusted.
# A script sources this file, takes the lock, works in $work and renames what is finished into $cache.
set -euo pipefail
unset MAKEFLAGS MFLAGS MAKELEVEL
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rlab
# shellcheck source=deps/pins.sh
. "$root/deps/pins.sh"

die() {
  [ -z "${open_line:-}" ] || printf '\n'
  printf 'rlab: %s\n' "$*" >&2
  told=1
  exit 1
}

# No script ends badly without a word, and none leaves its work folder behind.
leave() {
  local status=$?
  [ -z "${work:-}" ] || rm -rf "$work"
  [ $status -eq 0 ] || [ -n "${told:-}" ] || printf '\nrlab: %s ended early (status %d)\n' "$0" $status >&2
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# begin VERB TEXT ... ended: one line a step, with the seconds it took. Where scripts run side by side
# (RLAB_TOGETHER) no line stays open: what takes long is said when it begins, too.
begin() {
  step=$2 began=${EPOCHREALTIME/./}
  if [ -n "${RLAB_TOGETHER:-}" ]; then
    note "$1" "$2"
  else
    open_line=1
    printf '  %-7s %-62s' "$1" "$2"
  fi
}

ended() {
  local us=$((${EPOCHREALTIME/./} - began)) lead=
  [ -n "${open_line:-}" ] || lead=$(printf '  %-7s %-62s' "done" "$step")
  printf '%s%5d.%d s\n' "$lead" $((us / 1000000)) $((us / 100000 % 10))
  open_line=
}

note() { printf '  %-7s %s\n' "$1" "$2"; }

kb() { awk -v k="$1" 'BEGIN { if (k < 1000) printf "%d kB", k; else printf "%.1f MB", k / 1024 }'; }

# attempt COMMAND...: its output goes to $work/log, how it ended to $status. Bash forgets `set -e` within what stands
# before && or ||, so the caller asks $status.
attempt() {
  set +e
  (set -e; "$@") >"$work/log" 2>&1 </dev/null
  status=$?
  set -e
}

# run TEXT COMMAND...: keeps a command's output for the day it fails, then shows where and the last lines.
run() {
  local what=$1 status
  shift
  attempt "$@"
  [ $status -ne 0 ] || return 0
  cp "$work/log" "$cache/failed.log"
  printf '\n'
  tail -n 12 "$work/log" | sed 's/^/    | /' >&2
  open_line=
  die "$what failed; the whole output is in $cache/failed.log"
}

verify() {
  local got
  got=$(sha256sum "$1" | cut -d' ' -f1)
  [ "$got" = "$2" ] || die "checksum of ${1##*/} differs: expected $2, got $got; nothing was kept"
}

# take_lock [NAME]: only one fetch of a kind at a time on a machine; $work is on the cache's file system, so that a rename
# is atomic.
take_lock() {
  mkdir -p "$cache" || die "cannot write to $cache; set XDG_CACHE_HOME to a folder of yours"
  exec 9>"$cache/.lock${1:+-$1}"
  flock -n 9 || { note wait "for another make that is fetching"; flock 9; }
  work=$(mktemp -d "$cache/.work.XXXXXX")
}

has() { command -v "$1" >/dev/null 2>&1; }
