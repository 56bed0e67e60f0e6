# Kubernetes to test on; see tests/cluster/README.md.
# DIR=folder is where an API server keeps its state; several run in several.

cluster_home := $(dir $(lastword $(MAKEFILE_LIST)))
cluster_dir  = $(if $(DIR),--dir $(DIR))

.PHONY: cluster cluster-down cluster-packages cluster-check cluster-test apiserver apiserver-down

# The last line of each is the path of a kubeconfig.
cluster:
	@bin=$$($(cluster_home)build.sh node) && $$bin/cluster up

cluster-down:
	@bin=$$($(cluster_home)build.sh apiserver) && $$bin/cluster down

# What a node needs of the distribution, with apt-get, as root.
cluster-packages:
	@bin=$$($(cluster_home)build.sh apiserver) && lacking=$$($$bin/cluster packages | tr '\n' ' ') && \
	if [ -n "$$lacking" ]; then apt-get update -qq && apt-get install -y --no-install-recommends $$lacking; fi

apiserver:
	@bin=$$($(cluster_home)build.sh apiserver) && $$bin/cluster apiserver up $(cluster_dir)

apiserver-down:
	@bin=$$($(cluster_home)build.sh apiserver) && $$bin/cluster apiserver down $(cluster_dir)

cluster-test:
	@$(cluster_home)test.sh

# The sources only: format, vet, tests of the parts.
cluster-check:
	@$(cluster_home)check.sh
