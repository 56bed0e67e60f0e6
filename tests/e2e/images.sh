#!/bin/sh
# Makes the two images of this checkout without a container engine and loads them into the running test cluster:
#   images.sh CLUSTER-PROGRAMS KAKEHI-BINARY SOZU-BINARY TAG
# They hold what those of the Dockerfile hold, as kakehi.test/kakehi:TAG and kakehi.test/kakehi-sozu:TAG.
set -eu
bin=$1 kakehi=$2 sozu=$3 tag=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$kakehi" "$work/kakehi"
strip "$work/kakehi"
"$bin/cluster" image --out "$work/kakehi.tar" --tag "kakehi.test/kakehi:$tag" --user 65532 \
	"$work/kakehi=/usr/local/bin/kakehi"
"$bin/cluster" image --out "$work/sozu.tar" --tag "kakehi.test/kakehi-sozu:$tag" --user 65532 \
	--env KAKEHI_SOZU=/usr/local/bin/sozu \
	"$work/kakehi=/usr/local/bin/kakehi" "$sozu=/usr/local/bin/sozu"
"$bin/cluster" load "$work/kakehi.tar" "$work/sozu.tar"
