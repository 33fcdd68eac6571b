# Where the C sources come from. Each source_NAME fetches one library into $work, checks it, and sets
# got_dir (its folder), got_version, got_sha and got_from (npm, pypi, crates or debian). Sourced, never run.

# fetched CLIENT COMMAND...: false, with a word, when the registry's client cannot bring it: Debian's way is next.
fetched() {
  local client=$1 status
  shift
  attempt "$@"
  [ $status -ne 0 ] || return 0
  printf '\n'
  note failed "$client: $(grep -v '^ *$' "$work/log" | head -n 1 | cut -c1-90)"
  open_line=
  return 1
}

npm_source() { # NAME VERSION SPEC SHA KB FOLDER
  begin fetch "$1 $2, $(kb "$5"), sources from npm"
  mkdir "$work/$1"
  fetched npm env -C "$work/$1" npm pack --silent "$3" || return 1
  verify "$(ls "$work/$1"/*.tgz)" "$4"
  tar -xzf "$work/$1"/*.tgz -C "$work/$1" || die "cannot unpack $1 $2"
  ended
  got_dir=$work/$1/package/$6 got_version=$2 got_sha=$4 got_from=npm
}

pip_source() { # NAME VERSION SPEC SHA KB FOLDER
  begin fetch "$1 $2, $(kb "$5"), sources from PyPI"
  mkdir "$work/$1"
  fetched pip pip download -q --no-deps --no-binary :all: -d "$work/$1" "$3" || return 1
  verify "$(ls "$work/$1"/*.tar.gz)" "$4"
  tar -xzf "$work/$1"/*.tar.gz -C "$work/$1" --strip-components 1 || die "cannot unpack $1 $2"
  ended
  got_dir=$work/$1/$6 got_version=$2 got_sha=$4 got_from=pypi
}

# cargo checks a crate against its index; the index's word is then held against ours.
crate_source() { # NAME VERSION CRATE@VERSION SHA KB FOLDER
  local crate=${3%@*}
  begin fetch "$1 $2, $(kb "$5"), sources from crates.io"
  mkdir -p "$work/$1/src"
  printf '[package]\nname = "none"\nversion = "0.0.0"\n[dependencies]\n%s = "=%s"\n' "$crate" "${3#*@}" >"$work/$1/Cargo.toml"
  : >"$work/$1/src/lib.rs"
  fetched cargo env -C "$work/$1" cargo vendor -q vendored || return 1
  grep -qF "\"package\":\"$4\"" "$work/$1/vendored/$crate/.cargo-checksum.json" ||
    die "checksum of the crate $3 differs from deps/pins.sh; nothing was kept"
  ended
  got_dir=$work/$1/vendored/$crate/$6 got_version=$2 got_sha=$4 got_from=crates
}

# The way without npm, pip or cargo, or where they fail: Debian sid's source package. Its version moves, so MIN is
# the guard, and the archive's signature stands for the checksum.
debian_source() { # NAME PACKAGE MIN
  local orig
  . "$root/deps/apt.sh"
  [ -d "$work/apt-deb-src" ] || private_apt deb-src
  begin fetch "$1, sources from Debian sid"
  rm -rf "${work:?}/$1"
  mkdir "$work/$1" "$work/$1/tree"
  run "fetching the sources of $2" env -C "$work/$1" apt-get -q source --download-only --tar-only "$2"
  orig=$(find "$work/$1" -name '*.orig.tar.*' ! -name '*.asc' | head -n 1)
  [ -n "$orig" ] || die "Debian sid's source package $2 has no upstream tarball"
  got_version=${orig##*/*_} got_version=${got_version%%.orig*} got_version=${got_version%%[+~]*}
  [ "$(printf '%s\n' "$3" "$got_version" | sort -V | head -n 1)" = "$3" ] ||
    die "Debian sid's $2 is $got_version, older than $3; install npm and pip, then run make deps again"
  got_sha=$(sha256sum "$orig" | cut -d' ' -f1)
  tar -xf "$orig" -C "$work/$1/tree" --strip-components 1
  ended
  note using "$1 $got_version of Debian sid"
  got_dir=$work/$1/tree got_from=debian
}

source_librdkafka() {
  if has npm; then
    npm_source librdkafka "$LIBRDKAFKA_VERSION" "$LIBRDKAFKA_NPM" "$LIBRDKAFKA_SHA256" "$LIBRDKAFKA_KB" deps/librdkafka && return
  fi
  debian_source librdkafka librdkafka "$LIBRDKAFKA_MIN"
}

source_hiredis() {
  if has pip; then
    pip_source hiredis "$HIREDIS_VERSION" "$HIREDIS_PIP" "$HIREDIS_SHA256" "$HIREDIS_KB" vendor/hiredis && return
  fi
  debian_source hiredis hiredis "$HIREDIS_MIN"
}

source_hdrhistogram() {
  if has npm; then
    npm_source hdrhistogram "$HDRHISTOGRAM_VERSION" "$HDRHISTOGRAM_NPM" "$HDRHISTOGRAM_SHA256" "$HDRHISTOGRAM_KB" \
      HdrHistogram_c && return
  fi
  debian_source hdrhistogram libhdr-histogram "$HDRHISTOGRAM_MIN"
}

source_lua() {
  if has cargo; then
    crate_source lua "$LUA_VERSION" "$LUA_CRATE" "$LUA_SHA256" "$LUA_KB" "lua-$LUA_VERSION" && return
  fi
  debian_source lua lua5.4 "$LUA_MIN"
}
