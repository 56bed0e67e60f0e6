# A real Prometheus scrapes what the chart's monitors say: both operator replicas and every edge pod. Every documented series
# has data, and so has every query of the dashboard.
program=$("$root/config/install-prometheus")
if [ -z "$program" ]; then
	say "left out: there is no Prometheus"
	exit 0
fi
kubectl apply --server-side -f "$here/monitors.yaml" >/dev/null
kubectl wait --for=condition=Established --timeout=30s crd/servicemonitors.monitoring.coreos.com crd/podmonitors.monitoring.coreos.com >/dev/null
chart --set serviceMonitor.enabled=true,serviceMonitor.interval=2s --set podMonitor.enabled=true,podMonitor.interval=2s
rolled $system kakehi
kubectl get servicemonitor,podmonitor,service,endpointslice,pod -A -o json | jq -f "$here/scrape.jq" >"$work/prometheus.json"
at=127.0.0.1:$(shuf -i 20000-29999 -n 1)
"$program" --config.file="$work/prometheus.json" --storage.tsdb.path="$work/prometheus" --web.listen-address=$at >"$work/prometheus.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null' EXIT
# query EXPRESSION: its samples, those apart that are no numbers.
query() { curl -fsS -m 5 "http://$at/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[].value[1]' | grep -v NaN; }
# is NUMBER EXPRESSION: whether that is its one sample.
is() { [ "$(query "$2")" = "$1" ]; }
eventually 60 "both replicas of the operator are scraped" is 2 "count(up{job=\"ServiceMonitor/$system/kakehi\"} == 1)"
pods=$(kubectl get pod -A -l app.kubernetes.io/name=kakehi-edge -o json | jq '[.items[] | select(.metadata.deletionTimestamp == null)] | length')
eventually 60 "and $pods edge pods" is "$pods" "count(up{job=\"PodMonitor/$system/kakehi-edges\"} == 1)"
eventually 20 "one replica leads" is 1 "sum(kakehi_leader)"
eventually 20 "each pod is ready, and fed" is "$pods" "count(kakehi_edge_ready == 1 and kakehi_edge_connected == 1)"

# Traffic of every kind, and changes: what Sōzu decides, what the filter proxy decides, what has no backend and no route.
route $space missing missing.example '' '{name: missing, port: 80}'
printf 'apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: filtered}\nspec:\n  parentRefs: [{name: web}]\n  hostnames: [filtered.example]\n  rules: [{matches: [{headers: [{name: x-e2e, value: "yes"}]}], backendRefs: [{name: app, port: 80}]}]\n' |
	kubectl -n $space apply -f - >/dev/null
busy() {
	round=0
	while :; do
		round=$((round + 1))
		route $space busy "busy-$round.example"
		for host in app.example missing.example unknown.example; do status $host "$url/" >/dev/null; done
		for _ in 1 2 3; do curl -s -m 3 -o /dev/null -H 'Host: filtered.example' -H 'x-e2e: yes' "$url/"; done
		sleep 1
	done
}
busy &
worker=$!
trap 'kill $server $worker 2>/dev/null' EXIT
# What is documented, and asked by the dashboard; restarts of edge processes are counted in standalone mode only.
sed -n 's/^| `\(kakehi_[a-z_]*\)[^|]*| histogram .*/\1_count/p; s/^| `\(kakehi_[a-z_]*\)[^|]*| [cg][a-z]* .*/\1/p' "$root/config/metrics.md" |
	grep -vx kakehi_edge_restarts_total >"$work/series"
jq -r '.. | .expr? // empty' "$root/charts/kakehi/files/dashboard.json" | grep -v kakehi_edge_restarts_total |
	sed 's/\$__rate_interval/30s/g; s/\$edge/.+/g' >"$work/queries"
[ "$(wc -l <"$work/series")" -gt 40 ] && [ "$(wc -l <"$work/queries")" -gt 50 ] || fail "what is to be asked is not found"
# silent FILE: those that give nothing.
silent() { while read -r expression; do query "$expression" | grep -q . || echo "$expression"; done <"$1"; }
all_speak() {
	silent "$1" >"$work/silent"
	[ ! -s "$work/silent" ]
}
for what in series queries; do
	left=20
	until all_speak "$work/$what"; do
		left=$((left - 1))
		[ $left -gt 0 ] || fail "without data: $(cat "$work/silent")"
		sleep 1
	done
done
say "$(wc -l <"$work/series") series and $(wc -l <"$work/queries") queries of the dashboard have data"
kill $worker $server
trap - EXIT
kubectl -n $space delete httproute missing filtered busy --timeout=30s >/dev/null
chart
kubectl delete -f "$here/monitors.yaml" >/dev/null
