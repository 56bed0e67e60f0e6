# An edge changes between Deployment and DaemonSet under load, and is rolled as a DaemonSet; then one in the network of its node.
class=kakehi-daemons node=$(kubectl get node -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
[ -n "$node" ] || fail "the node has no address"
# pods_by SPEC: what the class says of pods.
pods_by() { printf 'apiVersion: kakehi.dev/v1alpha1\nkind: EdgeProfile\nmetadata: {name: daemons}\nspec: %s\n' "$1" | kubectl -n $system apply -f - >/dev/null; }
# is KIND: whether the edge has pods of this kind, all of them available, and none of the other.
is() {
	case $1 in
	daemonset) count='{.status.desiredNumberScheduled} {.status.numberAvailable}' other=deployment ;;
	*) count='{.spec.replicas} {.status.availableReplicas}' other=daemonset ;;
	esac
	[ -z "$(kubectl -n $space get $other kakehi-daemons -o name --ignore-not-found)" ] || return 1
	kubectl -n $space get "$1" kakehi-daemons -o "jsonpath=$count" | grep -qxE '([1-9][0-9]*) \1'
}
pods_by '{replicas: 2}'
kubectl apply -f - >/dev/null <<EOF
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: $class}
spec:
  controllerName: kakehi.dev/gateway-controller
  parametersRef: {group: kakehi.dev, kind: EdgeProfile, namespace: $system, name: daemons}
EOF
# gateway_at PORT
gateway_at() {
	printf 'apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: daemons}\nspec:\n  gatewayClassName: %s\n  listeners: [{name: http, port: %s, protocol: HTTP}]\n' $class "$1" |
		kubectl -n $space apply -f - >/dev/null
}
gateway_at 80
route $space daemons daemons.example "{name: daemons}"
eventually 60 "the Gateway of the class is Programmed" condition $space gateway/daemons Programmed Programmed
eventually 60 "its edge is a Deployment" is deployment
daemons=http://$(address $space daemons)/
eventually 30 "it answers at $daemons" get daemons.example "$daemons"
service=$(kubectl -n $space get service kakehi-daemons -o 'jsonpath={.metadata.uid}')

load "$daemons" daemons.example
pods_by '{placement: {workload: DaemonSet}}'
eventually 120 "it becomes a DaemonSet" is daemonset
unload "a Deployment replaced by a DaemonSet"
[ -z "$(kubectl -n $space get pdb,hpa -o name | grep kakehi-daemons)" ] || fail "a budget or autoscaler of a DaemonSet"

load "$daemons" daemons.example
kubectl -n $space rollout restart daemonset kakehi-daemons >/dev/null
kubectl -n $space rollout status daemonset kakehi-daemons --timeout=120s >/dev/null || fail "the DaemonSet does not roll"
unload "a DaemonSet rolled"

load "$daemons" daemons.example
pods_by '{replicas: 2}'
eventually 120 "it becomes a Deployment again" is deployment
unload "a DaemonSet replaced by a Deployment"
[ "$service" = "$(kubectl -n $space get service kakehi-daemons -o 'jsonpath={.metadata.uid}')" ] || fail "another Service"

# In the network of the node: its address is the Gateway's. The policy of the chart is to be told, and the namespace.
kubectl -n $space delete gateway daemons --timeout=30s >/dev/null || fail "the Gateway cannot be deleted"
eventually 60 "its edge is gone" sh -c "[ -z \"\$('$bin/kubectl' -n $space get deployment,daemonset,service -o name | grep kakehi-daemons)\" ]"
pods_by '{placement: {workload: DaemonSet, network: Host}, service: {type: ClusterIP}}'
gateway_at 18080
eventually 60 "the network of the node is refused" condition $space gateway/daemons Programmed NoResources 'namespaces of the node'
chart --set 'admissionPolicy.networks={Host}'
kubectl label --overwrite namespace $space pod-security.kubernetes.io/enforce=privileged >/dev/null
eventually 120 "and made when the chart allows it" is daemonset
eventually 60 "the Gateway is Programmed" condition $space gateway/daemons Programmed Programmed
[ "$(kubectl -n $space get gateway daemons -o 'jsonpath={.status.addresses[*].value}')" = "$node" ] || fail "the address is not that of the node, $node"
eventually 30 "it answers at the port of the node" get daemons.example "http://$node:18080/"
# One node, and both kinds need its ports: the one before makes way after half a minute.
pods_by '{replicas: 1, placement: {network: Host}, service: {type: ClusterIP}}'
eventually 180 "a Deployment takes its place" is deployment
eventually 60 "it answers at the port of the node again" get daemons.example "http://$node:18080/"

kubectl -n $space delete httproute daemons --timeout=30s >/dev/null || fail "the route cannot be deleted"
kubectl -n $space delete gateway daemons --timeout=30s >/dev/null || fail "the Gateway cannot be deleted"
eventually 60 "nothing of its edge is left" sh -c "[ -z \"\$('$bin/kubectl' -n $space get deployment,daemonset,service,pod -o name | grep kakehi-daemons)\" ]"
kubectl delete gatewayclass $class --timeout=30s >/dev/null || fail "the class cannot be deleted"
kubectl -n $system delete edgeprofile daemons >/dev/null
chart
restricted $space
