# The volume of an edge's pod is full: it serves on, takes what is changed, and says in its log and metrics what it cannot save.
# A supervisor that starts meanwhile leaves Sōzu as it is.
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
metric() { curl -fsS -m 2 "$at:19902/metrics" | grep -q "^$1{.*} $2\$"; }
eventually 10 "and so does a metric" metric kakehi_edge_snapshot_unsaved 1
# Sōzu's record of requests is emptied now and then: there may be room for a small file.
logged 'one by one' && say "Sōzu is told record by record" || say "there was room for what Sōzu is told"
kill -KILL "$(process "$name" edge)"
eventually 30 "container edge is started again" restarted "$name" edge
eventually 30 "its pod is ready" kubectl -n $space wait --for=condition=Ready --timeout=1s "pod/$name"
eventually 10 "the running Sōzu is taken over as it is" logged 'took over the running'
get disk.example "$at/" >/dev/null || fail "the route is not served any more"
kubectl -n $space delete httproute,service,deployment disk --timeout=30s >/dev/null
eventually 20 "and one that goes is gone" answers 404 disk.example "$at/"
on_node rm "$volume/filler"
application disk
rolled $space disk
eventually 20 "with space again all is as before" get disk.example "$at/"
eventually 20 "the copy too" metric kakehi_edge_snapshot_unsaved 0
unload "the volume full, and not any more"
[ "$(restarts "$name" sozu) $(restarts "$name" edge)" = "0 1" ] || fail "another container restarted"
kubectl -n $space delete httproute,service,deployment disk --timeout=30s >/dev/null
kubectl -n $space delete pod "$name" --timeout=60s >/dev/null
