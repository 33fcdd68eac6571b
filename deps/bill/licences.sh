#!/usr/bin/env bash
# Writes THIRD-PARTY.md: everything that rlab links, embeds or runs, with its licence.
. "$(dirname "$0")/../lib.sh"

rows() { sed 's/|/ | /g; s/^/| /; s/$/ |/'; }

jars=$("$root/deps/kafka.sh" --licences | sort -t'|' -k1,1)
count=$(grep -c . <<<"$jars" || true)
locked=$(wc -l <"$root/deps/kafka.lock")
[ "$count" -eq "$locked" ] || die "Maven names $count jars with a licence, deps/kafka.lock has $locked"

{
  cat <<END
# Third-party software

Written by \`make licences\`. rlab itself is under the Apache License 2.0 (LICENSE). Nothing below is part of this
repository: it comes from the distribution, or is fetched by \`make deps\` at the versions and checksums in \`deps/\`.

## Linked into rlab

| component | version | licence | how |
|---|---|---|---|
END
  rows <<END
librdkafka|$LIBRDKAFKA_VERSION|BSD-2-Clause (parts: MIT, BSD-3-Clause, Zlib, Apache-2.0, see its LICENSES.txt)|static
hiredis|$HIREDIS_VERSION|BSD-3-Clause|static
HdrHistogram_c|from npm $HDRHISTOGRAM_NPM|CC0-1.0 or BSD-2-Clause|static
Lua|the distribution's 5.4|MIT|shared
Lua, for make apicheck only|$LUA_VERSION|MIT|static
libuv|the distribution's|MIT|shared
libmicrohttpd|the distribution's|LGPL-2.1-or-later|shared
cJSON|the distribution's|MIT|shared
libcurl|the distribution's|curl|shared
MariaDB Connector/C|the distribution's|LGPL-2.1-or-later|shared
libedit|the distribution's|BSD-3-Clause|shared
utf8proc|the distribution's|MIT|shared
OpenSSL|the distribution's|Apache-2.0|shared
zlib|the distribution's|Zlib|shared
Zstandard|the distribution's|BSD-3-Clause|shared
argparse (Lua)|the distribution's|MIT|embedded source
END
  cat <<END

## Run by rlab as programs of their own

| component | version | licence |
|---|---|---|
END
  rows <<END
Apache Kafka|$KAFKA_VERSION|Apache-2.0 (its jars below)
Flyway|$FLYWAY_VERSION|Apache-2.0
MySQL Connector/J|$MYSQL_JDBC_VERSION|GPL-2.0-only with the Universal FOSS Exception
MySQL Community Server|Debian sid's, >= $MYSQL_MIN|GPL-2.0-only with the Universal FOSS Exception
Redis|the distribution's|BSD-3-Clause
Valkey, for an arm of E-010|$VALKEY_VERSION, Debian sid's|BSD-3-Clause
Apicurio Registry|$APICURIO_VERSION|Apache-2.0 (with the jars in its archive)
OpenJDK|the distribution's, >= 17|GPL-2.0-only with Classpath-exception-2.0
END
  cat <<END

## Used to build and to test

| component | licence |
|---|---|
END
  rows <<END
busted, luacheck and the Lua modules they need|MIT
cmocka|Apache-2.0
clang-format|Apache-2.0 WITH LLVM-exception
Apache Maven|Apache-2.0
Eclipse Compiler for Java|EPL-2.0
confluent-kafka (Python), for docs/bring-your-own|Apache-2.0
PyMySQL, for docs/bring-your-own|MIT
franz-go and Go-MySQL-Driver, for docs/bring-your-own|BSD-3-Clause, MPL-2.0
kafkajs and mysql2, for docs/bring-your-own|MIT
watermill, watermill-sql and watermill-kafka, for docs/bring-your-own|MIT
redis-py, a reader of its own for a spec|MIT
Schemathesis, for make schemathesis|MIT
async-timeout (Python), which redis-py needs on an older Python|Apache-2.0
END
  cat <<END

## The jars of Kafka $KAFKA_VERSION

| jar | version | licence, as its author names it |
|---|---|---|
END
  sed 's/) (/ or /g' <<<"$jars" | rows
} >"$root/THIRD-PARTY.md.new"
mv "$root/THIRD-PARTY.md.new" "$root/THIRD-PARTY.md"
note wrote "THIRD-PARTY.md, $count jars"
