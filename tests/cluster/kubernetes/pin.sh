#!/bin/sh
# Prints the go.mod of this folder for one Kubernetes release: pin.sh 1.34.4
# > go.mod, then `go mod tidy`. The staging modules (k8s.io/api and so on) are
# tied to their release by replace lines that do not travel with the module
# k8s.io/kubernetes, so they are repeated here from its go.mod.
set -eu
release=${1:?usage: pin.sh RELEASE (such as 1.34.4)}
upstream=$(cd / && go mod download -json "k8s.io/kubernetes@v$release" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
cat <<END
module kakehi.test/cluster/kubernetes

$(grep '^go ' "$upstream")

$(grep '^godebug ' "$upstream")

require (
	github.com/coredns/coredns v1.13.2
	helm.sh/helm/v3 v3.19.5
	k8s.io/kubernetes v$release
)

tool helm.sh/helm/v3/cmd/helm

replace (
$(sed -n "s,^\t\(k8s.io/[a-z-]*\) => ./staging/.*,\t\1 => \1 v0.${release#1.},p" "$upstream")
)
END
