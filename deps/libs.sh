#!/usr/bin/env bash
# libs.sh OUT [VARIANT]: builds the C libraries that the distribution lacks, once per machine, and writes the makefile
# fragment OUT with the compiler and linker flags of everything that rlab links.
. "$(dirname "$0")/lib.sh"
. "$root/deps/source.sh"

packages="libuv libmicrohttpd libcjson libcurl avro-c mysqlclient libedit libssl zlib libzstd libutf8proc"

missing=
for p in lua5.4 $packages; do
  pkg-config --exists "$p" 2>/dev/null || missing="$missing $p"
done
[ -z "$missing" ] || die "development packages are missing ($(echo $missing)); run: make deps"

# What a variant's own builds of these libraries add. gcc's TSan intercepts pthreads but no C11 threads.
suffix= sanitize= rdkafka_threads=
if [ "${2:-}" = tsan ]; then suffix=-tsan sanitize=-fsanitize=thread rdkafka_threads=--disable-c11threads; fi

# On a terminal the seconds count while a library is built: librdkafka takes a minute or two.
tick() {
  local seconds=0
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    seconds=$((seconds + 1))
    printf '%5d s\b\b\b\b\b\b\b' "$seconds"
  done
}

build_librdkafka() {
  local src=$1 out=$2
  # its configure insists on a C++ compiler that the C library never uses
  (cd "$src" && CXX=cc CFLAGS=$sanitize LDFLAGS=$sanitize ./configure --disable-sasl --disable-curl --disable-lz4-ext \
    --disable-debug-symbols --enable-static --disable-shared $rdkafka_threads && make -j"$(nproc)" -C src librdkafka.a)
  # it carries copies of cJSON and lz4: renamed, so that they never stand in for the libraries of these names
  nm -g --defined-only "$src/src/librdkafka.a" 2>/dev/null |
    awk 'NF == 3 && $3 ~ /^(cJSON|LZ4|XXH)/ { print $3, "rdk_" $3 }' | sort -u >"$src/renames"
  objcopy --redefine-syms="$src/renames" "$src/src/librdkafka.a"
  install -D -m 644 -t "$out/include/librdkafka" "$src/src/rdkafka.h" "$src/src/rdkafka_mock.h"
  install -D -m 644 -t "$out/lib" "$src/src/librdkafka.a"
  install -D -m 644 -t "$out" "$src"/LICENSE*
}

