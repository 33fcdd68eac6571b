# A private apt: Debian's sid, or another release, read through the machine's own mirror, without touching the machine. Sourced, never run.
# apt checks the archive's signature; private_apt leaves APT_CONFIG set, with everything it writes under $work/apt.

# The mirror of the first enabled source that serves this release's main; both formats that apt knows.
debian_mirror() {
  local codename dir=/etc/apt
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
  {
    { cat "$dir"/sources.list "$dir"/sources.list.d/*.list 2>/dev/null || true; } |
      sed -n 's/^ *deb  *\(\[[^]]*\] *\)\{0,1\}//p'
    { cat "$dir"/sources.list.d/*.sources 2>/dev/null || true; } | awk '
      function flush() { if (on && types ~ /(^| )deb( |$)/) print uris, suites, parts; on = 1; types = uris = suites = parts = "" }
      BEGIN { on = 1 }
      /^[ \t]*$/ { flush(); next }
      /^#/ { next }
      { key = tolower($1); sub(/^[^:]*:[ \t]*/, "") }
      key == "types:" { types = $0 }
      key == "uris:" { split($0, w, " "); uris = w[1] }
      key == "suites:" { split($0, w, " "); suites = w[1] }
      key == "components:" { parts = $0 }
      key == "enabled:" && tolower($0) ~ /^(no|false|0)/ { on = 0 }
      END { flush() }'
  } | awk -v release="$codename" '
    $1 !~ /^cdrom:/ && $1 ~ /debian\/?$/ && ($2 == release || $2 == "stable" || $2 == "sid") && / main( |$)/ && !found++ { print $1 }'
}

private_apt() { # TYPE (deb or deb-src) [RELEASE]
  local dir=$work/apt-$1 release=${2:-sid} mirror
  has apt-get || die "apt-get is missing: only Debian and its kin can fetch this part"
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || die "no Debian mirror found in /etc/apt/sources.list*; cannot fetch from $release"
  mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial"
  : >"$dir/status"
  echo "$1 [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$dir/sources.list"
  cat >"$dir/apt.conf" <<END
Dir::State "$dir/state";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Debug::NoLocking "true";
END
  export APT_CONFIG=$dir/apt.conf
  begin apt "the list of Debian $release, read privately"
  run "reading the list of Debian $release" apt-get -q update
  ended
}
