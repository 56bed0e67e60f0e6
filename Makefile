# Kakehi. `make` lists what there is; every target installs what it needs into user caches, never with sudo.

SOZU_VERSION := 2.3.3
CACHE        := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kakehi
SOZU_TEST    := $(CACHE)/sozu-$(SOZU_VERSION)-release/bin/sozu
SOZU_LTO     := $(CACHE)/sozu-$(SOZU_VERSION)-lto/bin/sozu
CARGO        ?= cargo

.DEFAULT_GOAL := help
include tests/cluster/cluster.mk
.PHONY: help run test check bless generate tools sozu sozu-lto bench-standalone bench-limits bench-chaos bench-tenants bench-profile fuzz e2e images conformance

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

# What `kakehi --version` says.
run images: export KAKEHI_COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)

run: tools $(SOZU_TEST) ## standalone mode on config/standalone/: real Sōzu on 127.0.0.1:8080 and :8443, admin on :9901
	$(CARGO) build --release -p kakehi -p kakehi-echo --bins
	config/run-quickstart $(SOZU_TEST) target/release

test: tools $(SOZU_TEST) $(if $(KUBECONFIG),,apiserver-programs) ## all tests: unit, golden cases, properties, real Sōzu, oracle, API server
	config/install-clients
	CHROMIUM="$$(config/install-chromium)" PROMETHEUS="$$(config/install-prometheus)" KAKEHI_SOZU=$(SOZU_TEST) $(CARGO) test --no-fail-fast

check: tools ## format, lints, dependency rules, advisories, ten seconds of each fuzz target; what is written in Go, where there is Go
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	config/check-dependencies
	config/run-fuzz 10
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory cluster-check && tests/conformance/check.sh; else echo "no Go here: tests/cluster and tests/conformance are not checked" >&2; fi

bless: tools $(SOZU_TEST) ## rewrites the expected side of the golden cases
	KAKEHI_BLESS=1 $(CARGO) test --test cases

bench-standalone: tools $(SOZU_LTO) ## CPU per request beside Envoy and others, failures under churn, latency, memory; ROWS=tls,relay for some of it
	config/install-bench-tools
	KAKEHI_BENCH_ROWS='$(ROWS)' KAKEHI_SOZU=$${KAKEHI_SOZU:-$(SOZU_LTO)} $(CARGO) bench --bench standalone

bench-limits: tools $(SOZU_TEST) ## what an edge holds, and what happens beyond: connections, slow heads, streams, memory; ROWS=kept for some of it
	KAKEHI_BENCH_ROWS='$(ROWS)' KAKEHI_SOZU=$${KAKEHI_SOZU:-$(SOZU_TEST)} $(CARGO) bench --bench limits

bench-chaos: tools $(SOZU_TEST) ## what clients notice when processes are killed, stopped or told to end; ROWS=SIGTERM for some of it
	KAKEHI_BENCH_ROWS='$(ROWS)' KAKEHI_SOZU=$${KAKEHI_SOZU:-$(SOZU_TEST)} $(CARGO) bench --bench chaos

bench-tenants: tools ## what a megabyte of manifests costs the control plane, for each kind whose parts multiply; ROWS=YAML for some of it
	KAKEHI_BENCH_ROWS='$(ROWS)' $(CARGO) bench --bench tenants

fuzz: tools ## looks for inputs that break the code: TARGET=access, heads, lines, manifests or proxy (all), SECONDS=600 for each
	config/run-fuzz $(or $(SECONDS),600) $(TARGET)

bench-profile: export KAKEHI_BENCH_PROFILE := 1
bench-profile: bench-standalone ## where the filter proxy's CPU time goes, and its system calls per request (with perf); ROWS=relay as above

generate: tools ## rewrites what is generated from the code: config/settings.md, config/metrics.md, crds/, the chart's rules, config/operator/operator.yaml
	KAKEHI_BLESS=1 $(CARGO) test --test generated
	bin=$$(tests/cluster/build.sh node) && HELM=$$bin/helm config/render-operator >config/operator/operator.yaml

e2e: tools $(SOZU_TEST) ## the chart on the test cluster (make cluster); PART=leader or others of tests/e2e/parts for some of it
	$(CARGO) build --bin kakehi --example recreate
	tests/e2e/run.sh target/debug/kakehi $(SOZU_TEST) $(PART)

conformance: tools $(SOZU_TEST) ## the Gateway API conformance suite on the test cluster; RUN=pattern for single tests
	$(CARGO) build --bin kakehi
	RUN='$(RUN)' tests/conformance/run.sh target/debug/kakehi $(SOZU_TEST)

images: tools $(SOZU_LTO) ## both images as archives in target/images, without a container engine; with one: see Dockerfile
	$(CARGO) build --profile image --bin kakehi
	config/build-images target/image/kakehi $(SOZU_LTO) ghcr.io/kakehi-dev \
		$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1) target/images

tools: ## protoc, which the Sōzu command library's build needs
	@config/install-tools

sozu: $(SOZU_TEST) ## the Sōzu binary for `make run` and tests (release profile)
sozu-lto: $(SOZU_LTO) ## the Sōzu binary for images and benchmarks (fat LTO, one codegen unit; about eight minutes)

$(SOZU_TEST): | tools
	config/install-sozu $(SOZU_VERSION) release

$(SOZU_LTO): | tools
	config/install-sozu $(SOZU_VERSION) lto
