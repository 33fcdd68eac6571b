#!/usr/bin/env bash
# Flyway, which runs migrations/*.sql, with MySQL's JDBC driver: jars by Maven, each checked against deps/flyway.lock. Its main class,
# deps/flyway/Migrate.java, is compiled here by Eclipse's compiler, which is a jar too, so that a Java runtime without javac serves.
# `flyway.sh --lock` writes the lock file anew, `flyway.sh --licences` prints each jar's name, version and licence.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/maven.sh"

source=$root/deps/flyway/Migrate.java

compile() { java -jar "$1/libs/ecj-$ECJ_VERSION.jar" -17 -proc:none -d "$1/classes" -cp "$1/libs/flyway-core-$FLYWAY_VERSION.jar" "$source"; }

finish() {
  run "compiling Migrate.java" compile "$1"
  cp "$source" "$1/Migrate.java"
}

# A changed main class is compiled anew.
cmp -s "$source" "$cache/flyway/Migrate.java" || rm -f "$cache/flyway"

jars flyway "$FLYWAY_VERSION" "$FLYWAY_KB" "$(
  dependency org.flywaydb flyway-core "$FLYWAY_VERSION"
  dependency org.flywaydb flyway-mysql "$FLYWAY_VERSION"
  dependency com.mysql mysql-connector-j "$MYSQL_JDBC_VERSION" com.google.protobuf:protobuf-java
  dependency org.eclipse.jdt ecj "$ECJ_VERSION"
)" "${1:-}"
