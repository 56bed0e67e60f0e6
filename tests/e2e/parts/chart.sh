# What is rendered is current.
HELM=$bin/helm "$root/config/render-operator" | diff -q - "$root/config/operator/operator.yaml" >/dev/null ||
	fail "config/operator/operator.yaml is not current: run make generate"
kubectl apply --server-side --dry-run=server -f "$root/config/operator/namespace.yaml" >/dev/null
say "config/operator is current"
