#!/usr/bin/env bash
# Kafka's own jars by Maven, each checked against deps/kafka.lock. `kafka.sh --lock` writes that file anew,
# `kafka.sh --licences` prints each jar's name, version and licence.
. "$(dirname "$0")/lib.sh"

entry=kafka-$KAFKA_VERSION
lock=$root/deps/kafka.lock
plugin=org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_VERSION:copy-dependencies
licences=org.codehaus.mojo:license-maven-plugin:$MAVEN_LICENSE_VERSION:add-third-party

ready() { [ -d "$cache/$entry/libs" ] && [ "$(readlink "$cache/kafka")" = "$entry" ] && cmp -s "$lock" "$cache/$entry/lock"; }

if [ -z "${1:-}" ] && ready; then exit 0; fi
take_lock
if [ -z "${1:-}" ] && ready; then exit 0; fi

has mvn || die "mvn is missing; run: make deps"
mkdir -p "$work/kafka/libs"
cat >"$work/kafka/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>rlab</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_$KAFKA_SCALA</artifactId><version>$KAFKA_VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$LOG4J_VERSION</version>
    </dependency>
  </dependencies>
</project>
END
if [ "${1:-}" = --licences ]; then
  run "asking Maven for the licences" mvn -q -B -f "$work/kafka/pom.xml" "$licences" \
    -Dlicense.acceptPomPackaging=true -Dlicense.outputDirectory="$work/kafka"
  sed -nE 's/^ *\((.*)\) [^()]* \(([^:]*:[^:]*):([^ ]*) - .*/\2|\3|\1/p' "$work/kafka/THIRD-PARTY.txt"
  exit 0
fi

begin fetch "kafka $KAFKA_VERSION, $(kb "$KAFKA_KB"), jars by Maven"
run "fetching kafka $KAFKA_VERSION with mvn" \
  mvn -q -B -f "$work/kafka/pom.xml" "$plugin" -DoutputDirectory="$work/kafka/libs" -DincludeScope=runtime
(cd "$work/kafka/libs" && sha256sum -- *.jar) >"$work/kafka/lock"
rm "$work/kafka/pom.xml"

if [ "${1:-}" = --lock ]; then
  cp "$work/kafka/lock" "$lock"
  ended
  note lock "$(wc -l <"$lock") jars written to deps/kafka.lock"
  exit 0
fi

differs=$(diff <(sort -k2 "$lock") <(sort -k2 "$work/kafka/lock") | sed -n 's/^[<>] [0-9a-f]*  //p' | sort -u | tr '\n' ' ' || true)
[ -z "$differs" ] || die "checksum of ${differs% } differs from deps/kafka.lock; nothing was kept"
rm -rf "${cache:?}/$entry"
mv -T "$work/kafka" "$cache/$entry"
ln -sfnT "$entry" "$cache/kafka"
ended
