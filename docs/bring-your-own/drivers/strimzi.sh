#!/bin/sh
# strimzi.sh ACT NAMESPACE POD: a fault driver for a broker that Strimzi runs. terminate: the annotation that has the
# operator roll this pod when it next looks, every two minutes by default; the pod comes back by itself. start: it is
# ready.
set -eu
act=$1 namespace=$2 pod=$3

uid() {
    kubectl -n "$namespace" get pod "$pod" --ignore-not-found -o 'jsonpath={.metadata.uid}'
}

ready() { kubectl -n "$namespace" wait --for=condition=Ready "pod/$pod" --timeout=180s; }

case $act in
terminate)
    before=$(uid)
    kubectl -n "$namespace" annotate pod "$pod" strimzi.io/manual-rolling-update=true --overwrite
    echo "waiting for the operator to roll $pod"
    while after=$(uid) && { [ -z "$after" ] || [ "$after" = "$before" ]; }; do sleep 1; done
    ready
    ;;
start) ready ;;
*)
    echo "strimzi.sh does not know how to $act" >&2
    exit 64
    ;;
esac
