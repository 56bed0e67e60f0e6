# A Gateway goes with all that was made for it, and the release with all of its own.
kubectl -n $space delete gateway web --timeout=30s >/dev/null || fail "the Gateway cannot be deleted"
gone() { [ -z "$(kubectl -n $space get deployment,service,serviceaccount,configmap -l kakehi.dev/edge -o name)" ]; }
eventually 30 "nothing of the edge is left" gone
# While the operator is there to let it go.
kubectl -n $space delete httproute app --timeout=30s >/dev/null || fail "the route cannot be deleted"
helm uninstall kakehi -n $system --wait --timeout 60s >/dev/null || fail "helm uninstall"
left=$(kubectl get clusterrole,clusterrolebinding,gatewayclass,ingressclass -o name | grep kakehi || true)
[ -z "$left" ] || fail "left by helm uninstall: $left"
kubectl delete namespace $space --timeout=60s >/dev/null || fail "the namespace cannot be deleted"
say "nothing is stuck"
