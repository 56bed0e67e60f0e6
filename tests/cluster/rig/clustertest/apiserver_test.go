//go:build cluster

package clustertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Several API servers run at once, each on a port of its own, and what one
// holds the others do not; the second start of one is the first.
func TestAPIServers(t *testing.T) {
	const several = 3
	folders := make([]string, several)
	kubeconfigs := make([]string, several)
	failures := make([]error, several)
	var group sync.WaitGroup
	started := time.Now()
	for i := range several {
		folders[i] = filepath.Join(t.TempDir(), "state")
		group.Go(func() {
			kubeconfigs[i], failures[i] = tool("", "cluster", "apiserver", "up", "--dir", folders[i])
		})
		t.Cleanup(func() { takeDown(t, folders[i]) })
	}
	group.Wait()
	t.Logf("%d API servers took %s", several, time.Since(started))
	servers := map[string]bool{}
	for i := range several {
		if failures[i] != nil {
			t.Fatal(failures[i])
		}
		server := with(t, kubeconfigs[i], "config", "view", "--output=jsonpath={.clusters[0].cluster.server}")
		if !strings.HasPrefix(server, "https://127.0.0.1:") || servers[server] {
			t.Errorf("server %d of %v is at %s", i, servers, server)
		}
		servers[server] = true
		with(t, kubeconfigs[i], "create", "namespace", fmt.Sprintf("only-%d", i))
	}
	if names := with(t, kubeconfigs[0], "get", "namespaces", "--output=name"); strings.Contains(names, "only-1") {
		t.Errorf("the first holds what the second got: %s", names)
	}
	again, err := tool("", "cluster", "apiserver", "up", "--dir", folders[0])
	if err != nil || again != kubeconfigs[0] {
		t.Errorf("started again: %q, %v", again, err)
	}
	with(t, kubeconfigs[0], "get", "namespace", "only-0")
	// The controllers work: a namespace goes away, with all that is in it.
	with(t, kubeconfigs[0], "delete", "namespace", "only-0", "--timeout=60s")
}

// A machine without any network but loopback will do.
func TestAPIServerOffline(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network without a route")
	}
	folder := filepath.Join(t.TempDir(), "state")
	t.Cleanup(func() { takeDown(t, folder) })
	up := fmt.Sprintf("ip link set lo up && %s apiserver up --dir %s", filepath.Join(os.Getenv("CLUSTER_BIN"), "cluster"), folder)
	if output, err := exec.Command("unshare", "--net", "sh", "-c", up).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// takeDown stops a server twice and looks for what it left behind.
func takeDown(t *testing.T, folder string) {
	for range 2 {
		if _, err := tool("", "cluster", "apiserver", "down", "--dir", folder); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", folder, err)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	for _, command := range commands {
		line, _ := os.ReadFile(command) // it may have ended meanwhile
		if strings.Contains(string(line), folder) {
			t.Errorf("still runs: %s", strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
}

func with(t *testing.T, kubeconfig string, arguments ...string) string {
	t.Helper()
	output, err := tool("", "kubectl", append([]string{"--kubeconfig", kubeconfig}, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}
