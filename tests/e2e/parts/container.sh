# Container edge of a pod is killed alone, under load straight to the pod: its Sōzu serves on what it decides by itself, and
# the next supervisor takes it over. What the filter decides waits meanwhile: of it only what is in flight may fail.
printf 'apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: filtered}\nspec:\n  parentRefs: [{name: web}]\n  hostnames: [filtered.example]\n  rules: [{matches: [{path: {type: RegularExpression, value: "/.*"}}], backendRefs: [{name: app, port: 80}]}]\n' |
	kubectl -n $space apply -f - >/dev/null
pod=$(kubectl -n $space get pod -l kakehi.dev/edge=kakehi-web -o json | jq -r '[.items[] | select(.metadata.deletionTimestamp == null)][0].metadata.name')
at=http://$(kubectl -n $space get pod "$pod" -o 'jsonpath={.status.podIP}')
eventually 20 "the pod serves what its filter decides" get filtered.example "$at/"
load "$at/" app.example
"$here/load.sh" fresh "$at/" filtered.example "$work/filtered" &
filtered=$!
"$here/load.sh" kept "$at/" filtered.example "$work/filtered-kept" &
kept=$!
sleep 1
kill -KILL "$(process "$pod" edge)"
eventually 30 "the container is started again" restarted "$pod" edge
eventually 30 "the pod is ready" kubectl -n $space wait --for=condition=Ready --timeout=1s "pod/$pod"
eventually 20 "the pod serves what its filter decides again" get filtered.example "$at/"
sleep 3
kill $filtered $kept
wait $filtered $kept || true
say "decided by the filter, while it was away and after: new connections $(cat "$work/filtered"), kept ones $(cat "$work/filtered-kept")"
for way in filtered filtered-kept; do
	[ "$(cut -d' ' -f3 "$work/$way")" -le 1 ] || fail "more failed than was in flight: $(cat "$work/$way.errors")"
done
unload "container edge killed"
[ "$(restarts "$pod" sozu)" = 0 ] || fail "container sozu restarted"
# Its launcher holds what the filter listens on: the supervisor takes the next one's.
kill -KILL "$(process "$pod" launch)"
eventually 30 "container sozu is started again" restarted "$pod" sozu
eventually 30 "the pod serves again" get app.example "$at/"
eventually 20 "and what its filter decides" get filtered.example "$at/"
[ "$(restarts "$pod" edge)" = 1 ] || fail "container edge restarted too"
kubectl -n $space delete httproute filtered --timeout=30s >/dev/null
kubectl -n $space delete pod "$pod" --timeout=60s >/dev/null
