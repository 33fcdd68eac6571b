#!/usr/bin/env bash
# Prometheus, promtool and the exporters of MySQL and Redis: this release's own packages, unpacked privately, since installed
# ones would start servers; the archive's signature is the check. Beside them the agent that tells of a broker's JMX, by Maven,
# checked against deps/pins.sh. $cache/prometheus/bin has the programs.
. "$(dirname "$0")/lib.sh"

packages="prometheus prometheus-mysqld-exporter prometheus-redis-exporter"
programs="prometheus promtool prometheus-mysqld-exporter prometheus-redis-exporter"

ready() {
  local program
  for program in $programs; do [ -x "$cache/prometheus/bin/$program" ] || return 1; done
  echo "$JMX_AGENT_SHA256  $cache/prometheus/jmx_agent.jar" | sha256sum --status -c 2>/dev/null
}

fetch_agent() {
  mvn -q -B "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_VERSION:copy" \
    -Dartifact="io.prometheus.jmx:jmx_prometheus_javaagent:$JMX_AGENT_VERSION" -DoutputDirectory="$work/agent"
}

fetch() {
  (cd "$work/debs" && apt-get -q download $packages)
}

unpack() {
  local deb
  for deb in "$work"/debs/*.deb; do dpkg -x "$deb" "$work/root"; done
  mkdir -p "$work/prometheus/bin"
  for program in $programs; do mv "$work/root/usr/bin/$program" "$work/prometheus/bin/"; done
  "$work/prometheus/bin/promtool" --version | sed -n 's/^promtool, version \([0-9.]*\).*/\1/p' >"$work/prometheus/version"
  [ -s "$work/prometheus/version" ]
}

if ready; then exit 0; fi
take_lock
if ready; then exit 0; fi
has mvn || die "mvn is missing; run: make deps"
. "$root/deps/apt.sh"
private_apt deb "$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")"
mkdir "$work/debs"
begin fetch "Prometheus and its exporters, 28 MB"
run "fetching the JMX agent $JMX_AGENT_VERSION with mvn" fetch_agent
agent=$work/agent/jmx_prometheus_javaagent-$JMX_AGENT_VERSION.jar
verify "$agent" "$JMX_AGENT_SHA256"
run "fetching $packages" fetch
run "unpacking $packages" unpack
mv "$agent" "$work/prometheus/jmx_agent.jar"
version=$(cat "$work/prometheus/version")
rm -rf "${cache:?}/prometheus-$version"
mv -T "$work/prometheus" "$cache/prometheus-$version"
ln -sfnT "prometheus-$version" "$cache/prometheus"
ended
