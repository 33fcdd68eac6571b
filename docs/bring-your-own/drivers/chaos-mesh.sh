#!/bin/sh
# chaos-mesh.sh ACT NAMESPACE POD: a fault driver for a server in a pod, by Chaos Mesh. kill: PodChaos pod-failure, which
# keeps the pod away; freeze: NetworkChaos that loses all it sends. Both end by themselves after ten minutes, whatever
# becomes of rlab; start and thaw remove them.
set -eu
act=$1 namespace=$2 pod=$3
name=rlab-$pod

chaos() { # KIND ACTION MORE
    cat <<YAML
apiVersion: chaos-mesh.org/v1alpha1
kind: $1
metadata:
  name: $name
  namespace: $namespace
spec:
  action: $2
  mode: all
  selector:
    pods:
      $namespace: [$pod]
  duration: 10m
  $3
YAML
}

inject() { # KIND ACTION MORE
    chaos "$@" | kubectl apply -f - >&2
    kubectl -n "$namespace" wait --for=condition=AllInjected "$1/$name" --timeout=60s
}

case $act in
kill) inject PodChaos pod-failure "" ;;
freeze) inject NetworkChaos loss 'loss: { loss: "100", correlation: "0" }' ;;
start)
    kubectl -n "$namespace" delete PodChaos "$name" --ignore-not-found --wait --timeout=60s
    kubectl -n "$namespace" wait --for=condition=Ready "pod/$pod" --timeout=120s
    ;;
thaw) kubectl -n "$namespace" delete NetworkChaos "$name" --ignore-not-found --wait --timeout=60s ;;
*)
    echo "chaos-mesh.sh does not know how to $act" >&2
    exit 64
    ;;
esac
