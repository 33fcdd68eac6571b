#!/usr/bin/env bash
# Oracle's libmysqlclient, for make BUILD=build-oracle: Debian sid's packages, whose signatures apt checks, unpacked
# privately with the libraries that they need. They want a newer C library than this machine's, so what is linked with
# them runs under the ld.so that came along. $cache/mysqlclient points at it.
. "$(dirname "$0")/lib.sh"

ready() { [ -f "$cache/mysqlclient/version" ]; }

if ready; then exit 0; fi
take_lock
if ready; then exit 0; fi

. "$root/deps/apt.sh"
private_apt deb
headers=libmysqlclient-dev
library=$(apt-cache depends "$headers" | sed -n 's/^ *Depends: \(libmysqlclient[0-9][^ ]*\)$/\1/p' | head -n 1)
version=$(apt-cache policy "$headers" | sed -n 's/^ *Candidate: \([0-9.]*\)-.*/\1/p')
[ -n "$library" ] && [ -n "$version" ] || die "Debian sid offers no libmysqlclient-dev today"
[ "$(printf '%s\n' "$MYSQL_MIN" "$version" | sort -V | head -n 1)" = "$MYSQL_MIN" ] ||
  die "Debian sid's MySQL client is $version, older than $MYSQL_MIN"

bytes=$(apt-get install --print-uris -y "$library" | awk '/^\x27/ { sum += $3 } END { print int(sum) }')
begin fetch "mysql client $version of Oracle, $(kb $((bytes / 1024))), Debian sid's"
debs=$work/apt-deb/cache/archives
fetch() { apt-get -q -y -d install "$library" && env -C "$debs" apt-get -q download "$headers"; }
# A mirror may have moved on since it handed out its list: then the list is read once more.
fetch_or_again() { fetch || { apt-get -q update && fetch; }; }
run "fetching the mysql client $version" fetch_or_again
ended

tree=$work/mysqlclient
mkdir -p "$tree/root"
for deb in "$debs"/*.deb; do
  case ${deb##*/} in
  libc-gconv* | libc-bin*) ;;
  *) run "unpacking ${deb##*/}" dpkg -x "$deb" "$tree/root" ;;
  esac
done
triplet=$(gcc -print-multiarch)
loader=$(cd "$tree/root" && find . -name 'ld-linux*.so.*' | sort | tail -n 1)
[ -n "$loader" ] || die "the unpacked mysql client $version has no dynamic loader"
ln -s "${loader#./}" "$tree/root/ld.so"
run "looking into the mysql client $version" test -f "$tree/root/usr/include/mysql/mysql.h" \
  -a -e "$tree/root/usr/lib/$triplet/libmysqlclient.so"
echo "$version" >"$tree/version"
rm -rf "$cache/mysqlclient-$version"
mv -T "$tree" "$cache/mysqlclient-$version"
ln -sfnT "mysqlclient-$version" "$cache/mysqlclient"
