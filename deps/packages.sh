#!/usr/bin/env bash
# packages.sh [LIST...]: installs the distribution's packages that are missing, with apt: those of the lists build, test and
# serve, or of some of them, or of browser or package. With nothing missing it touches no network.
. "$(dirname "$0")/lib.sh"

build="gcc libc6-dev pkg-config lua5.4 liblua5.4-dev libuv1-dev libmicrohttpd-dev libcjson-dev libavro-dev libcurl4-openssl-dev
  default-libmysqlclient-dev libmariadb3 libedit-dev libutf8proc-dev libssl-dev zlib1g-dev libzstd-dev lua-argparse zstd ca-certificates"
test="lua-busted lua-check libcmocka-dev clang-format docker-compose"
serve="redis-server"
browser="chromium"
package="mandoc zsh fish lintian dpkg-dev"

java_major() { java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1; }
major=$(has java && java_major || true)
[ "${major:-0}" -ge 17 ] || serve="$serve default-jre-headless"
has mvn || serve="$serve maven"

has npm || browser="$browser nodejs npm"

has dpkg-query || { note skip "no dpkg here: taking the packages of deps/packages.sh as given"; exit 0; }

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p' | sort -u)
wanted=$(for list in "${@:-build test serve}"; do for name in $list; do echo "${!name}"; done; done)
missing=$(tr -s ' \n' '\n' <<<"$wanted" | sort -u | comm -23 - <(echo "$installed") | sed '/^$/d' | tr '\n' ' ')
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
  if has sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then sudo="sudo"; else
    die "packages are missing and this user may not install them; ask root for: apt-get install --no-install-recommends ${missing% }"
  fi
fi

take_lock
options="-y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300"
begin apt "the list of packages"
run "apt-get update" $sudo apt-get -q update
ended
bytes=$(apt-get install --print-uris $options $missing 2>/dev/null | awk '/^\x27/ { sum += $3 } END { print int(sum) }')
[ "$(wc -w <<<"$missing")" -le 3 ] && names=${missing% } || names="$(wc -w <<<"$missing") packages"
begin apt "$names and what they need, $(kb $((bytes / 1024)))"
run "installing $names" $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install $options $missing
ended
