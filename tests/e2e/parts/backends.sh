# Under load a Deployment is scaled and rolled. Then its Service is deleted: its own route has no answer and says why, other
# routes notice nothing.
load "$url/" app.example
kubectl -n $space scale deployment app --replicas=3 >/dev/null
rolled $space app
kubectl -n $space rollout restart deployment app >/dev/null
rolled $space app
kubectl -n $space scale deployment app --replicas=1 >/dev/null
sleep 5
unload "backends scaled up, rolled, scaled down"

application other
rolled $space other
eventually 30 "another route has its own pods" get other.example "$url/"
load "$url/" app.example
kubectl -n $space delete service other >/dev/null
eventually 10 "without its Service the other route answers 500" answers 500 other.example "$url/"
eventually 10 "and says why" condition $space httproute/other ResolvedRefs BackendNotFound other
unload "the Service of another route deleted"
application other
eventually 20 "with a Service it answers again" get other.example "$url/"
eventually 10 "and says so" condition $space httproute/other ResolvedRefs ResolvedRefs
kubectl -n $space delete httproute,service,deployment other --timeout=30s >/dev/null
