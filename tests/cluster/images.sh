#!/bin/sh
# Makes the images of the test cluster, OCI archives in DIR/images, from Go
# programs: images.sh DIR. DIR holds `cluster` and `coredns` already.
set -eu

bin=${1:?usage: images.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0

# program FOLDER PACKAGE: builds it into the work folder.
program() {
	echo "building $(basename "$2")" >&2
	(cd "$1" && nice -n 19 go build -p "${KAKEHI_BUILD_JOBS:-2}" -buildvcs=false -trimpath -ldflags '-s -w' -o "$work/" "$2")
}

# image NAME FILE TAG...: the program as an image of its own.
image() {
	name=$1
	file=$2
	shift 2
	tags=
	for tag in "$@"; do
		tags="$tags --tag $tag"
	done
	# shellcheck disable=SC2086 # tags are words
	"$bin/cluster" image --out "$bin/images/$name.tar" $tags "$file=/$name"
}

program "$here/rig" ./images/pause
program "$here/rig" ./images/probe
program "$here/echo" sigs.k8s.io/gateway-api/conformance/echo-basic

rm -f "$bin"/images/*.tar
image pause "$work/pause" kakehi.test/pause:1
image probe "$work/probe" kakehi.test/probe:1
# The long names are those in the manifests of the Gateway API conformance suite.
image coredns "$bin/coredns" kakehi.test/coredns:1 registry.k8s.io/coredns/coredns:v1.12.2
echo=registry.k8s.io/gateway-api/echo-basic
image echo-basic "$work/echo-basic" $echo:v1.5.1 $echo:v1.6.0-dev.2 $echo:v1.6.0-dev.3
