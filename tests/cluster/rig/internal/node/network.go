package node

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The addresses of the cluster lie in a range set aside for testing network
// equipment (RFC 2544), which no ordinary network uses.
const (
	Everything  = "198.18.0.0/16"
	HostAddress = "198.18.0.1"    // of the host, on the link to the node
	Address     = "198.18.0.2"    // of the node
	Pods        = "198.18.4.0/22" // of pods
	Services    = "198.18.16.0/20"
	APIService  = "198.18.16.1"  // Service kubernetes
	DNSService  = "198.18.16.10" // Service kube-dns
	Pool        = "198.18.32.0/24"
)

const (
	hostLink = "kakehi0" // the host's end of the link to the node
	nodeLink = "eth0"    // the node's end
	bridge   = "cni0"    // joins the pods inside the node
	linkBits = "/30"
)

// Connect joins the host to the node whose first process is given: one link
// and one route on the host, both gone when the node is.
func Connect(pid int) error {
	return run([][]string{
		{"ip", "link", "add", hostLink, "type", "veth", "peer", "name", nodeLink, "netns", strconv.Itoa(pid)},
		{"ip", "address", "add", HostAddress + linkBits, "dev", hostLink},
		{"ip", "link", "set", hostLink, "up"},
		{"ip", "route", "add", Everything, "via", Address, "dev", hostLink},
	})
}

// Disconnect removes what Connect made, if it is still there.
func Disconnect() error {
	if _, err := net.InterfaceByName(hostLink); err != nil {
		return nil
	}
	return run([][]string{{"ip", "link", "delete", hostLink}})
}

// configure sets up the node's own network, from inside. There is no default
// route: nothing leaves the machine.
func configure() error {
	for range 200 {
		if _, err := net.InterfaceByName(nodeLink); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	err := run([][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "address", "add", Address + linkBits, "dev", nodeLink},
		{"ip", "link", "set", nodeLink, "up"},
		// The pool's addresses are the node's own: a port that no Service has
		// refuses the connection.
		{"ip", "route", "add", "local", Pool, "dev", "lo"},
	})
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"net/ipv4/ip_forward":                "1",
		"net/bridge/bridge-nf-call-iptables": "1", // or answers on the bridge miss the translation
	} {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644); err != nil {
			return fmt.Errorf("kernel setting %s: %w", name, err)
		}
	}
	return nil
}

// podNetwork is the CNI configuration: pods on a bridge, no translation
// towards the host, ports of the host where pods ask for them.
func podNetwork() string {
	return fmt.Sprintf(`{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge", "bridge": %q, "isGateway": true, "ipMasq": false, "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": %q}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}
  ]
}
`, bridge, Pods)
}

func run(commands [][]string) error {
	for _, command := range commands {
		output, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(string(output)))
		}
	}
	return nil
}
