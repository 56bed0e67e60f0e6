# A Gateway goes with all that was made for it. One that outlives the operator keeps its edge, and nothing waits for the
# operator that is gone.
gateway last
ingress last last.example
eventually 60 "a Gateway is Programmed" condition $space gateway/last Programmed Programmed
kubectl -n $space delete gateway web --timeout=30s >/dev/null || fail "the Gateway cannot be deleted"
of_gone() { [ -z "$(kubectl -n $space get deployment,daemonset,service,serviceaccount,configmap -l kakehi.dev/edge=kakehi-web -o name)" ]; }
eventually 30 "nothing of a Gateway that was deleted is left" of_gone
last=http://$(address $space last)
eventually 20 "the edge of the last one serves" answers 404 app.example "$last/"

helm uninstall kakehi -n $system --wait --timeout 120s >/dev/null || {
	kubectl -n $system logs job/kakehi-withdraw >&2 || true
	fail "helm uninstall"
}
left=$(kubectl get clusterrole,clusterrolebinding,gatewayclass,ingressclass -o name | grep kakehi || true)
[ -z "$left" ] || fail "left by helm uninstall: $left"
gone() { [ -z "$(kubectl -n $system get lease,secret,endpointslice,deployment,service,configmap,job,pod -o name | grep kakehi)" ]; }
eventually 60 "nothing of the operator is left in its namespace" gone
held=$(kubectl get gateway,httproute,ingress -A -o 'jsonpath={.items[*].metadata.finalizers}')
[ -z "$held" ] || fail "still held: $held"
answers 404 app.example "$last/" || fail "the edge of a Gateway does not serve on"
kubectl -n $space delete gateway,httproute,ingress --all --timeout=30s >/dev/null || fail "an object waits for the operator that is gone"
kubectl delete namespace $space --timeout=60s >/dev/null || fail "the namespace cannot be deleted"
say "nothing is stuck"
