# The leader is killed under load, while routes are made and deleted; another one leads, and nothing is lost.
holder() { kubectl -n $system get lease kakehi -o 'jsonpath={.spec.holderIdentity}'; }
load "$url/" app.example
before=$(holder)
since=$(date +%s)
for number in $(seq 1 20); do
	route $space "churn-$number" "churn-$number.example"
	[ $number != 5 ] || kubectl -n $system delete pod "${before%_*}" --grace-period=0 --force >/dev/null 2>&1
done
another() { [ -n "$(holder)" ] && [ "$(holder)" != "$before" ]; }
eventually 60 "another replica leads" another
say "$(($(date +%s) - since)) s after the churn began"
for number in $(seq 1 20); do
	eventually 30 "route $number is served" get "churn-$number.example" "$url/"
	eventually 30 "and accepted" condition $space "httproute/churn-$number" Accepted Accepted
done >"$work/routes" || { tail -3 "$work/routes" && exit 1; }
say "20 routes made meanwhile are served and accepted"
kubectl -n $space delete httproute $(seq -f 'churn-%g' 1 20) --timeout=60s >/dev/null || fail "routes cannot be deleted"
unload "leader killed under churn"
