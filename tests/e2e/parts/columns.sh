# What `kubectl get` shows, as a user expects it.
ingress columns columns.example
eventually 60 "the Ingress has an address" entry columns
# columns WHAT PATTERN COMMAND...: whether the line of the object is like this, all of it but its age.
columns() {
	what=$1 pattern=$2
	shift 2
	line=$("$@" --no-headers | sed 's/  */ /g')
	echo "$line" | grep -qxE "$pattern [0-9a-z]+" || fail "$what: $line"
	say "$what: $line"
}
ip='[0-9.]+'
columns gatewayclass 'kakehi kakehi.dev/gateway-controller True' kubectl get gatewayclass kakehi
columns gateway "web kakehi $(address $space web) True" kubectl -n $space get gateway web
columns httproute 'app \["app.example"\]' kubectl -n $space get httproute app
columns ingress "columns kakehi columns.example $ip 80" kubectl -n $space get ingress columns
columns edgeprofile 'kakehi 2' kubectl -n $system get edgeprofile kakehi
columns service "kakehi-web LoadBalancer $ip $(address $space web) 80:[0-9]+/TCP" kubectl -n $space get service kakehi-web
columns deployment 'kakehi-web 2/2 2 2' kubectl -n $space get deployment kakehi-web
[ "$(kubectl -n $space get service kakehi-web -o 'jsonpath={.metadata.labels.team}')" = red ] || fail "no label of the Gateway"
kubectl -n $space delete ingress columns --timeout=30s >/dev/null || fail "the Ingress cannot be deleted"
