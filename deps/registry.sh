#!/usr/bin/env bash
# Apicurio Registry, the Schema Registry of the stack (its Confluent-compatible API): the build that its authors publish to Maven,
# checked against deps/pins.sh. $cache/registry points at it.
. "$(dirname "$0")/lib.sh"

entry=registry-$APICURIO_VERSION
ready() { [ -d "$cache/$entry/lib" ] && [ "$(readlink "$cache/registry")" = "$entry" ]; }

if ready; then exit 0; fi
take_lock
if ready; then exit 0; fi
has mvn || die "mvn is missing; run: make deps"

begin fetch "registry $APICURIO_VERSION, $(kb "$APICURIO_KB"), by Maven"
run "fetching registry $APICURIO_VERSION with mvn" \
  mvn -q -B "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_VERSION:copy" \
  -Dartifact="io.apicurio:apicurio-registry-app:$APICURIO_VERSION:tar.gz:all" -DoutputDirectory="$work/registry"
archive=$work/registry/apicurio-registry-app-$APICURIO_VERSION-all.tar.gz
verify "$archive" "$APICURIO_SHA256"
mkdir "$work/$entry"
run "unpacking ${archive##*/}" tar -xzf "$archive" -C "$work/$entry"
echo "$APICURIO_VERSION" >"$work/$entry/version"
rm -rf "${cache:?}/$entry"
mv -T "$work/$entry" "$cache/$entry"
ln -sfnT "$entry" "$cache/registry"
ended
