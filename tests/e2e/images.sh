#!/bin/sh
# Makes the two images of this checkout and loads them into the running test cluster:
#   images.sh CLUSTER-PROGRAMS KAKEHI-BINARY SOZU-BINARY TAG
# as kakehi.test/kakehi:TAG and kakehi.test/kakehi-sozu:TAG.
set -eu
bin=$1 kakehi=$2 sozu=$3 tag=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$(dirname "$0")/../../config/build-images" "$kakehi" "$sozu" kakehi.test "$tag" "$work"
"$bin/cluster" load "$work/kakehi.tar" "$work/kakehi-sozu.tar"
