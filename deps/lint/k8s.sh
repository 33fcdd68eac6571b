#!/usr/bin/env bash
# k8s.sh: holds the manifests of deploy/k8s against Kubernetes' own schemas, which kubernetes-validate carries: no network but for
# its installation, no cluster.
. "$(dirname "$0")/../lib.sh"

python=$("$root/deps/python.sh" kubernetes)
"${python%/*}/kubernetes-validate" --strict "$root"/deploy/k8s/*.yaml
