//go:build cluster

package clustertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// The host reaches pods, cluster addresses and external ones.
func TestServiceFromHost(t *testing.T) {
	s := newSpace(t)
	s.deploy("web", "hello", 2)
	s.kubectl("", "expose", "deployment", "web", "--port=80", "--target-port=8080", "--type=LoadBalancer")
	for what, url := range map[string]string{
		"pod":              "http://" + s.field("pods", ".items[0].status.podIP") + ":8080",
		"cluster address":  "http://" + s.field("service/web", ".spec.clusterIP"),
		"external address": "http://" + s.address("web"),
		"port of the node": "http://" + s.field("nodes", ".items[0].status.addresses[0].address") + ":" + s.field("service/web", ".spec.ports[0].nodePort"),
	} {
		t.Log(what, url)
		s.eventually(func() error { return says(url, "hello") })
	}
	if body, err := fetch("http://" + s.address("web") + ":81"); err == nil {
		t.Errorf("a port that no Service has answers: %s", body)
	}
}

// With the policy Local a pod sees the address of the client itself.
func TestClientAddress(t *testing.T) {
	s := newSpace(t)
	s.deploy("web", "hello", 1)
	s.kubectl("", "expose", "deployment", "web", "--port=80", "--target-port=8080", "--type=LoadBalancer",
		`--overrides={"spec": {"externalTrafficPolicy": "Local"}}`)
	url, client := "http://"+s.address("web"), "198.18.0.1"
	s.eventually(func() error {
		body, err := fetch(url)
		if err == nil && !strings.Contains(body, " to "+client+":") {
			err = fmt.Errorf("the client is not %s in %q", client, body)
		}
		return err
	})
}

// A Service may ask for its address; one that cannot be had leaves it without
// any, and an event says why.
func TestRequestedAddress(t *testing.T) {
	s := newSpace(t)
	request := func(name, address string) {
		s.kubectl(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": %q}, "spec":
			{"type": "LoadBalancer", "loadBalancerIP": %q, "ports": [{"port": 80}]}}`, name, address), "apply", "-f", "-")
	}
	request("mine", "198.18.32.200")
	if got := s.address("mine"); got != "198.18.32.200" {
		t.Errorf("asked for 198.18.32.200, got %s", got)
	}
	for _, refused := range []struct{ name, address, reason string }{
		{"outside", "203.0.113.1", "AddressNotUsable"},
		{"taken", "198.18.32.200", "AddressInUse"},
	} {
		request(refused.name, refused.address)
		s.eventually(func() error {
			reasons := s.kubectl("", "get", "events", "--output=jsonpath={.items[*].reason}",
				"--field-selector=involvedObject.name="+refused.name)
			if !strings.Contains(reasons, refused.reason) {
				return fmt.Errorf("events of %s: %q", refused.name, reasons)
			}
			return nil
		})
		if got := s.field("service/"+refused.name, ".status.loadBalancer.ingress"); got != "" {
			t.Errorf("%s has %s", refused.name, got)
		}
	}
	s.kubectl("", "delete", "service", "mine")
	if got := s.address("taken"); got != "198.18.32.200" {
		t.Errorf("the address that became free went elsewhere; got %s", got)
	}
}

func TestDNS(t *testing.T) {
	s := newSpace(t)
	s.deploy("web", "hello", 1)
	s.kubectl("", "expose", "deployment", "web", "--port=80", "--target-port=8080")
	want := s.field("service/web", ".spec.clusterIP")
	for _, name := range []string{"web", "web." + s.name, "web." + s.name + ".svc.cluster.local"} {
		s.eventually(func() error {
			got, err := s.inside("web", "resolve", name)
			if err == nil && got != want {
				err = fmt.Errorf("%s is %s, not %s", name, got, want)
			}
			return err
		})
	}
	if got, err := s.inside("web", "resolve", "name.invalid"); err == nil {
		t.Errorf("a name outside the cluster is %s", got)
	}
	// The pod reaches itself through its Service, by name.
	s.eventually(func() error {
		_, err := s.inside("web", "get", "http://web")
		return err
	})
}

// The echo server of the Gateway API conformance suite says which pod it is.
func TestEchoServer(t *testing.T) {
	s := newSpace(t)
	s.kubectl(`
apiVersion: v1
kind: Pod
metadata: {name: echo, labels: {app: echo}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: echo
    image: kakehi.test/echo-basic:1
    env:
    - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
`, "apply", "-f", "-")
	s.kubectl("", "wait", "--for=condition=Ready", "--timeout=90s", "pod/echo")
	url := "http://" + s.field("pod/echo", ".status.podIP") + ":3000/some/path"
	var answer struct{ Path, Namespace, Pod string }
	s.eventually(func() error {
		body, err := fetch(url)
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(body), &answer)
	})
	if answer.Path != "/some/path" || answer.Pod != "echo" || answer.Namespace != s.name {
		t.Errorf("echo: %+v", answer)
	}
}

// Stated, so that nobody relies on the opposite: the pod network does not
// enforce NetworkPolicies. A policy that denies everything changes nothing.
func TestNetworkPolicyIsNotEnforced(t *testing.T) {
	s := newSpace(t)
	s.deploy("web", "hello", 1)
	s.kubectl(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-everything}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
`, "apply", "-f", "-")
	url := "http://" + s.field("pods", ".items[0].status.podIP") + ":8080"
	for range 10 {
		if err := says(url, "hello"); err != nil {
			t.Fatalf("policies seem to be enforced now, say so in the README: %v", err)
		}
	}
}
