//go:build cluster

// Package clustertest proves that the test cluster is a real one: what the
// tests of Kakehi rely on works as in any Kubernetes. It runs on the cluster
// that KUBECONFIG names; CLUSTER_BIN is the folder of kubectl and helm.
package clustertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience with whatever the cluster brings about by itself.
const patience = 90 * time.Second

func TestMain(m *testing.M) {
	for _, name := range []string{"KUBECONFIG", "CLUSTER_BIN"} {
		if os.Getenv(name) == "" {
			fmt.Fprintf(os.Stderr, "clustertest: %s is not set; run `make cluster-test`\n", name)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// space is a namespace of one test's own.
type space struct {
	t    *testing.T
	name string
}

// newSpace makes the namespace and removes it when the test ends. Tests wait
// more than they work, so they do it together.
func newSpace(t *testing.T) space {
	t.Parallel()
	s := space{t, fmt.Sprintf("%s-%d", strings.ToLower(t.Name()), time.Now().UnixNano()%1e9)}
	s.kubectl("", "create", "namespace", s.name)
	t.Cleanup(func() { s.kubectl("", "delete", "namespace", s.name, "--wait=false") })
	s.eventually(func() error {
		_, err := s.try("", "get", "serviceaccount", "default")
		return err
	})
	return s
}

// kubectl runs it in the namespace, with the input, and returns what it prints.
func (s space) kubectl(input string, arguments ...string) string {
	s.t.Helper()
	output, err := s.try(input, arguments...)
	if err != nil {
		s.t.Fatal(err)
	}
	return output
}

func (s space) try(input string, arguments ...string) (string, error) {
	return tool(input, "kubectl", append([]string{"--namespace", s.name}, arguments...)...)
}

// tool runs a program of the cluster's own.
func tool(input, name string, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(os.Getenv("CLUSTER_BIN"), name), arguments...)
	command.Stdin = strings.NewReader(input)
	var out, errors bytes.Buffer
	command.Stdout, command.Stderr = &out, &errors
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, errors.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// eventually calls until there is no error, and fails with the last one.
func (s space) eventually(attempt func() error) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := attempt()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("still not so after %s: %v", patience, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// deploy runs the probe image and waits for its pods to be ready.
func (s space) deploy(name, message string, replicas int) {
	s.t.Helper()
	s.kubectl(deployment(name, message, replicas), "apply", "-f", "-")
	s.kubectl("", "rollout", "status", "deployment/"+name, "--timeout=90s")
}

func deployment(name, message string, replicas int) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, labels: {app: %[1]s}}
spec:
  replicas: %[3]d
  selector: {matchLabels: {app: %[1]s}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: %[1]s
        image: kakehi.test/probe:1
        imagePullPolicy: IfNotPresent
        args: [serve]
        env:
        - {name: MESSAGE, value: %[2]q}
        - {name: READY_AFTER, value: 1s}
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}
        livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 5}
        # Traffic may come until every kube-proxy knows that the pod is to end.
        lifecycle: {preStop: {sleep: {seconds: 3}}}
`, name, message, replicas)
}

// inside runs the probe's client in one of the deployment's pods.
func (s space) inside(deployment string, arguments ...string) (string, error) {
	return s.try("", append([]string{"exec", "deployment/" + deployment, "--", "/probe"}, arguments...)...)
}

// field reads one field of an object by its JSON path.
func (s space) field(object, path string) string {
	s.t.Helper()
	return s.kubectl("", "get", object, "--output", "jsonpath={"+path+"}")
}

// address waits for the external address of a Service.
func (s space) address(service string) string {
	s.t.Helper()
	var address string
	s.eventually(func() error {
		if address = s.field("service/"+service, ".status.loadBalancer.ingress[0].ip"); address == "" {
			return fmt.Errorf("service %s has no address", service)
		}
		return nil
	})
	return address
}

// fetch gets a URL from the host, on a connection of its own.
func fetch(url string) (string, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", url, response.Status)
	}
	return strings.TrimSpace(string(body)), err
}

// decode reads those parts of a JSON object that a test looks at.
func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
