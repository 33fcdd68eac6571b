#!/usr/bin/env bash
# A MySQL server: the machine's own if it is new enough; else Debian sid's, unpacked privately and run by its own
# ld.so (bin/mysqld and bin/mysql do that), kept as a tarball beside it too. $cache/mysql points at it.
. "$(dirname "$0")/lib.sh"

# prints the version of a mysqld on this machine that is new enough (MariaDB's is not MySQL)
system_mysqld() {
  local bin line version
  bin=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v mysqld) || return 1
  line=$("$bin" --version 2>/dev/null) || return 1
  case $line in *MariaDB*) return 1 ;; esac
  version=$(sed -n 's/.* Ver \([0-9][0-9.]*\).*/\1/p' <<<"$line")
  [ "$(printf '%s\n' "$MYSQL_MIN" "$version" | sort -V | head -n 1)" = "$MYSQL_MIN" ] || return 1
  echo "$version"
}

ready() { [ -x "$cache/mysql/bin/mysqld" ] && [ -f "$cache/mysql/version" ]; }

if system_mysqld >/dev/null || ready; then exit 0; fi
take_lock
if ready; then exit 0; fi

# keep DIR: makes a finished tree the one in use
keep() {
  local version
  version=$(cat "$1/version")
  rm -rf "$cache/mysql-$version"
  mv -T "$1" "$cache/mysql-$version"
  ln -sfnT "mysql-$version" "$cache/mysql"
}

tarball=$(find "$cache" -maxdepth 1 -name 'mysql-*.tar.zst' | sort -V | tail -n 1)
if [ -n "$tarball" ] && (cd "$cache" && sha256sum --status -c "$tarball.sha256" 2>/dev/null); then
  begin unpack "${tarball##*/}, kept from an earlier fetch"
  mkdir "$work/mysql"
  run "unpacking $tarball" tar --zstd -xf "$tarball" -C "$work/mysql"
  keep "$work/mysql"
  ended
  exit 0
fi

. "$root/deps/apt.sh"
private_apt deb
packages="mysql-server-core mysql-client-core"
candidate=$(apt-cache policy mysql-server-core | sed -n 's/^ *Candidate: //p')
version=${candidate%%-*}
version=${version#*:}
[[ $version =~ ^[0-9.]+$ ]] || die "Debian sid offers no mysql-server-core today; install a mysqld >= $MYSQL_MIN yourself"
[ "$(printf '%s\n' "$MYSQL_MIN" "$version" | sort -V | head -n 1)" = "$MYSQL_MIN" ] ||
  die "Debian sid's MySQL is $version, older than $MYSQL_MIN; install a newer mysqld yourself"

bytes=$(apt-get install --print-uris -y $packages | awk '/^\x27/ { sum += $3 } END { print int(sum) }')
begin fetch "mysql $version, $(kb $((bytes / 1024))), Debian sid's packages"
# A mirror may have moved on since it handed out its list: then the list is read once more.
download() { apt-get -q -y -d install $packages || { apt-get -q update && apt-get -q -y -d install $packages; }; }
run "fetching mysql $version" download
ended

begin unpack "mysql $version, and pack it for the next time"
tree=$work/mysql
mkdir -p "$tree/root" "$tree/bin"
for deb in "$work"/apt-deb/cache/archives/*.deb; do
  case ${deb##*/} in
  perl* | libperl* | libgdbm* | libdb5* | libc-gconv*) ;;
  *) run "unpacking ${deb##*/}" dpkg -x "$deb" "$tree/root" ;;
  esac
done
echo "$version" >"$tree/version"
triplet=$(gcc -print-multiarch)
loader=$(cd "$tree" && find root -name 'ld-linux*.so.*' | sort | tail -n 1)
[ -n "$loader" ] || die "the unpacked mysql $version has no dynamic loader"
for program in sbin/mysqld bin/mysql; do
  cat >"$tree/bin/${program#*bin/}" <<END
#!/bin/sh
here=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
exec "\$here/$loader" --library-path "\$here/root/usr/lib/$triplet" "\$here/root/usr/$program" "\$@"
END
  chmod +x "$tree/bin/${program#*bin/}"
done
run "starting mysql $version once" "$tree/bin/mysqld" --no-defaults --version
run "packing mysql $version" tar --zstd -cf "$work/mysql.tar.zst" -C "$tree" .
(cd "$work" && sha256sum mysql.tar.zst | sed "s/mysql\.tar\.zst/mysql-$version.tar.zst/") >"$work/sum"
mv "$work/sum" "$cache/mysql-$version.tar.zst.sha256"
mv "$work/mysql.tar.zst" "$cache/mysql-$version.tar.zst"
keep "$tree"
ended
