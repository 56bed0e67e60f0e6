#!/bin/sh
# Format and vet of what is here; starts nothing.
set -eu
cd "$(dirname "$0")"
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	echo "check.sh: run gofmt -w on:" "$unformatted" >&2
	exit 1
fi
if command -v shellcheck >/dev/null; then
	shellcheck ./*.sh
fi
go vet ./...
