# An edge's token reads its own edge's snapshot and no other's: raw TLS to the leader, with what an attacker could have.
gateway other
eventually 60 "another Gateway in the same namespace is Programmed" kubectl -n $space wait --for=condition=Programmed --timeout=1s gateway/other
restricted $neighbour
sed 's/value: app}/value: neighbour}/' "$here/web.yaml" | kubectl -n $neighbour apply -f - >/dev/null
eventually 60 "and one in another namespace" kubectl -n $neighbour wait --for=condition=Programmed --timeout=1s gateway/web
leader=$(kubectl -n $system get endpointslice kakehi-leader-ipv4 -o 'jsonpath={.endpoints[0].addresses[0]}')

# ask EDGE TOKEN: the first bytes of the answer over the snapshot port.
ask() {
	printf '{"wire":1,"edge":"%s","token":"%s"}\n' "$1" "$2" |
		timeout 3 openssl s_client -quiet -verify_quiet -connect "$leader:9443" -servername kakehi 2>/dev/null | head -c 300 | tr -d '\0'
}
# bound NAMESPACE EDGE [AUDIENCE]: the token of the edge's first pod, as the kubelet has it from the API server.
bound() {
	pod=$(kubectl -n "$1" get pod -l kakehi.dev/edge="$2" -o 'jsonpath={.items[0].metadata.name}')
	kubectl -n "$1" create token "$2" --audience "${3:-kakehi-snapshot}" --duration 10m --bound-object-kind Pod --bound-object-name "$pod"
}
reads() { # WHAT EDGE TOKEN
	answer=$(ask "$2" "$3")
	case $answer in *'"delta"'*) say "$1: read" ;; *) fail "$1 is not read: $answer" ;; esac
}
refused() { # WHAT EDGE TOKEN
	answer=$(ask "$2" "$3")
	case $answer in
	*'"delta"'*) fail "$1: read: $answer" ;;
	'{"refused":'*) say "$1: $answer" ;;
	*) fail "$1: neither read nor refused: $answer" ;;
	esac
}
web=$(bound $space kakehi-web)
reads "its own snapshot" $space/web "$web"
refused "another edge's in its namespace" $space/other "$web"
refused "an edge's of another namespace" $neighbour/web "$web"
refused "the neighbour's token for ours" $space/web "$(bound $neighbour kakehi-web)"
refused "an edge that does not exist" $space/nothing "$web"
refused "a name that is a path" "$space/web/../other" "$web"
refused "an edge's token for the API server" $space/web "$(bound $space kakehi-web https://kubernetes.default.svc.cluster.local)"
refused "a token of its ServiceAccount, bound to no pod" $space/web "$(kubectl -n $space create token kakehi-web --audience kakehi-snapshot)"
refused "the operator's own" $space/web "$(kubectl -n $system create token kakehi --audience kakehi-snapshot)"
refused "no token" $space/web ""
refused "a token with another signature" $space/web "${web%????????}AAAAAAAA"

# A pod that a user of the namespace makes under the edge's ServiceAccount, with its labels.
kubectl -n $space get deployment app -o json |
	jq '{apiVersion: "v1", kind: "Pod", metadata: {name: "impostor", labels: {"kakehi.dev/edge": "kakehi-web"}}, spec: (.spec.template.spec + {serviceAccountName: "kakehi-web"})}' |
	kubectl -n $space apply -f - >/dev/null
eventually 30 "a pod with the edge's ServiceAccount and labels runs" kubectl -n $space wait --for=condition=Ready --timeout=1s pod/impostor
refused "its token" $space/web "$(kubectl -n $space create token kakehi-web --audience kakehi-snapshot --bound-object-kind Pod --bound-object-name impostor)"
kubectl -n $space delete pod impostor --grace-period=0 --force >/dev/null 2>&1

# The token of a pod that is gone.
old=$(bound $space kakehi-other)
reads "the other's own snapshot" $space/other "$old"
kubectl -n $space delete gateway other --timeout=30s >/dev/null || fail "Gateway other cannot be deleted"
kubectl -n $neighbour delete httproute,gateway --all --timeout=30s >/dev/null || fail "the neighbour's objects cannot be deleted"
gone() { answer=$(ask $space/other "$old") && case $answer in '{"refused":'*) ;; *) false ;; esac; }
eventually 30 "when the Gateway is gone, its token reads nothing" gone
kubectl delete namespace $neighbour --timeout=60s >/dev/null || fail "the neighbour's namespace hangs"
