#!/bin/sh
# The chart on the test cluster, part by part:
#   run.sh KAKEHI-BINARY SOZU-BINARY [PART...]
# A part is a script of parts/; without one all run, in the order below. Each runs alone too: it starts from an installed
# chart with a Gateway (`ready`), or from a cluster without the chart where it says so. Brings the cluster of tests/cluster
# up when none runs, and leaves it. What is made here is taken away at the end, unless KEEP is set.
set -eu

kakehi=$1 sozu=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
bin=$("$root/tests/cluster/build.sh" node)
KUBECONFIG=$("$bin/cluster" up)
export KUBECONFIG
work=$(mktemp -d)
tag=$(sha256sum "$kakehi" "$sozu" | sha256sum | cut -c1-12)
part=run
. "$here/lib.sh"
trap 'silence; [ -n "${KEEP:-}" ] || clean; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# These start from a cluster without the chart.
bare="late-definitions"
all="$bare profiles columns ports backends leader api-server edge daemons container full-disk upgrade stages tenants tokens ingress deletion provisioning prometheus chart uninstall"
[ $# -gt 0 ] || set -- $all

"$here/images.sh" "$bin" "$kakehi" "$sozu" "$tag"
for part; do
	[ -f "$here/parts/$part.sh" ] || fail "there is no such part; there are: $all"
	case " $bare " in
	*" $part "*) clean ;;
	*) ready ;;
	esac
	# A part's shell ends with it, and whatever it defined.
	(. "$here/parts/$part.sh") || exit 1
	say "passed"
done
