#!/bin/sh
# The Gateway API conformance suite against the chart, installed from this checkout:
#   run.sh KAKEHI-BINARY SOZU-BINARY
# On the cluster of tests/cluster, which is brought up when none runs, or on that of KUBECONFIG. Variables:
#   RUN       pattern of test names; without it all tests run and the suite writes its report to REPORT
#   REPORT    file, by default target/conformance/report.yaml
#   PROFILES  by default GATEWAY-HTTP,GATEWAY-GRPC
#   FEATURES  features to test instead of those that the GatewayClass claims; no report then
#   FLAGS     further flags of the suite
#   CHANNEL   of Gateway API's definitions: standard (default) or experimental
#   VALUES    further arguments of helm; on a cluster of KUBECONFIG they name the images
#   USABLE, UNUSABLE  an address that a Gateway can have, and one that it cannot
#   KEEP      leaves Kakehi and the suite's base resources installed, which makes the next run start faster
# The exit status tells whether all tests passed.
set -eu

kakehi=$(realpath "$1") sozu=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
bin=$("$root/tests/cluster/build.sh" node)
own=$("$bin/cluster" kubeconfig 2>/dev/null || true)
[ -n "${KUBECONFIG:-}" ] || own=$("$bin/cluster" up)
export KUBECONFIG="${KUBECONFIG:-$own}"
out=$root/target/conformance
mkdir -p "$out"
work=$(mktemp -d)
system="kakehi-system"
kubectl() { "$bin/kubectl" "$@"; }
helm() { HELM_CACHE_HOME=$work/helm "$bin/helm" "$@"; }
# shellcheck disable=SC2317 # called by the trap
clean() {
	rm -rf "$work"
	[ -n "${KEEP:-}" ] && return
	helm uninstall kakehi -n "$system" --wait >/dev/null 2>&1 || true
	kubectl delete namespace "$system" --ignore-not-found --wait=true --timeout=60s >/dev/null 2>&1 || true
}
trap clean EXIT

cd "$here"
suite=$(go list -m -f '{{.Version}}' sigs.k8s.io/gateway-api)
go mod download "sigs.k8s.io/gateway-api@$suite"
# The folder of the experimental channel also holds a kustomization, which is no object.
set --
for definition in "$(go env GOMODCACHE)/sigs.k8s.io/gateway-api@$suite/config/crd/${CHANNEL:-standard}"/gateway.*.yaml; do
	set -- "$@" -f "$definition"
done
kubectl apply --server-side --force-conflicts "$@" >/dev/null

set --
if [ "$KUBECONFIG" = "$own" ]; then
	tag=$(sha256sum "$kakehi" "$sozu" | sha256sum | cut -c1-12)
	"$root/tests/e2e/images.sh" "$bin" "$kakehi" "$sozu" "$tag"
	set -- --set image.repository=kakehi.test/kakehi --set "image.tag=$tag" \
		--set sozuImage.repository=kakehi.test/kakehi-sozu --set "sozuImage.tag=$tag"
	: "${USABLE:=198.18.32.77}" "${UNUSABLE:=203.0.113.9}"
fi
# shellcheck disable=SC2086 # VALUES are words
helm upgrade --install kakehi "$root/charts/kakehi" -n "$system" --create-namespace --wait --timeout 180s "$@" ${VALUES:-} >/dev/null
kubectl wait --for=condition=Accepted --timeout=60s gatewayclass/kakehi >/dev/null

set -- -gateway-class kakehi -conformance-profiles "${PROFILES:-GATEWAY-HTTP,GATEWAY-GRPC}" \
	-usable-address "${USABLE:-}" -unusable-address "${UNUSABLE:-}"
[ -z "${FEATURES:-}" ] || set -- "$@" -supported-features "$FEATURES"
[ -z "${KEEP:-}" ] || set -- "$@" -cleanup-base-resources=false
if [ -z "${RUN:-}${FEATURES:-}" ]; then
	version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)-$(git describe --always --dirty)
	set -- "$@" -report-output "${REPORT:-$out/report.yaml}" -organization kakehi -project kakehi \
		-url https://github.com/kakehi-dev/kakehi -contact https://github.com/kakehi-dev/kakehi/issues -version "$version"
fi
status=0
# shellcheck disable=SC2086 # FLAGS are words
go test -count=1 -timeout 3h -v -run "^TestConformance\$/(${RUN:-})" . -args "$@" ${FLAGS:-} >"$out/log" 2>&1 || status=$?
grep -E '^    --- (PASS|FAIL)' "$out/log" || tail -n 30 "$out/log"
echo "conformance: exit status $status; the suite's log is $out/log"
exit $status
