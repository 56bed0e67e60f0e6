# A listener's port opens and closes without a new pod.
pods=$(kubectl -n $space get pod -l gateway.networking.k8s.io/gateway-name=web -o name)
load "$url/" app.example
kubectl -n $space patch gateway web --type=json \
	-p '[{"op":"add","path":"/spec/listeners/-","value":{"name":"more","port":8080,"protocol":"HTTP"}}]' >/dev/null
eventually 30 "a new port is open" get app.example "$url:8080/"
kubectl -n $space patch gateway web --type=json -p '[{"op":"remove","path":"/spec/listeners/1"}]' >/dev/null
closed() { [ "$(status app.example "$url:8080/")" = 000 ]; }
eventually 30 "and closed again" closed
unload "a port opened and closed"
[ "$pods" = "$(kubectl -n $space get pod -l gateway.networking.k8s.io/gateway-name=web -o name)" ] || fail "new pods for a port"
