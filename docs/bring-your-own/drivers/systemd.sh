#!/bin/sh
# systemd.sh ACT HOST UNIT: a fault driver for a server that systemd runs on another machine, over ssh. kill: SIGKILL, and
# a stop behind it, so that Restart= does not bring it back before rlab asks for it. freeze needs cgroup v2.
set -eu
act=$1 host=$2 unit=$3

there() { ssh -o BatchMode=yes -o ConnectTimeout=5 "$host" "$1"; }

case $act in
kill) there "sudo -n systemctl kill --signal=KILL '$unit' && sudo -n systemctl stop '$unit'" ;;
terminate) there "sudo -n systemctl stop '$unit'" ;;
start) there "sudo -n systemctl reset-failed '$unit'; sudo -n systemctl start '$unit'" ;;
freeze) there "sudo -n systemctl freeze '$unit'" ;;
thaw) there "sudo -n systemctl thaw '$unit'" ;;
*)
    echo "systemd.sh does not know how to $act" >&2
    exit 64
    ;;
esac
