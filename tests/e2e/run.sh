#!/bin/sh
# The chart on the test cluster, from installation to uninstallation:
#   run.sh KAKEHI-BINARY SOZU-BINARY
# Brings the cluster of tests/cluster up when none runs, and leaves it. What is made here is taken away at the end, unless
# KEEP is set.
set -eu

kakehi=$1 sozu=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
bin=$("$root/tests/cluster/build.sh" node)
KUBECONFIG=$("$bin/cluster" up)
export KUBECONFIG
work=$(mktemp -d)
system=kakehi-system
space=kakehi-e2e
tag=$(sha256sum "$kakehi" "$sozu" | sha256sum | cut -c1-12)

kubectl() { "$bin/kubectl" "$@"; }
helm() { HELM_CACHE_HOME=$work/helm "$bin/helm" "$@"; }
say() { echo "e2e: $*"; }
fail() {
	echo "e2e: FAILED: $*" >&2
	kubectl get gateway,httproute,deployment,service,pod -A -o wide >&2 || true
	kubectl -n $system logs -l app.kubernetes.io/name=kakehi --tail=30 --prefix >&2 || true
	kubectl -n $space logs -l app.kubernetes.io/name=kakehi-edge --all-containers --tail=20 --prefix >&2 || true
	exit 1
}
# eventually SECONDS WHAT COMMAND...: until the command succeeds.
eventually() {
	left=$(($1 * 5)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || fail "$what"
		sleep 0.2
	done
	say "$what"
}
clean() {
	[ -n "${KEEP:-}" ] && return
	kubectl delete namespace $space --ignore-not-found --wait=true --timeout=60s >/dev/null 2>&1 || true
	helm uninstall kakehi -n $system --wait >/dev/null 2>&1 || true
	kubectl delete namespace $system --ignore-not-found --wait=true --timeout=60s >/dev/null 2>&1 || true
}
trap 'clean; rm -rf "$work"' EXIT

"$here/images.sh" "$bin" "$kakehi" "$sozu" "$tag"
release=sigs.k8s.io/gateway-api@v1.6.1
go mod download "$release"
crds=$(go env GOMODCACHE)/$release/config/crd/standard
kubectl apply --server-side -f "$crds" >/dev/null
for name in $system $space; do
	kubectl create namespace $name --dry-run=client -o yaml | kubectl apply --server-side -f - >/dev/null
	kubectl label --overwrite namespace $name pod-security.kubernetes.io/enforce=restricted >/dev/null
done

# The API server takes what the chart renders, and the schema of values refuses what it must.
helm template kakehi "$root/charts/kakehi" -n $system --set replicas=0 >/dev/null 2>&1 && fail "a wrong value is accepted"
helm upgrade --install kakehi "$root/charts/kakehi" -n $system --wait --timeout 120s \
	--set image.repository=kakehi.test/kakehi --set image.tag="$tag" \
	--set sozuImage.repository=kakehi.test/kakehi-sozu --set sozuImage.tag="$tag" \
	--set gatewayClass.profile.replicas=1 --set ingressClass.create=true --set ingressClass.profile.replicas=1 >/dev/null || fail "helm install"
say "the chart is installed with two replicas, in a namespace that enforces restricted"
eventually 30 "the GatewayClass is accepted" kubectl wait --for=condition=Accepted --timeout=1s gatewayclass/kakehi

# The API server refuses bad profiles by their schema.
profile() { printf 'apiVersion: kakehi.dev/v1alpha1\nkind: EdgeProfile\nmetadata: {name: bad}\nspec: %s\n' "$1"; }
for bad in '{replicas: 0}' '{replicas: 1, autoscaling: {maxReplicas: 2}}' '{service: {type: Nonsense}}' \
	'{autoscaling: {minReplicas: 3, maxReplicas: 2}}' '{service: {type: ClusterIP, externalTrafficPolicy: Local}}'; do
	profile "$bad" | kubectl -n $space apply --dry-run=server -f - >/dev/null 2>&1 && fail "accepted: $bad"
done
profile '{replicas: 2, service: {type: NodePort, externalTrafficPolicy: Local}}' |
	kubectl -n $space apply --dry-run=server -f - >/dev/null || fail "a good profile is refused"
say "the API server refuses bad EdgeProfiles"

kubectl -n $space apply -f "$here/web.yaml" >/dev/null
eventually 60 "the Gateway is Programmed" kubectl -n $space wait --for=condition=Programmed --timeout=1s gateway/web
address=$(kubectl -n $space get gateway web -o 'jsonpath={.status.addresses[0].value}')
get() { curl -fsS -m 2 -o /dev/null "$@"; }
eventually 30 "traffic reaches the pods through $address" get -H 'Host: app.example' "http://$address/"
[ "$(kubectl -n $space get service kakehi-web -o 'jsonpath={.metadata.labels.team}')" = red ] || fail "no label of the Gateway"

# A listener's port opens without a new pod.
pods=$(kubectl -n $space get pod -l gateway.networking.k8s.io/gateway-name=web -o name)
kubectl -n $space patch gateway web --type=json \
	-p '[{"op":"add","path":"/spec/listeners/-","value":{"name":"more","port":8080,"protocol":"HTTP"}}]' >/dev/null
eventually 30 "a new port is open" get -H 'Host: app.example' "http://$address:8080/"
[ "$pods" = "$(kubectl -n $space get pod -l gateway.networking.k8s.io/gateway-name=web -o name)" ] || fail "new pods for a port"

# Under load nothing fails: backends scaled and rolled, the edge rolled, an operator's pod deleted.
"$here/load.sh" "http://$address/" app.example "$work/load" &
load=$!
sleep 1
kubectl -n $space scale deployment app --replicas=3 >/dev/null
kubectl -n $space rollout status deployment app --timeout=60s >/dev/null
kubectl -n $space rollout restart deployment app >/dev/null
kubectl -n $space rollout status deployment app --timeout=90s >/dev/null
say "the backends were scaled and rolled"
leader=$(kubectl -n $system get lease kakehi -o 'jsonpath={.spec.holderIdentity}' | sed 's/_[0-9a-f]*$//')
kubectl -n $system delete pod "$leader" --grace-period=0 --force >/dev/null 2>&1
say "the leader was killed"
kubectl -n $space rollout restart deployment kakehi-web >/dev/null
kubectl -n $space rollout status deployment kakehi-web --timeout=120s >/dev/null || fail "the edge does not roll"
say "the edge was rolled"
"$here/images.sh" "$bin" "$kakehi" "$sozu" "$tag-next"
helm upgrade kakehi "$root/charts/kakehi" -n $system --reuse-values --wait --timeout 120s \
	--set image.tag="$tag-next" --set sozuImage.tag="$tag-next" >/dev/null || fail "helm upgrade"
upgraded() { kubectl -n $space get deployment kakehi-web -o 'jsonpath={.spec.template.spec.containers[*].image}' | grep -q "$tag-next.*$tag-next"; }
eventually 60 "the edge has the images of the new release" upgraded
kubectl -n $space rollout status deployment kakehi-web --timeout=120s >/dev/null || fail "the edge is not upgraded"
say "operator and edge were upgraded"
sleep 2
kill $load
wait $load 2>/dev/null || true
say "load: $(cat "$work/load")"
grep -q ' 0 failed' "$work/load" || fail "requests failed under load"

# The edge of an IngressClass, in the operator's namespace.
printf 'apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: app}\nspec:\n  ingressClassName: kakehi\n  rules: [{host: ingress.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: app, port: {number: 80}}}}]}}]\n' |
	kubectl -n $space apply -f - >/dev/null
entry() { kubectl -n $space get ingress app -o 'jsonpath={.status.loadBalancer.ingress[0].ip}' | grep .; }
eventually 60 "the Ingress has an address" entry
eventually 20 "traffic reaches the pods through it" get -H 'Host: ingress.example' "http://$(entry)/"

# Bad news is in the status: a name that somebody else has, an address that cannot be had, a quota, a missing profile.
gateway() { # NAME SPEC-FIELDS
	printf 'apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: %s}\nspec:\n  gatewayClassName: kakehi\n  listeners: [{name: http, port: 80, protocol: HTTP}]\n  %s\n' "$1" "${2:-}" |
		kubectl -n $space apply -f - >/dev/null
}
because() { # NAME CONDITION REASON [TEXT]
	[ "$(kubectl -n $space get gateway "$1" -o "jsonpath={.status.conditions[?(@.type=='$2')].reason}")" = "$3" ] || return 1
	[ -z "${4:-}" ] || kubectl -n $space get gateway "$1" -o "jsonpath={.status.conditions[?(@.type=='$2')].message}" | grep -q "$4"
}
kubectl -n $space create serviceaccount kakehi-foreign >/dev/null
gateway foreign
eventually 20 "an object of somebody else's is left alone" because foreign Programmed NoResources 'does not belong to this Gateway'
gateway far 'addresses: [{type: IPAddress, value: 203.0.113.9}]'
eventually 20 "an address that cannot be had is AddressNotUsable" because far Programmed AddressNotUsable 203.0.113.9
gateway near 'addresses: [{type: IPAddress, value: 198.18.32.77}]'
eventually 60 "a requested address is had" because near Programmed Programmed
[ "$(kubectl -n $space get gateway near -o 'jsonpath={.status.addresses[*].value}')" = 198.18.32.77 ] || fail "another address"
gateway lost 'infrastructure: {parametersRef: {group: kakehi.dev, kind: EdgeProfile, name: none}}'
eventually 20 "a missing EdgeProfile is InvalidParameters" because lost Accepted InvalidParameters 'does not exist'
kubectl -n $space create quota tight --hard=services=0 >/dev/null
gateway tight
eventually 20 "a quota's words are in the status" because tight Programmed NoResources 'exceeded quota'
kubectl -n $space delete quota tight >/dev/null
eventually 90 "and when it is gone, the Gateway is Programmed" because tight Programmed Programmed
long=$(printf '%0.sx' $(seq 1 61)).$(printf '%0.sy' $(seq 1 61)).long
gateway "$long"
eventually 60 "a Gateway with a long name is Programmed" because "$long" Programmed Programmed
for name in foreign far near lost tight "$long"; do
	kubectl -n $space delete gateway "$name" --timeout=30s >/dev/null || fail "Gateway $name cannot be deleted"
done
kubectl -n $space delete serviceaccount kakehi-foreign >/dev/null

kubectl -n $space delete gateway web --timeout=30s >/dev/null || fail "the Gateway cannot be deleted"
gone() { [ -z "$(kubectl -n $space get deployment,service,serviceaccount,configmap -l kakehi.dev/edge -o name)" ]; }
eventually 30 "nothing of the edge is left" gone

HELM=$bin/helm "$root/config/render-operator" | diff -q - "$root/config/operator/operator.yaml" >/dev/null ||
	fail "config/operator/operator.yaml is not current: run make generate"
kubectl apply --server-side --dry-run=server -f "$root/config/operator/namespace.yaml" >/dev/null
# A Gateway, a route and an Ingress outlive the operator, and nothing waits for it.
gateway last
eventually 60 "a last Gateway is Programmed" because last Programmed Programmed
helm uninstall kakehi -n $system --wait --timeout 120s >/dev/null || {
	kubectl -n $system logs job/kakehi-withdraw >&2 || true
	fail "helm uninstall"
}
left=$(kubectl get clusterrole,clusterrolebinding,gatewayclass,ingressclass -o name | grep kakehi || true)
[ -z "$left" ] || fail "left by helm uninstall: $left"
gone_too() { [ -z "$(kubectl -n $system get lease,secret,endpointslice,deployment,service,configmap,job,pod -o name | grep kakehi)" ]; }
eventually 60 "nothing of the operator is left in its namespace" gone_too
held=$(kubectl get gateway,httproute,ingress -A -o 'jsonpath={.items[*].metadata.finalizers}')
[ -z "$held" ] || fail "still held: $held"
address=$(kubectl -n $space get gateway last -o 'jsonpath={.status.addresses[0].value}')
[ "$(curl -s -m 2 -o /dev/null -w '%{http_code}' "http://$address/")" = 404 ] || fail "the edge of a Gateway does not serve on"
kubectl -n $space delete gateway,httproute,ingress --all --timeout=30s >/dev/null || fail "an object waits for the operator that is gone"
kubectl delete namespace $space --timeout=60s >/dev/null || fail "the namespace cannot be deleted"
say "uninstalled; nothing is stuck"
say "passed"
