# Kubernetes to test on; see tests/cluster/README.md.
# DIR=folder is where an API server keeps its state; several run in several.

cluster_home := $(dir $(lastword $(MAKEFILE_LIST)))
cluster_dir  = $(if $(DIR),--dir $(DIR))

.PHONY: cluster cluster-down cluster-packages cluster-check cluster-test apiserver apiserver-down apiserver-programs

# The last line of `cluster` and `apiserver` is the path of a kubeconfig.
cluster: ## a real one-node Kubernetes on this machine (root); prints its kubeconfig
	@bin=$$($(cluster_home)build.sh rig) && $$bin/cluster require
	@bin=$$($(cluster_home)build.sh node) && $$bin/cluster up

cluster-down: ## takes it down and leaves nothing behind
	@bin=$$($(cluster_home)build.sh rig) && $$bin/cluster down

cluster-test: ## proves it: on KUBECONFIG's cluster, the one that runs, or a new one
	@$(cluster_home)test.sh

cluster-packages: ## installs what it needs of the distribution, with apt-get (root)
	@bin=$$($(cluster_home)build.sh rig) && lacking=$$($$bin/cluster packages | tr '\n' ' ') && \
	if [ -n "$$lacking" ]; then apt-get update -qq && apt-get install -y --no-install-recommends $$lacking; fi

cluster-check: ## format, vet and unit tests of its sources; starts nothing
	@$(cluster_home)check.sh

apiserver: ## a Kubernetes API server without a node; prints its kubeconfig; DIR=folder for another one
	@bin=$$($(cluster_home)build.sh apiserver) && $$bin/cluster apiserver up $(cluster_dir)

apiserver-down: ## takes it down
	@bin=$$($(cluster_home)build.sh rig) && $$bin/cluster apiserver down $(cluster_dir)

apiserver-programs: ## builds what it consists of (about eight minutes the first time)
	@$(cluster_home)build.sh apiserver >/dev/null
