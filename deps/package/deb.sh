#!/usr/bin/env bash
# package/deb.sh OUT: writes a Debian package of the rlab that is built, by dpkg-deb alone. What it depends on is what dpkg-shlibdeps finds
# in the program; files are dated by the commit, so that one commit makes one package.
. "$(dirname "$0")/../lib.sh"
has dpkg-shlibdeps || die "dpkg-shlibdeps is missing; run: deps/packages.sh package"
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$root"
[ -x rlab ] || die "there is no ./rlab; run: make"
work=$(mktemp -d)
deb=$work/root doc=$work/root/usr/share/doc/rlab
version=$(sed -n 's/^return "\(.*\)"/\1/p' lua/rlab/version.lua)
arch=$(dpkg --print-architecture)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
maintainer=${DEB_MAINTAINER:-rlab maintainers <rlab@example.org>}
synopsis="scriptable reliability lab for Kafka, MySQL and Redis"

begin deb "rlab $version for $arch"
umask 022
make -s install DESTDIR="$deb" PREFIX=/usr ZSH_COMPLETION=zsh/vendor-completions >"$work/log"
strip --remove-section=.comment --remove-section=.note "$deb/usr/bin/rlab"
gzip -9n "$deb/usr/share/man/man1/rlab.1"
chmod +x "$deb"/usr/share/rlab/deps/*.sh
chmod -x "$deb"/usr/share/rlab/deps/{lib,pins,apt,sid,maven}.sh # sourced, never run
find "$doc" -type f -exec chmod -x {} +
rm "$doc/LICENSE"

# The licences of what is linked statically, as they were fetched with the sources.
for library in librdkafka hiredis hdrhistogram; do
  for folder in $(sed -n 's/^DEP_FILES := //p' build/deps.mk | tr ' ' '\n' | grep "/$library-" | sed 's|/lib/[^/]*$||'); do
    find "$folder" -maxdepth 1 \( -name 'LICENSE*' -o -name 'COPYING*' \) -print0 | sort -z | xargs -0 tail -n +1 --quiet >>"$doc/linked.txt"
  done
done
[ -s "$doc/linked.txt" ] || die "no licence of librdkafka, hiredis and HdrHistogram_c was found; run make clean, make deps"
cat >"$doc/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: rlab

Files: *
Copyright: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y) the rlab authors
License: Apache-2.0
 On Debian systems the text of the Apache License 2.0 is in
 /usr/share/common-licenses/Apache-2.0.
Comment:
 The program contains librdkafka, hiredis and HdrHistogram_c: their licences are
 in /usr/share/doc/rlab/linked.txt. THIRD-PARTY.md there names all that rlab
 links and runs.
END
printf 'rlab (%s) unstable; urgency=medium\n\n  * The commits of the repository say what has changed.\n\n -- %s  %s\n' \
  "$version" "$maintainer" "$(date -uR -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"

mkdir -p "$work/source/debian" "$deb/DEBIAN"
printf 'Source: rlab\nMaintainer: %s\n\nPackage: rlab\nArchitecture: any\n' "$maintainer" >"$work/source/debian/control"
depends=$(cd "$work/source" && dpkg-shlibdeps -O --ignore-missing-info "$deb/usr/bin/rlab" 2>>"$work/log" | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || die "dpkg-shlibdeps found nothing: $(tail -n 1 "$work/log")"
cat >"$deb/DEBIAN/control" <<END
Package: rlab
Version: $version
Architecture: $arch
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude DEBIAN "$deb" | cut -f1)
Depends: $depends
Recommends: redis-server, default-jre-headless, maven, ca-certificates
Section: utils
Priority: optional
Description: $synopsis
 Runs failure experiments on real brokers, a real database and a real cache,
 shows the wrong practice failing and the right practice holding, and proves
 both from what the stores contain afterwards.
 .
 "rlab fetch" gets the servers, "rlab up" starts them, "rlab E-012" runs an
 experiment.
END
(cd "$deb" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$deb/DEBIAN/md5sums"
find "$deb" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz -b "$deb" "$out/rlab_${version}_$arch.deb" >>"$work/log"
ended
note wrote "${out#"$root"/}/rlab_${version}_$arch.deb"
