# The volume of an edge's pod is full: it serves on, takes what is changed, and says in its log what it cannot save.
kubectl -n $space delete httproute,service,deployment disk --ignore-not-found --timeout=30s >/dev/null
node=$(cut -d' ' -f1 /run/kakehi/cluster/pids/cluster.pid)
pod=$(kubectl -n $space get pod -l kakehi.dev/edge=kakehi-web -o json | jq -c '[.items[] | select(.metadata.deletionTimestamp == null)][0]')
name=$(echo "$pod" | jq -r .metadata.name)
at=http://$(echo "$pod" | jq -r .status.podIP)
volume=/var/lib/kubelet/pods/$(echo "$pod" | jq -r .metadata.uid)/volumes/kubernetes.io~empty-dir/run
on_node() { nsenter --target "$node" --mount "$@"; }
on_node mount -o remount,size=1m "$volume" || fail "the volume is not made small"
on_node dd if=/dev/zero of="$volume/filler" bs=4k >/dev/null 2>&1 || true
on_node sh -c "echo more >'$volume/more'" 2>/dev/null && fail "the volume is not full"
say "the volume of 1 MiB is full"
load "$at/" app.example
application disk
rolled $space disk
eventually 20 "a route that comes now is served all the same" get disk.example "$at/"
logged() { kubectl -n $space logs "$name" -c edge | grep -q "$1"; }
eventually 10 "the log says what cannot be saved" logged 'the last good snapshot cannot be saved; the one before stays'
logged 'one by one' || fail "the log does not say how Sōzu is told"
kubectl -n $space delete httproute,service,deployment disk --timeout=30s >/dev/null
eventually 20 "and one that goes is gone" answers 404 disk.example "$at/"
on_node rm "$volume/filler"
application disk
rolled $space disk
eventually 20 "with space again all is as before" get disk.example "$at/"
unload "the volume full, and not any more"
[ "$(kubectl -n $space get pod "$name" -o json | jq '[.status.containerStatuses[].restartCount] | add')" = 0 ] || fail "a container restarted"
kubectl -n $space delete httproute,service,deployment disk --timeout=30s >/dev/null
kubectl -n $space delete pod "$name" --timeout=60s >/dev/null
