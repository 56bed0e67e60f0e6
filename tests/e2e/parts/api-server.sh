# The API server is stopped for a minute under load (its process, of the test cluster, by its pid). Edges serve on; afterwards
# changes arrive as before.
#
# When it runs again, Kubernetes takes a node for dead that it has not heard of for so long, and kube-proxy sends nothing to its
# pods until the kubelet speaks (seen: 8 s). So the Service's address has load while the API server is stopped, and the pods
# themselves have load until all is done.
node=$(cut -d' ' -f1 /run/kakehi/cluster/pids/cluster.pid)
api_server() {
	for process in /proc/[0-9]*; do
		[ "$(readlink "$process/ns/net")" = "$(readlink "/proc/$node/ns/net")" ] || continue
		tr '\0' '\n' <"$process/cmdline" | head -1 | grep -qx kube-apiserver && echo "${process#/proc/}"
	done 2>/dev/null
}
pid=$(api_server)
[ "$(echo "$pid" | wc -w)" = 1 ] || fail "the API server's process is not found: $pid"
pods=$(kubectl -n $space get pod -l kakehi.dev/edge=kakehi-web -o 'jsonpath={.items[*].status.podIP}')
load "$url/" app.example
sleep 1
kill -STOP "$pid"
trap 'kill -CONT "$pid"' EXIT
timeout 3 "$bin/kubectl" get --raw /readyz >/dev/null 2>&1 && fail "the API server answers"
say "the API server is stopped"
sleep 54
unload "the API server stopped for a minute, through the Service"
for pod in $pods; do load "http://$pod/" app.example; done
sleep 2
kill -CONT "$pid"
trap - EXIT
since=$(date +%s)
say "and runs again"
eventually 60 "it answers" kubectl get --raw /readyz
patch() { kubectl -n $space patch httproute app --type=merge -p "{\"spec\":{\"hostnames\":$1}}" >/dev/null; }
eventually 30 "a route is changed" patch '["app.example","later.example"]'
eventually 90 "the change is served" get later.example "$url/"
say "$(($(date +%s) - since)) s after the API server ran again"
patch '["app.example"]'
eventually 30 "and taken back" answers 404 later.example "$url/"
unload "and running again, straight to the pods"
kubectl -n $system rollout status deployment kakehi --timeout=120s >/dev/null || fail "the operator does not come back"
eventually 60 "the Gateway is Programmed" kubectl -n $space wait --for=condition=Programmed --timeout=1s gateway/web
