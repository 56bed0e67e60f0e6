# Without any definition of Gateway API the operator serves Ingress; definitions that come later are picked up by the
# processes that run.
kubectl delete -f "$(gateway_api_crds)" --ignore-not-found --timeout=60s >/dev/null 2>&1 || fail "the definitions cannot be deleted"
for name in $system $space; do restricted $name; done
chart
[ -z "$(kubectl get crd -o name | grep gateway.networking)" ] || fail "Gateway API is there"
sed '/^apiVersion: v1/,$!d' "$here/web.yaml" | kubectl -n $space apply -f - >/dev/null
rolled $space app
ingress app ingress.example
eventually 60 "without Gateway API an Ingress has an address" entry app
eventually 20 "and is served" get ingress.example "http://$(entry app)/"
pods() { kubectl -n $system get pod -l app.kubernetes.io/component=controller -o 'jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount}{"\n"}{end}'; }
before=$(pods)

load "http://$(entry app)/" ingress.example
kubectl apply --server-side -f "$(gateway_api_crds)" >/dev/null
since=$(date +%s)
printf 'apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: kakehi}\nspec: {controllerName: kakehi.dev/gateway-controller, parametersRef: {group: kakehi.dev, kind: EdgeProfile, name: kakehi, namespace: %s}}\n' $system |
	kubectl apply -f - >/dev/null
eventually 60 "definitions that come later are picked up" kubectl wait --for=condition=Accepted --timeout=1s gatewayclass/kakehi
say "after $(($(date +%s) - since)) s"
kubectl -n $space apply -f "$here/web.yaml" >/dev/null
eventually 60 "a Gateway is Programmed" kubectl -n $space wait --for=condition=Programmed --timeout=1s gateway/web
eventually 30 "and served" get app.example "http://$(address $space web)/"
unload "Ingress, while the definitions come"
[ "$before" = "$(pods)" ] || fail "the operator restarted: $before, $(pods)"
kubectl -n $space delete ingress app --timeout=30s >/dev/null || fail "the Ingress cannot be deleted"
kubectl -n $space delete httproute/app gateway/web --timeout=30s >/dev/null || fail "the Gateway cannot be deleted"
kubectl delete gatewayclass kakehi --timeout=30s >/dev/null || fail "the GatewayClass cannot be deleted"
helm uninstall kakehi -n $system --wait --timeout 60s >/dev/null || fail "helm uninstall"
