#!/bin/sh
# Looks at the sources of the test cluster without starting anything: format,
# vet, shellcheck where it is installed, and the tests of the parts.
set -eu

cd "$(dirname "$0")"
export CGO_ENABLED=0

unformatted=$(gofmt -l rig kubernetes)
if [ -n "$unformatted" ]; then
	echo "check.sh: run gofmt -w on:" "$unformatted" >&2
	exit 1
fi
if command -v shellcheck >/dev/null; then
	shellcheck ./*.sh kubernetes/*.sh
fi
(cd rig && go vet -tags cluster ./... && go test . ./internal/oci ./internal/pki ./internal/process)
# The flags of build.sh, so that what it built is used again; no vet here, as
# it would read all of Kubernetes.
(cd kubernetes && nice -n 19 go test -p 1 -trimpath -tags grpcnotrace,providerless ./loadbalancer)
