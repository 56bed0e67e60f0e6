# The API server refuses bad EdgeProfiles by their schema.
profile() { printf 'apiVersion: kakehi.dev/v1alpha1\nkind: EdgeProfile\nmetadata: {name: bad}\nspec: %s\n' "$1"; }
for bad in '{replicas: 0}' '{replicas: 1, autoscaling: {maxReplicas: 2}}' '{service: {type: Nonsense}}' \
	'{autoscaling: {minReplicas: 3, maxReplicas: 2}}' '{service: {type: ClusterIP, externalTrafficPolicy: Local}}'; do
	profile "$bad" | kubectl -n $space apply --dry-run=server -f - >/dev/null 2>&1 && fail "accepted: $bad"
done
profile '{replicas: 2, service: {type: NodePort, externalTrafficPolicy: Local}}' |
	kubectl -n $space apply --dry-run=server -f - >/dev/null || fail "a good profile is refused"
say "bad EdgeProfiles are refused"
