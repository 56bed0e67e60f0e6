# Container edge of a pod is killed alone, under load straight to the pod: its Sōzu serves on what it decides by itself, and
# the next supervisor takes it over. What the filter decides has nobody meanwhile: counted, and over when the container is back.
printf 'apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: filtered}\nspec:\n  parentRefs: [{name: web}]\n  hostnames: [filtered.example]\n  rules: [{matches: [{path: {type: RegularExpression, value: "/.*"}}], backendRefs: [{name: app, port: 80}]}]\n' |
	kubectl -n $space apply -f - >/dev/null
pod=$(kubectl -n $space get pod -l kakehi.dev/edge=kakehi-web -o json | jq -r '[.items[] | select(.metadata.deletionTimestamp == null)][0].metadata.name')
at=http://$(kubectl -n $space get pod "$pod" -o 'jsonpath={.status.podIP}')
eventually 20 "the pod serves what its filter decides" get filtered.example "$at/"
supervisor=
for process in $(grep -slzx "HOSTNAME=$pod" /proc/[0-9]*/environ || true); do
	process=${process%/environ}
	[ "$(tr '\0' ' ' <"$process/cmdline" | cut -d' ' -f2)" != edge ] || supervisor=${process#/proc/}
done
[ -n "$supervisor" ] || fail "the supervisor's process is not found"
restarts() { kubectl -n $space get pod "$pod" -o json | jq -r --arg name "$1" '.status.containerStatuses[] | select(.name == $name).restartCount'; }
load "$at/" app.example
"$here/load.sh" fresh "$at/" filtered.example "$work/filtered" &
filtered=$!
sleep 1
kill -KILL "$supervisor"
restarted() { [ "$(restarts edge)" = 1 ]; }
eventually 30 "the container is started again" restarted
eventually 30 "the pod is ready" kubectl -n $space wait --for=condition=Ready --timeout=1s "pod/$pod"
eventually 20 "the pod serves what its filter decides again" get filtered.example "$at/"
sleep 3
kill $filtered
wait $filtered || true
say "decided by the filter, while it was away and after: $(cat "$work/filtered")"
unload "container edge killed"
[ "$(restarts sozu)" = 0 ] || fail "container sozu restarted"
kubectl -n $space delete httproute filtered --timeout=30s >/dev/null
kubectl -n $space delete pod "$pod" --timeout=60s >/dev/null
