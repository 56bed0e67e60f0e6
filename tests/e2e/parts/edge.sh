# Edge pods are deleted, killed in part, and rolled under load.
pod() { kubectl -n $space get pod -l kakehi.dev/edge=kakehi-web --field-selector status.phase=Running -o 'jsonpath={.items[0].metadata.name}'; }
load "$url/" app.example
kubectl -n $space delete "pod/$(pod)" --wait=true --timeout=90s >/dev/null || fail "the pod does not go"
rolled $space kakehi-web
unload "an edge pod deleted"
load "$url/" app.example
kubectl -n $space rollout restart deployment kakehi-web >/dev/null
rolled $space kakehi-web
unload "the edge rolled"
