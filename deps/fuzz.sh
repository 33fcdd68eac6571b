#!/usr/bin/env bash
# fuzz.sh SECONDS: builds what reads foreign bytes with clang's libFuzzer, AddressSanitizer and UBSan, and runs each that long. What it learns
# is kept in build-fuzz/corpus for the next time; an input that breaks something stays in build-fuzz as crash-*, and running the
# program with that file shows it again. Exits 1 when something broke.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
clang=$(command -v clang || command -v clang-14 || true)
[ -n "$clang" ] || { echo "fuzz: clang is missing; install it: apt-get install clang libclang-rt-14-dev"; exit 69; }
unset MAKEFLAGS MFLAGS MAKELEVEL
${MAKE:-make} --no-print-directory -j"$(nproc)" BUILD=build-fuzz CC="$clang" fuzzers
broken=0
for target in spec/fuzz/*.c; do
  name=$(basename "$target" .c)
  mkdir -p "build-fuzz/corpus/$name"
  export FUZZ_SEEDS=build-fuzz/corpus/$name
  echo "  fuzz    $name, $seconds s"
  "build-fuzz/fuzz/$name" -max_total_time="$seconds" -artifact_prefix=build-fuzz/ -timeout=10 -print_final_stats=1 \
    "build-fuzz/corpus/$name" 2>build-fuzz/"$name".log || broken=1
  grep -E 'ERROR|runtime error|SUMMARY|number_of_executed_units|Test unit written|cov:' build-fuzz/"$name".log | tail -n 4 | sed 's/^/          /'
done
exit "$broken"
