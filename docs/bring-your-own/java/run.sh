#!/bin/sh
# run.sh CLASS: compiles the classes of this folder once, by javac or by the compiler that rlab's Flyway brings, and runs one of them. The client
# libraries are those of rlab's own downloads: kafka-clients beside the broker, MySQL's driver beside Flyway.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rlab
out=$cache/bring-your-own-java
libs=$cache/kafka/libs/*:$cache/flyway/libs/*

compile() {
  mkdir -p "$out"
  if command -v javac >/dev/null; then javac -nowarn -cp "$libs" -d "$out" "$here/$1.java"; else
    java -cp "$libs" org.eclipse.jdt.internal.compiler.batch.Main -17 -nowarn -cp "$(echo "$cache"/kafka/libs/*.jar | tr ' ' :)" -d "$out" "$here/$1.java"
  fi
}

[ "$out/$1.class" -nt "$here/$1.java" ] || compile "$1"
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx128m -cp "$out:$libs" "$1"
