# When all edges are to have new pods, so many are rolled at a time, and nothing is lost.
names=$(seq -f 'stage-%g' 1 6)
for name in $names; do
	gateway "$name"
	route $space "$name" "$name.example" "{name: $name}"
done
for name in $names; do
	eventually 60 "$name is Programmed" condition $space "gateway/$name" Programmed Programmed
	eventually 60 "$name is served" get "$name.example" "http://$(address $space "$name")/"
	rolled $space "kakehi-$name"
done
chart --set edges.concurrentRollouts=2
# rolling: how many edges are having their pods replaced, by the marks of their Deployments.
rolling() {
	kubectl get deployment -A -l app.kubernetes.io/name=kakehi-edge -o json | jq '[.items[] | select(
		.status.observedGeneration < .metadata.generation or
		([.status.conditions[]? | select(.type == "Progressing" and .reason == "NewReplicaSetAvailable")] | length) == 0)] | length'
}
newest() { kubectl get deployment -A -l app.kubernetes.io/name=kakehi-edge -o json | jq '[.items[] | select([.spec.template.spec.containers[].env[] | select(.value == "info,kakehi::edge=debug")] | length > 0)] | length'; }
for name in stage-1 stage-6; do load "http://$(address $space $name)/" $name.example; done
load "$url/" app.example
chart --set edges.concurrentRollouts=2 --set log.level=info\\,kakehi::edge=debug
most=0 left=120
until [ "$(newest)" = 8 ] && [ "$(rolling)" = 0 ]; do
	now=$(rolling)
	[ "$now" -le $most ] || most=$now
	left=$((left - 1))
	[ $left -gt 0 ] || fail "edges are not rolled: $(newest) of 8 are new, $(rolling) are rolling"
	sleep 0.3
done
say "8 edges were rolled, at most $most at a time"
[ $most -gt 0 ] && [ $most -le 2 ] || fail "not 2"
unload "8 edges rolled two by two"
kubectl -n $space delete httproute $names --timeout=60s >/dev/null || fail "routes cannot be deleted"
kubectl -n $space delete gateway $names --timeout=60s >/dev/null || fail "Gateways cannot be deleted"
chart
