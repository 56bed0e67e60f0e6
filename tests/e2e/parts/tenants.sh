# Two Gateways in two namespaces on the same port with the same hostname: fully apart; and who has no grant reaches nothing.
restricted $neighbour
sed 's/value: app}/value: neighbour}/' "$here/web.yaml" | kubectl -n $neighbour apply -f - >/dev/null
eventually 60 "the neighbour's Gateway is Programmed" kubectl -n $neighbour wait --for=condition=Programmed --timeout=1s gateway/web
theirs=http://$(address $neighbour web)
[ "$theirs" != "$url" ] || fail "both have one address"
eventually 30 "the neighbour is served" get app.example "$theirs/"
for _ in $(seq 1 50); do
	get app.example "$url/" | grep -q '^app from' || fail "ours answers with something else"
	get app.example "$theirs/" | grep -q '^neighbour from' || fail "theirs answers with something else"
done
say "one hostname, one port, two Gateways: 100 answers, each of its own pods"

route $neighbour theft theft.example '' "{name: app, namespace: $space, port: 80}"
eventually 20 "a neighbour's Service is not reached without a grant" condition $neighbour httproute/theft ResolvedRefs RefNotPermitted
eventually 10 "and answered with 500" answers 500 theft.example "$theirs/"
route $neighbour guest guest.example "{name: web, namespace: $space}"
eventually 20 "a neighbour's Gateway takes no route" condition $neighbour httproute/guest Accepted NotAllowedByListeners
answers 404 guest.example "$url/" || fail "it is served all the same"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=secret.example -addext subjectAltName=DNS:secret.example \
	-keyout "$work/tls.key" -out "$work/tls.crt" 2>/dev/null
kubectl -n $space create secret tls ours --cert="$work/tls.crt" --key="$work/tls.key" >/dev/null
kubectl -n $neighbour patch gateway web --type=json -p "[{\"op\":\"add\",\"path\":\"/spec/listeners/-\",\"value\":{\"name\":\"tls\",\"port\":443,
	\"protocol\":\"HTTPS\",\"tls\":{\"certificateRefs\":[{\"name\":\"ours\",\"namespace\":\"$space\"}]}}}]" >/dev/null
refused() { kubectl -n $neighbour get gateway web -o "jsonpath={.status.listeners[?(@.name=='tls')].conditions[?(@.type=='ResolvedRefs')].reason}" | grep -qx "$1"; }
eventually 20 "a neighbour's Secret is not used without a grant" refused RefNotPermitted
shown() { openssl s_client -connect "${theirs#http://}:443" -servername secret.example </dev/null 2>/dev/null | grep -q 'CN = secret.example'; }
shown && fail "the certificate is shown"

printf 'apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: lent}\nspec:\n  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: %s}, {group: gateway.networking.k8s.io, kind: Gateway, namespace: %s}]\n  to: [{group: "", kind: Service, name: app}, {group: "", kind: Secret, name: ours}]\n' $neighbour $neighbour |
	kubectl -n $space apply -f - >/dev/null
eventually 20 "with a grant the Service is reached" get theft.example "$theirs/"
get theft.example "$theirs/" | grep -q '^app from' || fail "by other pods"
eventually 20 "and the certificate is shown" shown
kubectl -n $space delete referencegrant lent >/dev/null
eventually 20 "without it no more" answers 500 theft.example "$theirs/"
eventually 20 "nor the certificate" refused RefNotPermitted
hidden() { ! shown; }
eventually 20 "which is not shown" hidden
kubectl -n $space delete secret ours >/dev/null
kubectl -n $neighbour delete httproute,gateway --all --timeout=30s >/dev/null || fail "the neighbour's objects cannot be deleted"
kubectl delete namespace $neighbour --timeout=60s >/dev/null || fail "the neighbour's namespace hangs"
