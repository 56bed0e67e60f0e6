# What the parts share. Sourced by run.sh, which sets here, root, bin, work, kakehi, sozu, tag and KUBECONFIG.
system=kakehi-system
space=kakehi-e2e
neighbour=kakehi-e2e-next
gateway_api=sigs.k8s.io/gateway-api@v1.6.1

kubectl() { "$bin/kubectl" "$@"; }
helm() { HELM_CACHE_HOME=$work/helm "$bin/helm" "$@"; }
say() { echo "e2e: $part: $*"; }
fail() {
	echo "e2e: $part: FAILED: $*" >&2
	kubectl get gateway,httproute,ingress,deployment,service,pod -A -o wide >&2 || true
	kubectl -n $system logs -l app.kubernetes.io/name=kakehi --tail=30 --prefix >&2 || true
	kubectl -n $space logs -l app.kubernetes.io/name=kakehi-edge --all-containers --tail=20 --prefix >&2 || true
	exit 1
}

# eventually SECONDS WHAT COMMAND...: until the command succeeds.
eventually() {
	deadline=$(($(date +%s) + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt $deadline ] || fail "$what: not so"
		sleep 0.2
	done
	say "$what"
}

# get HOST URL: the body, of a 2xx answer only.
get() { curl -fsS -m 2 -H "Host: $1" "$2"; }
# status HOST URL: the status code alone.
status() { curl -s -m 3 -o /dev/null -w '%{http_code}' -H "Host: $1" "$2"; }
# answers CODE HOST URL: whether that is the status code.
answers() { [ "$(status "$2" "$3")" = "$1" ]; }

address() { kubectl -n "$1" get gateway "$2" -o 'jsonpath={.status.addresses[0].value}'; }

# process POD WORD: the process id of `kakehi WORD` in an edge's pod.
process() {
	for id in $(grep -slzx "HOSTNAME=$1" /proc/[0-9]*/environ || true); do
		id=${id%/environ}
		[ "$(tr '\0' ' ' <"$id/cmdline" | cut -d' ' -f2)" != "$2" ] || echo "${id#/proc/}"
	done | grep . || fail "the process of kakehi $2 is not found"
}
# restarts POD CONTAINER: how often the container of a pod of ours was started again; restarted: whether it was once.
restarts() { kubectl -n $space get pod "$1" -o json | jq -r --arg name "$2" '.status.containerStatuses[] | select(.name == $name).restartCount'; }
restarted() { [ "$(restarts "$1" "$2")" = 1 ]; }

# condition NAMESPACE OBJECT TYPE REASON [TEXT]: whether a condition of the object has the reason, and a message with the text.
# For a route: of its first parent.
condition() {
	case $2 in httproute/*) at='.status.parents[0].conditions' ;; *) at='.status.conditions' ;; esac
	[ "$(kubectl -n "$1" get "$2" -o "jsonpath={${at}[?(@.type=='$3')].reason}")" = "$4" ] || return 1
	[ -z "${5:-}" ] || kubectl -n "$1" get "$2" -o "jsonpath={${at}[?(@.type=='$3')].message}" | grep -q "$5"
}

# load URL HOST: requests without pause, some on a new connection each, some over kept ones, until `unload`.
# Several may run at once.
load() {
	loads=$((${loads:-0} + 1))
	"$here/load.sh" fresh "$1" "$2" "$work/load.$loads.fresh" &
	echo $! >>"$work/loads"
	"$here/load.sh" kept "$1" "$2" "$work/load.$loads.kept" &
	echo $! >>"$work/loads"
}
# silence: ends all load.
silence() {
	while read -r one; do
		kill "$one" 2>/dev/null || true
		wait "$one" 2>/dev/null || true
	done 2>/dev/null <"$work/loads" || true
}
# unload WHAT: ends all load; says how many requests there were, and fails if one did.
unload() {
	sleep 1
	silence
	bad=
	for number in $(seq 1 "$loads"); do
		for way in fresh kept; do
			count=$(cat "$work/load.$number.$way")
			say "$1: $count ($way connections)"
			case $count in
			0\ *) bad="no request at all" ;;
			*,\ 0\ failed) ;;
			*) bad=$count && tail -20 "$work/load.$number.$way.errors" >&2 ;;
			esac
		done
	done
	rm -f "$work"/load*
	loads=0
	[ -z "$bad" ] || fail "$1: $bad"
}

# rolled NAMESPACE DEPLOYMENT: waits until it is.
rolled() { kubectl -n "$1" rollout status deployment "$2" --timeout=120s >/dev/null || fail "$2 does not roll"; }

# chart ARGUMENT...: installs or upgrades the chart.
chart() {
	helm upgrade --install kakehi "$root/charts/kakehi" -n $system --wait --timeout 120s \
		--set image.repository=kakehi.test/kakehi --set image.tag="$tag" \
		--set sozuImage.repository=kakehi.test/kakehi-sozu --set sozuImage.tag="$tag" \
		--set gatewayClass.profile.replicas=2 --set ingressClass.create=true --set ingressClass.profile.replicas=1 \
		"$@" >/dev/null || fail "helm install"
}

gateway_api_crds() {
	go mod download $gateway_api
	echo "$(go env GOMODCACHE)/$gateway_api/config/crd/standard"
}

# restricted NAMESPACE: a namespace that enforces the `restricted` Pod Security Standard.
restricted() {
	kubectl create namespace "$1" --dry-run=client -o yaml | kubectl apply --server-side -f - >/dev/null
	kubectl label --overwrite namespace "$1" pod-security.kubernetes.io/enforce=restricted >/dev/null
}

# ready: what parts start from: the chart with two replicas, and in namespace $space Gateway web with two pods, HTTPRoute app
# and Deployment app, all of the images under test. Nothing is done where that is there.
ready() {
	kubectl apply --server-side -f "$(gateway_api_crds)" >/dev/null
	for name in $system $space; do restricted $name; done
	[ "$(helm get values kakehi -n $system -o json 2>/dev/null | jq -r .image.tag)" = "$tag" ] || chart
	kubectl -n $space apply -f "$here/web.yaml" >/dev/null
	eventually 60 "the GatewayClass is accepted" kubectl wait --for=condition=Accepted --timeout=1s gatewayclass/kakehi
	eventually 60 "the Gateway is Programmed" kubectl -n $space wait --for=condition=Programmed --timeout=1s gateway/web
	current() { [ "$(kubectl -n $space get deployment kakehi-web -o 'jsonpath={.spec.template.spec.containers[0].image}')" = "kakehi.test/kakehi:$tag" ]; }
	eventually 60 "its pods are to be of the images under test" current
	rolled $space kakehi-web
	rolled $space app
	url=http://$(address $space web)
	eventually 30 "traffic reaches the pods through $url" get app.example "$url/"
}

# gateway NAME [SPEC-FIELDS]: a Gateway with one listener.
gateway() {
	printf 'apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: %s}\nspec:\n  gatewayClassName: kakehi\n  listeners: [{name: http, port: 80, protocol: HTTP}]\n  %s\n' "$1" "${2:-}" |
		kubectl -n $space apply -f - >/dev/null
}

# route NAMESPACE NAME HOST [PARENT] [BACKEND]: an HTTPRoute of Gateway web to Service app, or of and to others.
route() {
	printf 'apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: %s}\nspec:\n  parentRefs: [%s]\n  hostnames: [%s]\n  rules: [{backendRefs: [%s]}]\n' \
		"$2" "${4:-{name: web\}}" "$3" "${5:-{name: app, port: 80\}}" | kubectl -n "$1" apply -f - >/dev/null
}

# application NAME: an HTTPRoute for NAME.example with a Service and a Deployment of its own, like those of web.yaml.
application() { sed "1,/^---\$/d; s/\bapp\b/$1/g" "$here/web.yaml" | kubectl -n $space apply -f - >/dev/null; }

# ingress NAME HOST: an Ingress of our class for Service app.
ingress() {
	printf 'apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: %s}\nspec:\n  ingressClassName: kakehi\n  rules: [{host: %s, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: app, port: {number: 80}}}}]}}]\n' "$1" "$2" |
		kubectl -n $space apply -f - >/dev/null
}
# entry NAME: the address of an Ingress.
entry() { kubectl -n $space get ingress "$1" -o 'jsonpath={.status.loadBalancer.ingress[0].ip}' | grep .; }

# clean: takes everything away that parts make, routes and Ingresses while the operator is there to let them go.
clean() {
	for name in $space $neighbour; do
		kubectl -n $name delete httproute,gateway,ingress --all --timeout=30s >/dev/null 2>&1 || true
		kubectl -n $name delete ingress --all --timeout=30s >/dev/null 2>&1 || true
		kubectl delete namespace $name --ignore-not-found --wait=true --timeout=60s >/dev/null 2>&1 || true
	done
	helm uninstall kakehi -n $system --wait >/dev/null 2>&1 || true
	kubectl delete namespace $system --ignore-not-found --wait=true --timeout=60s >/dev/null 2>&1 || true
}
