# Where the C sources come from. Each source_NAME fetches one library into $work, checks it, and sets
# got_dir (its folder), got_version, got_sha and got_from (npm, pypi or debian). Sourced, never run.

npm_source() { # NAME VERSION SPEC SHA KB FOLDER
  begin fetch "$1 $2, $(kb "$5"), sources from npm"
  mkdir "$work/$1"
  run "fetching $1 $2 with npm" env -C "$work/$1" npm pack --silent "$3"
  verify "$(ls "$work/$1"/*.tgz)" "$4"
  tar -xzf "$work/$1"/*.tgz -C "$work/$1"
  ended
  got_dir=$work/$1/package/$6 got_version=$2 got_sha=$4 got_from=npm
}

pip_source() { # NAME VERSION SPEC SHA KB FOLDER
  begin fetch "$1 $2, $(kb "$5"), sources from PyPI"
  mkdir "$work/$1"
  run "fetching $1 $2 with pip" pip download -q --no-deps --no-binary :all: -d "$work/$1" "$3"
  verify "$(ls "$work/$1"/*.tar.gz)" "$4"
  tar -xzf "$work/$1"/*.tar.gz -C "$work/$1" --strip-components 1
  ended
  got_dir=$work/$1/$6 got_version=$2 got_sha=$4 got_from=pypi
}

source_librdkafka() {
  npm_source librdkafka "$LIBRDKAFKA_VERSION" "$LIBRDKAFKA_NPM" "$LIBRDKAFKA_SHA256" "$LIBRDKAFKA_KB" deps/librdkafka
}

source_hiredis() {
  pip_source hiredis "$HIREDIS_VERSION" "$HIREDIS_PIP" "$HIREDIS_SHA256" "$HIREDIS_KB" vendor/hiredis
}

source_hdrhistogram() {
  npm_source hdrhistogram "$HDRHISTOGRAM_VERSION" "$HDRHISTOGRAM_NPM" "$HDRHISTOGRAM_SHA256" "$HDRHISTOGRAM_KB" HdrHistogram_c
}
