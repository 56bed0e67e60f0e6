//go:build cluster

package clustertest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A pod gets traffic only when its readiness probe says so, and an update
// replaces the pods without an answer missing.
func TestRollingUpdate(t *testing.T) {
	s := newSpace(t)
	s.deploy("web", "first", 2)
	s.kubectl("", "expose", "deployment", "web", "--port=80", "--target-port=8080")
	url := "http://" + s.field("service/web", ".spec.clusterIP")
	s.eventually(func() error { return says(url, "first") })

	stop := make(chan struct{})
	failures := make(chan error, 1)
	go func() { failures <- watch(url, stop) }()
	s.deploy("web", "second", 2)
	s.eventually(func() error { return says(url, "second") })
	close(stop)
	if err := <-failures; err != nil {
		t.Errorf("an answer was missing during the update: %v", err)
	}
}

// watch fetches until stopped and returns the first failure.
func watch(url string, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(20 * time.Millisecond):
			if _, err := fetch(url); err != nil {
				return err
			}
		}
	}
}

func says(url, message string) error {
	body, err := fetch(url)
	if err == nil && !strings.HasPrefix(body, message+" from ") {
		err = fmt.Errorf("%q does not begin with %q", body, message)
	}
	return err
}

// A container whose liveness probe fails is started again.
func TestLivenessProbe(t *testing.T) {
	s := newSpace(t)
	s.kubectl(`
apiVersion: v1
kind: Pod
metadata: {name: sick}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: sick
    image: kakehi.test/probe:1
    args: [serve]
    env: [{name: READY_AFTER, value: 1h}]
    livenessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1, failureThreshold: 1}
`, "apply", "-f", "-")
	s.eventually(func() error {
		if count := s.field("pod/sick", ".status.containerStatuses[0].restartCount"); count == "" || count == "0" {
			return fmt.Errorf("restarted %q times", count)
		}
		return nil
	})
}

func TestLogsAndExec(t *testing.T) {
	s := newSpace(t)
	s.deploy("web", "hello", 1)
	if log := s.kubectl("", "logs", "deployment/web"); !strings.HasPrefix(log, "serving") {
		t.Errorf("log: %q", log)
	}
	hosts, err := s.inside("web", "cat", "/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(hosts, "Kubernetes-managed") {
		t.Errorf("/etc/hosts of a pod: %q", hosts)
	}
	if _, err := s.inside("web", "cat", "/no/such/file"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a failing command: %v", err)
	}
}

// The token of a pod is one that the API server issued for it.
func TestProjectedToken(t *testing.T) {
	s := newSpace(t)
	s.kubectl(`
apiVersion: v1
kind: Pod
metadata: {name: holder}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: holder
    image: kakehi.test/probe:1
    args: [serve]
    volumeMounts: [{name: token, mountPath: /token}]
  volumes:
  - name: token
    projected: {sources: [{serviceAccountToken: {path: token, audience: kakehi.test}}]}
`, "apply", "-f", "-")
	s.kubectl("", "wait", "--for=condition=Ready", "--timeout=90s", "pod/holder")
	token := s.kubectl("", "exec", "holder", "--", "/probe", "cat", "/token/token")
	for audience, want := range map[string]bool{"kakehi.test": true, "somebody.else": false} {
		var review struct {
			Status struct {
				Authenticated bool
				User          struct{ Username string }
			}
		}
		decode(t, s.kubectl(fmt.Sprintf(`{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
			"spec": {"token": %q, "audiences": [%q]}}`, token, audience), "create", "--output=json", "-f", "-"), &review)
		if review.Status.Authenticated != want {
			t.Errorf("for %s: authenticated is %v", audience, review.Status.Authenticated)
		}
		if name := "system:serviceaccount:" + s.name + ":default"; want && review.Status.User.Username != name {
			t.Errorf("the token is of %q, not of %q", review.Status.User.Username, name)
		}
	}
}

// A Secret that comes after its pod is waited for; one that changes is seen
// in the running pod.
func TestSecretUpdate(t *testing.T) {
	s := newSpace(t)
	s.kubectl(`
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: reader
    image: kakehi.test/probe:1
    args: [serve]
    volumeMounts: [{name: secret, mountPath: /secret}]
  volumes: [{name: secret, secret: {secretName: late}}]
`, "apply", "-f", "-")
	s.kubectl("", "create", "secret", "generic", "late", "--from-literal=word=first")
	s.kubectl("", "wait", "--for=condition=Ready", "--timeout=90s", "pod/reader")
	sees := func(word string) func() error {
		return func() error {
			seen, err := s.try("", "exec", "reader", "--", "/probe", "cat", "/secret/word")
			if err == nil && seen != word {
				err = fmt.Errorf("the pod sees %q, not %q", seen, word)
			}
			return err
		}
	}
	s.eventually(sees("first"))
	s.kubectl("", "patch", "secret", "late", "--patch", `{"stringData": {"word": "second"}}`)
	s.eventually(sees("second"))
}
