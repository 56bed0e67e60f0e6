# The edge of an IngressClass, in the operator's namespace.
ingress app ingress.example
eventually 60 "the Ingress has an address" entry app
eventually 20 "traffic reaches the pods through it" get ingress.example "http://$(entry app)/"
load "http://$(entry app)/" ingress.example
kubectl -n $system rollout restart deployment kakehi-ingress-kakehi >/dev/null
rolled $system kakehi-ingress-kakehi
unload "the class edge rolled"
kubectl -n $space delete ingress app --timeout=30s >/dev/null || fail "the Ingress cannot be deleted"
