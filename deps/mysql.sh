#!/usr/bin/env bash
# A MySQL server: the machine's own if it is new enough; else Debian sid's (deps/sid.sh), with bin/mysqld and bin/mysql.
# $cache/mysql points at it.
. "$(dirname "$0")/lib.sh"
. "$root/deps/sid.sh"

# prints the version of a mysqld on this machine that is new enough (MariaDB's is not MySQL)
system_mysqld() {
  local bin line version
  bin=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v mysqld) || return 1
  line=$("$bin" --version 2>/dev/null) || return 1
  case $line in *MariaDB*) return 1 ;; esac
  version=$(sed -n 's/.* Ver \([0-9][0-9.]*\).*/\1/p' <<<"$line")
  newer "$MYSQL_MIN" "$version" || return 1
  echo "$version"
}

if system_mysqld >/dev/null || sid_ready mysql mysqld; then exit 0; fi
take_lock
if sid_ready mysql mysqld || sid_kept mysql; then exit 0; fi

. "$root/deps/apt.sh"
private_apt deb
version=$(sid_candidate mysql-server-core "$MYSQL_MIN")
sid_download mysql "$version" "mysql-server-core mysql-client-core"
SID_VERSION_FLAGS="--no-defaults --version" sid_unpack mysql "$version" sbin/mysqld bin/mysql
