# Bad news is in the status: a name that somebody else has, an address that cannot be had, a quota, a missing profile.
kubectl -n $space create serviceaccount kakehi-foreign >/dev/null
gateway foreign
eventually 20 "an object of somebody else's is left alone" condition $space gateway/foreign Programmed NoResources 'does not belong to this Gateway'
gateway far 'addresses: [{type: IPAddress, value: 203.0.113.9}]'
eventually 20 "an address that cannot be had is AddressNotUsable" condition $space gateway/far Programmed AddressNotUsable 203.0.113.9
gateway near 'addresses: [{type: IPAddress, value: 198.18.32.77}]'
eventually 60 "a requested address is had" condition $space gateway/near Programmed Programmed
[ "$(kubectl -n $space get gateway near -o 'jsonpath={.status.addresses[*].value}')" = 198.18.32.77 ] || fail "another address"
gateway lost 'infrastructure: {parametersRef: {group: kakehi.dev, kind: EdgeProfile, name: none}}'
eventually 20 "a missing EdgeProfile is InvalidParameters" condition $space gateway/lost Accepted InvalidParameters 'does not exist'
kubectl -n $space create quota tight --hard=services=0 >/dev/null
gateway tight
eventually 20 "a quota's words are in the status" condition $space gateway/tight Programmed NoResources 'exceeded quota'
kubectl -n $space delete quota tight >/dev/null
eventually 90 "and when it is gone, the Gateway is Programmed" condition $space gateway/tight Programmed Programmed
long=$(printf '%0.sx' $(seq 1 61)).$(printf '%0.sy' $(seq 1 61)).long
gateway "$long"
eventually 60 "a Gateway with a long name is Programmed" condition $space "gateway/$long" Programmed Programmed
for name in foreign far near lost tight "$long"; do
	kubectl -n $space delete gateway "$name" --timeout=30s >/dev/null || fail "Gateway $name cannot be deleted"
done
kubectl -n $space delete serviceaccount kakehi-foreign >/dev/null
of_gone() { [ -z "$(kubectl -n $space get deployment,daemonset,service,serviceaccount,configmap -l 'kakehi.dev/edge,gateway.networking.k8s.io/gateway-name,gateway.networking.k8s.io/gateway-name!=web' -o name)" ]; }
eventually 30 "nothing of their edges is left" of_gone
