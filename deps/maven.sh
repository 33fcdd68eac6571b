# Shared by the scripts that fetch jars: Maven resolves them, deps/NAME.lock says what they must be. Source deps/lib.sh first.
#   jars NAME VERSION KB DEPENDENCIES [--lock | --licences]
# leaves them in $cache/NAME-VERSION/libs, to which $cache/NAME points. `--lock` writes deps/NAME.lock anew, `--licences` prints each
# jar's name, version and licence. A function `finish FOLDER`, where there is one, adds what is made of the jars.
plugin=org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_VERSION:copy-dependencies
licences=org.codehaus.mojo:license-maven-plugin:$MAVEN_LICENSE_VERSION:add-third-party

# dependency GROUP ARTIFACT VERSION [GROUP:ARTIFACT to leave out]
dependency() {
  printf '<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version>' "$1" "$2" "$3"
  [ -z "${4:-}" ] || printf '<exclusions><exclusion><groupId>%s</groupId><artifactId>%s</artifactId></exclusion></exclusions>' "${4%%:*}" "${4##*:}"
  printf '</dependency>\n'
}

# Each time: a file may have changed since it was fetched.
jars_whole() { # ENTRY NAME
  (cd "$cache/$1/libs" && [ "$(ls -- *.jar | wc -l)" -eq "$(wc -l <"$root/deps/$2.lock")" ] &&
    sha256sum --status -c "$root/deps/$2.lock") 2>/dev/null
}

jars_ready() { # ENTRY NAME
  [ -d "$cache/$1/libs" ] && [ "$(readlink "$cache/$2")" = "$1" ] && cmp -s "$root/deps/$2.lock" "$cache/$1/lock" &&
    jars_whole "$@"
}

print_licences() { # NAME
  run "asking Maven for the licences" mvn -q -B -f "$work/$1/pom.xml" "$licences" \
    -Dlicense.acceptPomPackaging=true -Dlicense.outputDirectory="$work/$1"
  sed -nE 's/^ *\((.*)\) [^()]* \(([^:]*:[^:]*):([^ ]*) - .*/\2|\3|\1/p' "$work/$1/THIRD-PARTY.txt"
}

write_pom() { # NAME DEPENDENCIES
  mkdir -p "$work/$1/libs"
  printf '%s\n' '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>' \
    "<groupId>rlab</groupId><artifactId>$1</artifactId><version>1</version><packaging>pom</packaging>" \
    "<dependencies>$2</dependencies></project>" >"$work/$1/pom.xml"
}

fetch_jars() { # NAME VERSION KB
  begin fetch "$1 $2, $(kb "$3"), jars by Maven"
  run "fetching $1 $2 with mvn" \
    mvn -q -B -f "$work/$1/pom.xml" "$plugin" -DoutputDirectory="$work/$1/libs" -DincludeScope=runtime
  (cd "$work/$1/libs" && sha256sum -- *.jar) >"$work/$1/lock"
  rm "$work/$1/pom.xml"
}

jars() {
  local name=$1 entry=$1-$2 lock=$root/deps/$1.lock mode=${5:-} differs
  if [ -z "$mode" ] && jars_ready "$entry" "$name"; then return 0; fi
  take_lock
  if [ -z "$mode" ] && jars_ready "$entry" "$name"; then return 0; fi
  has mvn || die "mvn is missing; run: make deps"
  write_pom "$name" "$4"
  if [ "$mode" = --licences ]; then print_licences "$name"; return 0; fi
  fetch_jars "$name" "$2" "$3"
  if [ "$mode" = --lock ]; then
    cp "$work/$name/lock" "$lock"
    ended
    note lock "$(wc -l <"$lock") jars written to deps/$name.lock"
    return 0
  fi
  differs=$(diff <(sort -k2 "$lock") <(sort -k2 "$work/$name/lock") | sed -n 's/^[<>] [0-9a-f]*  //p' | sort -u | tr '\n' ' ' || true)
  [ -z "$differs" ] || die "checksum of ${differs% } differs from deps/$name.lock; nothing was kept"
  if declare -F finish >/dev/null; then finish "$work/$name"; fi
  rm -rf "${cache:?}/$entry"
  mv -T "$work/$name" "$cache/$entry"
  ln -sfnT "$entry" "$cache/$name"
  ended
}