build_hiredis() {
  local src=$1 out=$2 f
  for f in alloc async dict hiredis net read sds ssl; do
    (cd "$src" && cc -std=c99 -O2 -g -fPIC $sanitize -D_GNU_SOURCE -c "$f.c" -o "$f.o")
  done
  mkdir -p "$out/lib"
  ar rcs "$out/lib/libhiredis.a" "$src"/*.o
  install -D -m 644 -t "$out/include/hiredis" "$src"/*.h
  install -D -m 644 -t "$out" "$src/COPYING"
}

build_hdrhistogram() {
  local src=$1 out=$2 f
  [ -d "$src/include" ] || cp -r "$src/src" "$src/include"
  for f in "$src"/src/hdr_histogram.c; do
    cc -std=c99 -O2 -g -fPIC $sanitize -D_GNU_SOURCE -I"$src/include" -I"$src/src" -c "$f" -o "${f%.c}.o"
  done
  mkdir -p "$out/lib" "$out/include/hdr"
  ar rcs "$out/lib/libhdrhistogram.a" "$src"/src/*.o
  find "$src/include" -name '*.h' -exec install -m 644 -t "$out/include/hdr" {} +
  for f in "$src"/LICENSE* "$src"/COPYING*; do [ ! -f "$f" ] || install -m 644 -t "$out" "$f"; done
}

# Lua for the apicheck variant: every call of its C API is checked. It searches where Debian's Lua searches.
build_lua() {
  local src=$1 out=$2 lib=/usr/lib/$(gcc -print-multiarch)/lua/5.4/
  local path="/usr/local/share/lua/5.4/?.lua;/usr/local/share/lua/5.4/?/init.lua;/usr/share/lua/5.4/?.lua;/usr/share/lua/5.4/?/init.lua;./?.lua"
  (cd "$src/src" 2>/dev/null || cd "$src"
   for f in *.c; do
     case $f in lua.c | luac.c | onelua.c | ltests.c) continue ;; esac
     cc -std=gnu99 -O2 -g $sanitize -DLUA_USE_LINUX -DLUA_COMPAT_5_3 -DLUA_USE_APICHECK \
       "-DLUA_PATH_DEFAULT=\"$path\"" "-DLUA_CPATH_DEFAULT=\"/usr/local/lib/lua/5.4/?.so;$lib?.so;./?.so\"" -c "$f"
   done
   mkdir -p "$out/lib" "$out/include"
   ar rcs "$out/lib/liblua.a" ./*.o
   install -m 644 -t "$out/include" lua.h luaconf.h lualib.h lauxlib.h)
}

# have NAME VERSION SHA: prints the cache entry that serves NAME, if it is there already.
have() {
  local d
  for d in "$cache/$1$suffix-$2-${3:0:8}" "$cache/$1$suffix-debian"; do
    [ -d "$d/lib" ] && { readlink -f "$d"; return; }
  done
  return 1
}

# supply NAME VERSION SHA: fetches, verifies and builds; leaves a complete entry in the cache or nothing.
supply() {
  local name=$1 version=$2 sha=$3
  [ -n "${work:-}" ] || take_lock libs
  have "$name" "$version" "$sha" >/dev/null && return
  source_"$name"
  begin build "$name$suffix $got_version"
  if [ -t 1 ] && [ -n "${open_line:-}" ]; then tick 9>&- & ticker=$!; fi
  run "the build of $name $got_version" "build_$name" "$got_dir" "$work/$name.out"
  if [ -n "${ticker:-}" ]; then { kill "$ticker"; wait "$ticker"; } 2>/dev/null || true; fi
  ticker=
  mv -T "$work/$name.out" "$cache/$name$suffix-$got_version-${got_sha:0:8}"
  [ "$got_from" != debian ] || ln -sfnT "$name$suffix-$got_version-${got_sha:0:8}" "$cache/$name$suffix-debian"
  ended
}

cflags= libs= files=
# use NAME VERSION SHA ARCHIVE PKG-CONFIG-TEST...: the system's library where it is new enough, else ours; a sanitized
# variant always takes ours.
use() {
  local name=$1 version=$2 sha=$3 archive=$4 dir
  shift 4
  if [ -z "$suffix" ] && pkg-config --exists "$@" 2>/dev/null; then
    cflags="$cflags $(pkg-config --cflags "$@")" libs="$libs $(pkg-config --libs "$@")"
    return
  fi
  have "$name" "$version" "$sha" >/dev/null || supply "$name" "$version" "$sha"
  dir=$(have "$name" "$version" "$sha")
  cflags="$cflags -I$dir/include" libs="$libs $dir/lib/$archive" files="$files $dir/lib/$archive"
}

# Oracle's client in place of the distribution's: it is found, and runs, with the C library that came along. It is fetched
# first, as only one script at a time holds the lock.
if [ "${2:-}" = oracle ]; then
  "$root/deps/oracle.sh"
  dir=$(readlink -f "$cache/mysqlclient")/root triplet=$(gcc -print-multiarch)
  packages=${packages/mysqlclient/}
  cflags="-I$dir/usr/include/mysql -I$dir/usr/include" files=" $dir/usr/lib/$triplet/libmysqlclient.so"
  libs="$dir/usr/lib/$triplet/libmysqlclient.so -Wl,--allow-shlib-undefined -Wl,--dynamic-linker=$dir/ld.so"
  libs="$libs -Wl,--disable-new-dtags -Wl,-rpath,$dir/usr/lib/$triplet"
fi

use librdkafka "$LIBRDKAFKA_VERSION" "$LIBRDKAFKA_SHA256" librdkafka.a "rdkafka >= $LIBRDKAFKA_MIN"
use hiredis "$HIREDIS_VERSION" "$HIREDIS_SHA256" libhiredis.a "hiredis >= $HIREDIS_MIN" hiredis_ssl
use hdrhistogram "$HDRHISTOGRAM_VERSION" "$HDRHISTOGRAM_SHA256" libhdrhistogram.a "hdr_histogram >= $HDRHISTOGRAM_MIN"

lua_cflags=$(pkg-config --cflags lua5.4) lua_libs=$(pkg-config --libs lua5.4)
if [ "${2:-}" = apicheck ]; then
  cflags_kept=$cflags libs_kept=$libs cflags= libs=
  use lua "$LUA_VERSION" "$LUA_SHA256" liblua.a "none-such"
  lua_cflags="$cflags -DLUA_USE_APICHECK" lua_libs="-Wl,--whole-archive $libs -Wl,--no-whole-archive"
  cflags=$cflags_kept libs=$libs_kept
fi

# Foreign headers are system headers to the compiler, so that the warnings speak of our code only.
as_system() { sed 's/\(^\| \)-I */\1-isystem /g' <<<"$*"; }

mkdir -p "$(dirname "$1")"
cat >"$1.new" <<END
LUA_CFLAGS := $(as_system "$lua_cflags")
LUA_LIBS := $lua_libs
DEP_CFLAGS := $(as_system "$(pkg-config --cflags $packages) $cflags")
DEP_LIBS := $libs $(pkg-config --libs $packages) -lcrypto -lm -ldl -lpthread -lrt
DEP_FILES :=$files
TEST_LIBS := $(pkg-config --libs cmocka 2>/dev/null || echo -lcmocka)
END
mv "$1.new" "$1"
