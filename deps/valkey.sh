#!/usr/bin/env bash
# A Valkey server, for E-010's slot that moves in one step: the machine's own if it is new enough; else Debian sid's
# (deps/sid.sh), its packages checked against deps/pins.sh where they are the pinned ones. $cache/valkey points at it.
. "$(dirname "$0")/lib.sh"
. "$root/deps/sid.sh"

system_valkey() {
  local bin version
  bin=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v valkey-server) || return 1
  version=$("$bin" --version 2>/dev/null | sed -n 's/.* v=\([0-9.]*\) .*/\1/p')
  [ -n "$version" ] && newer "$VALKEY_MIN" "$version"
}

if system_valkey || sid_ready valkey valkey-server; then exit 0; fi
take_lock
if sid_ready valkey valkey-server || sid_kept valkey; then exit 0; fi

. "$root/deps/apt.sh"
private_apt deb
version=$(sid_candidate valkey-server "$VALKEY_MIN")
sid_download valkey "$version" valkey-server
if [ "$version" = "$VALKEY_VERSION" ] && [ "$(dpkg --print-architecture)" = amd64 ]; then
  verify "$(find "$work/apt-deb/cache/archives" -name 'valkey-tools_*.deb')" "$VALKEY_SHA256"
else
  note valkey "$version is not the pinned $VALKEY_VERSION for amd64: the archive's signature is its check"
fi
sid_unpack valkey "$version" bin/valkey-server
