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

# upstream PROGRAM: the names by which the manifests of the Gateway API
# conformance suite call its image. (What they call echo-advanced is for
# meshes, and no Go module has it.)
upstream() {
	suite=$(cd "$here/echo" && go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api/conformance)
	names=$(grep -rhoE 'image: *[^ ]+' "$suite" --include='*.yaml' | sed 's/image: *//' | grep "/$1:" | sort -u)
	echo "${names:?the conformance suite names no image of $1}"
}

program "$here/rig" ./images/pause
program "$here/rig" ./images/probe
program "$here/echo" sigs.k8s.io/gateway-api/conformance/echo-basic

rm -f "$bin"/images/*.tar
image pause "$work/pause" kakehi.test/pause:1
image probe "$work/probe" kakehi.test/probe:1
names=$(upstream coredns)
# shellcheck disable=SC2086 # names are words
image coredns "$bin/coredns" kakehi.test/coredns:1 $names
names=$(upstream echo-basic)
# shellcheck disable=SC2086
image echo-basic "$work/echo-basic" kakehi.test/echo-basic:1 $names
