//go:build cluster

package clustertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A pod with limits and as few rights as the strictest pod security standard
// leaves runs, and listens on a low port because the node allows that.
func TestRestrictedPod(t *testing.T) {
	s := newSpace(t)
	s.kubectl("", "label", "namespace", s.name, "pod-security.kubernetes.io/enforce=restricted")
	s.kubectl(`
apiVersion: v1
kind: Pod
metadata: {name: careful}
spec:
  terminationGracePeriodSeconds: 1
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  initContainers:
  - name: first
    image: kakehi.test/probe:1
    args: [cat, /etc/hostname]
    securityContext: &least {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
  containers:
  - name: careful
    image: kakehi.test/probe:1
    args: [serve]
    env: [{name: PORT, value: "80"}, {name: MESSAGE, value: careful}]
    securityContext: *least
    resources:
      requests: {cpu: 10m, memory: 16Mi}
      limits: {cpu: 500m, memory: 64Mi}
    volumeMounts: [{name: scratch, mountPath: /scratch}]
  volumes: [{name: scratch, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]
`, "apply", "-f", "-")
	s.kubectl("", "wait", "--for=condition=Ready", "--timeout=90s", "pod/careful")
	s.eventually(func() error { return says("http://"+s.field("pod/careful", ".status.podIP"), "careful") })
}

// A program with shared libraries becomes an image, and the running node
// takes it.
func TestLoadedImage(t *testing.T) {
	ours, err := tool("", "cluster", "kubeconfig")
	if err != nil || ours != os.Getenv("KUBECONFIG") {
		t.Skip("images can be loaded only into a cluster of ours")
	}
	archive := filepath.Join(t.TempDir(), "loaded.tar")
	if _, err := tool("", "cluster", "image", "--out", archive, "--tag", "kakehi.test/loaded:1", "/bin/uname=/bin/uname"); err != nil {
		t.Fatal(err)
	}
	if _, err := tool("", "cluster", "load", archive); err != nil {
		t.Fatal(err)
	}
	s := newSpace(t)
	s.kubectl("", "run", "loaded", "--image=kakehi.test/loaded:1", "--image-pull-policy=Never", "--restart=Never", "--", "-n")
	s.kubectl("", "wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s", "pod/loaded")
	if name := s.kubectl("", "logs", "loaded"); strings.TrimSpace(name) != "loaded" {
		t.Errorf("the host name in the pod is %q", name)
	}
}
