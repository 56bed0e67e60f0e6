# The edge of an IngressClass, in the operator's namespace.
ingress app ingress.example
eventually 60 "the Ingress has an address" entry app
eventually 20 "traffic reaches the pods through it" get ingress.example "http://$(entry app)/"
load "http://$(entry app)/" ingress.example
kubectl -n $system rollout restart deployment kakehi-ingress-kakehi >/dev/null
rolled $system kakehi-ingress-kakehi
unload "the class edge rolled"
kubectl -n $space delete ingress app --timeout=30s >/dev/null || fail "the Ingress cannot be deleted"

# One that leaves while no operator runs shows the address until one does.
ingress stayer stayer.example
eventually 60 "the next Ingress has an address" entry stayer
kubectl -n $system scale deployment kakehi --replicas=0 >/dev/null
eventually 60 "no operator runs" kubectl -n $system wait --for=delete --timeout=1s pod -l app.kubernetes.io/name=kakehi
kubectl -n $space patch ingress stayer --type=merge -p '{"spec": {"ingressClassName": "another"}}' >/dev/null
entry stayer >/dev/null || fail "its address was taken by no operator"
kubectl -n $system scale deployment kakehi --replicas=2 >/dev/null
left() { ! entry stayer && [ -z "$(kubectl -n $space get ingress stayer -o 'jsonpath={.metadata.finalizers}')" ]; }
eventually 60 "it shows no address and no finalizer of ours" left
rolled $system kakehi
kubectl -n $space delete ingress stayer --timeout=30s >/dev/null || fail "the Ingress cannot be deleted"
