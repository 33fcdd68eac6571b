#!/bin/sh
# plain.sh RLAB ACT SERVER: a fault driver for a plain stack of rlab, as if it were somebody's own.
set -eu
rlab=$1 act=$2 server=$3
pid() {
    "$rlab" status | awk -v server="$server" '$1 == server { print $3 }'
}
case $act in
kill) kill -KILL "$(pid)" ;;
terminate) kill -TERM "$(pid)" ;;
freeze) kill -STOP "$(pid)" ;;
thaw) kill -CONT "$(pid)" ;;
start) "$rlab" up "${server%%-*}" ;;
esac
