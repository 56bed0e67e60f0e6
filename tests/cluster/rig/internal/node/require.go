package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// packages of the distribution, by a program each of them brings.
var packages = []struct{ program, name string }{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"nft", "nftables"},
	{"iptables", "iptables"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
	{filepath.Join(cniPlugins, "bridge"), "containernetworking-plugins"},
}

// RequireRoot tells that only root can have a node.
func RequireRoot() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("a node needs root (namespaces, mounts, a network link); an API server alone does not: make apiserver")
	}
	return nil
}

// Lacking names the packages of the distribution that are not installed.
func Lacking() []string {
	var lacking []string
	for _, needed := range packages {
		if _, err := exec.LookPath(needed.program); err != nil && !slices.Contains(lacking, needed.name) {
			lacking = append(lacking, needed.name)
		}
	}
	return lacking
}

// Require tells all that this machine lacks to be a node.
func Require() error {
	if lacking := Lacking(); len(lacking) > 0 {
		return fmt.Errorf("missing packages: run `make cluster-packages`, or: apt-get install --no-install-recommends %s", strings.Join(lacking, " "))
	}
	if missing := missingControllers(); len(missing) > 0 {
		return fmt.Errorf("the kernel offers no control groups for: %s", strings.Join(missing, " "))
	}
	return probeKernel()
}

// probeKernel tries in throw-away namespaces what cannot be read anywhere.
func probeKernel() error {
	for _, probe := range []struct{ what, command string }{
		{"network namespaces", "true"},
		{"bridges", "ip link add probe0 type bridge"},
		{"virtual links", "ip link add probe0 type veth peer name probe1"},
		{"filtering of bridged packets (module br_netfilter)", "test -e /proc/sys/net/bridge/bridge-nf-call-iptables"},
		{"nftables with address translation", "nft 'add table ip t; add chain ip t c { type nat hook postrouting priority srcnat; }; add rule ip t c masquerade'"},
	} {
		output, err := exec.Command("unshare", "--net", "sh", "-c", probe.command).CombinedOutput()
		if err != nil {
			return fmt.Errorf("this kernel lacks %s: %w: %s", probe.what, err, strings.TrimSpace(string(output)))
		}
	}
	return nil
}
