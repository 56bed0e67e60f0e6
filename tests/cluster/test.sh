#!/bin/sh
# Proves the test cluster. On the cluster of KUBECONFIG if that is set, or on
# the one that runs; else on a new one, which is taken down again, and then
# nothing of it may be left.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bin=$("$here/build.sh" rig)
[ -n "${KUBECONFIG:-}" ] || "$bin/cluster" require
"$here/build.sh" node >/dev/null
"$here/check.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# traces: all that a cluster could leave behind on this machine.
traces() {
	grep -e kakehi -e kubelet -e containerd -e netns -e /proc/sys /proc/self/mounts || true
	ip -o link | cut -d: -f2
	ip -o route
	nft list ruleset
	lsns --noheadings --type net --output NS
	find /sys/fs/cgroup -name 'kube*' -o -name 'kakehi*'
	find /run /var/lib /var/log /opt -maxdepth 1 \
		'(' -name '*kube*' -o -name '*containerd*' -o -name '*cni*' -o -name '*kakehi*' -o -name pods -o -name containers ')'
	tail /proc/sys/vm/overcommit_memory /proc/sys/vm/panic_on_oom /proc/sys/kernel/panic /proc/sys/kernel/panic_on_oops \
		/proc/sys/kernel/keys/root_maxkeys /proc/sys/kernel/keys/root_maxbytes /proc/sys/net/ipv4/ip_forward
	for exe in /proc/[0-9]*/exe; do
		readlink "$exe" || true
	done | grep -e "^$bin/" -e containerd -e runc || true
}

prove() {
	cd "$here/rig"
	KUBECONFIG=$1 CLUSTER_BIN=$bin go test -count=1 -parallel 4 -tags cluster ./clustertest
}

if [ -n "${KUBECONFIG:-}" ]; then
	prove "$KUBECONFIG"
	exit
fi
if kubeconfig=$("$bin/cluster" kubeconfig 2>/dev/null); then
	prove "$kubeconfig"
	exit
fi

traces >"$work/before"
trap '"$bin/cluster" down; rm -rf "$work"' EXIT
"$bin/cluster" up >"$work/up"
kubeconfig=$("$bin/cluster" up) # once more changes nothing
prove "$kubeconfig"
"$bin/cluster" down
"$bin/cluster" down
traces >"$work/after"
diff "$work/before" "$work/after" || {
	echo "test.sh: the cluster left something behind (lines with >)" >&2
	exit 1
}
echo "the cluster left nothing behind"
