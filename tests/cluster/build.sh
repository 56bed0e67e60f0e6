#!/bin/sh
# Builds what the test clusters run into a folder of the user's cache and
# prints that folder:
#   build.sh rig         the command `cluster`
#   build.sh apiserver   that, and etcd, Kubernetes, kubectl
#   build.sh node        those, Helm and CoreDNS, and the container images
# A second run that finds nothing changed does nothing. Two runs at once wait
# for one another.
set -eu

want=${1:?usage: build.sh rig|apiserver|node}
here=$(cd "$(dirname "$0")" && pwd)
release=$(sed -n 's,^\tk8s.io/kubernetes v,,p' "$here/kubernetes/go.mod")
bin=${XDG_CACHE_HOME:-$HOME/.cache}/kakehi/kubernetes-$release

# A Go too old for the modules says so itself, or fetches the one they need.
if ! (cd "$here/kubernetes" && go list -m) >/dev/null; then
	echo "tests/cluster: Go 1.26 or newer is needed, which builds the Kubernetes that tests run on: https://go.dev/doc/install" >&2
	exit 1
fi
mkdir -p "$bin/images" "$bin/stamps"
exec 9>"$bin/lock"
flock 9

# Plain Go makes static binaries, which run in an image without anything else.
# Builds are polite: a test cluster is rarely the only thing being built.
export CGO_ENABLED=0
jobs=${KAKEHI_BUILD_JOBS:-2}

# digest FOLDER...: of the sources in the folders, wherever the checkout is,
# and of the compiler.
digest() {
	{
		go version
		cd "$here"
		find build.sh images.sh "$@" -type f ! -path '*/clustertest/*' ! -name '*_test.go' |
			LC_ALL=C sort | xargs sha256sum
	} | sha256sum
}

# fresh NAME FOLDER...: whether NAME was built from these very sources.
fresh() {
	name=$1
	shift
	new=$(digest "$@")
	[ "$(cat "$bin/stamps/$name" 2>/dev/null)" = "$new" ]
}

# built: remember the sources that `fresh` looked at last.
built() { echo "$new" >"$bin/stamps/$name"; }

# compile OUTPUT FOLDER PACKAGE [LDFLAGS]: the package of the module there.
# Whoever starts the program meanwhile gets the old one, whole.
compile() {
	echo "building $(basename "$1")" >&2
	(cd "$2" && nice -n 19 go build -p "$jobs" -buildvcs=false -trimpath -tags grpcnotrace,providerless \
		-ldflags "-s -w ${4:-}" -o "$1.new" "$3")
	mv "$1.new" "$1"
}

# The release, as the programs shall name it: VARIABLE=VALUE for the linker.
version_flags() {
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		echo "-X $package.gitVersion=v$release -X $package.gitMajor=1" \
			"-X $package.gitMinor=$(echo "$release" | cut -d. -f2) -X $package.gitTreeState=clean"
	done | tr '\n' ' '
}

if ! fresh rig rig; then
	compile "$bin/cluster" "$here/rig" .
	built
fi
if [ "$want" != rig ] && ! fresh kubernetes kubernetes; then
	compile "$bin/kube" "$here/kubernetes" . "$(version_flags)"
	ln -sf kube "$bin/kubectl"
	built
fi
if [ "$want" = node ]; then
	if ! fresh tools kubernetes; then
		compile "$bin/helm" "$here/kubernetes" helm.sh/helm/v3/cmd/helm
		compile "$bin/coredns" "$here/kubernetes" ./coredns
		built
	fi
	if ! fresh images rig echo kubernetes; then
		"$here/images.sh" "$bin"
		built
	fi
fi
echo "$bin"
