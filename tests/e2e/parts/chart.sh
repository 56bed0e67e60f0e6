# The chart: linted, its test run, every value of it rendered and taken by the API server, monitors and network policy
# installed, and what is rendered from it current.
helm lint --strict "$root/charts/kakehi" >/dev/null || fail "helm lint"
helm lint --strict "$root/charts/kakehi" -f "$here/everything.yaml" >/dev/null || fail "helm lint with every value"
render() { helm template everything "$root/charts/kakehi" -n $system --kube-version 1.34.0 --api-versions gateway.networking.k8s.io/v1/GatewayClass --api-versions admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy "$@"; }
render --set replicas=1 >/dev/null || fail "the defaults are not rendered"
for wrong in replicas=0 edges.concurrentRollouts=0 edges.more=1 edges.place=nowhere admissionPolicy.enabled=maybe log.format=xml serviceMonitor.interval=often networkPolicy.enabled=maybe nothing=1; do
	render --set $wrong >/dev/null 2>&1 && fail "a wrong value is accepted: $wrong"
done
say "lint finds nothing, the schema of values refuses what it must"
# unset_values: what values.yaml has at its top and the file does not set.
unset_values() {
	helm show values "$root/charts/kakehi" | sed -n 's/^\([a-zA-Z]*\):.*/\1/p' | while read -r key; do
		grep -q "^$key:" "$here/everything.yaml" || echo "$key"
	done
}
[ -z "$(unset_values)" ] || fail "everything.yaml lacks $(unset_values)"

kubectl apply --server-side -f "$here/monitors.yaml" >/dev/null
kubectl wait --for=condition=Established --timeout=30s crd/servicemonitors.monitoring.coreos.com crd/podmonitors.monitoring.coreos.com >/dev/null
render -f "$here/everything.yaml" --no-hooks >"$work/everything" || fail "not every value is rendered"
kubectl apply --server-side --dry-run=server -f "$work/everything" >"$work/taken" || fail "the API server refuses what is rendered"
say "every value rendered: the API server takes $(wc -l <"$work/taken") objects"
for kind in servicemonitor podmonitor networkpolicy poddisruptionbudget validatingadmissionpolicy validatingadmissionpolicybinding; do
	grep -q "^$kind" "$work/taken" || fail "no $kind is rendered"
done

chart --set serviceMonitor.enabled=true --set networkPolicy.enabled=true
kubectl -n $system get servicemonitor,networkpolicy,poddisruptionbudget kakehi >/dev/null || fail "not all is installed"
# What the ServiceMonitor and the NetworkPolicy select is there.
selected=$(kubectl -n $system get service -o name -l "$(kubectl -n $system get servicemonitor kakehi -o json | jq -r '.spec.selector.matchLabels | to_entries | map("\(.key)=\(.value)") | join(",")')")
[ "$selected" = service/kakehi-metrics ] || fail "the ServiceMonitor selects: $selected"
guarded=$(kubectl -n $system get pod -o name -l "$(kubectl -n $system get networkpolicy kakehi -o json | jq -r '.spec.podSelector.matchLabels | to_entries | map("\(.key)=\(.value)") | join(",")')" | wc -l)
[ "$guarded" = 2 ] || fail "the NetworkPolicy selects $guarded pods"
say "ServiceMonitor and NetworkPolicy are installed, and select what they mean"
helm test kakehi -n $system --timeout 60s >/dev/null || fail "helm test"
say "helm test passes"
chart
kubectl delete -f "$here/monitors.yaml" >/dev/null

HELM=$bin/helm "$root/config/render-operator" | diff -q - "$root/config/operator/operator.yaml" >/dev/null ||
	fail "config/operator/operator.yaml is not current: run make generate"
kubectl kustomize "$root/config/operator" | kubectl apply --server-side --dry-run=server --force-conflicts -f - >/dev/null || fail "the kustomization"
say "config/operator is current, and the API server takes it"
grep -q "^ARG SOZU=$(sed -n 's/^SOZU_VERSION := //p' "$root/Makefile")\$" "$root/Dockerfile" || fail "the Dockerfile builds another Sōzu"
grep -q "^ARG RUST=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")\$" "$root/Dockerfile" || fail "the Dockerfile builds with another Rust"
