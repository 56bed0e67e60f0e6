// Package addons installs what a cluster needs inside itself: its DNS.
package addons

import (
	"context"
	_ "embed"
	"fmt"
	"os/exec"
	"strings"
)

//go:embed coredns.yaml
var coredns string

// Install applies the manifests and returns when the node is ready and DNS
// answers. Done again it changes nothing.
func Install(ctx context.Context, kubectl, kubeconfig string) error {
	for _, step := range []struct {
		input     string
		arguments []string
	}{
		{coredns, []string{"apply", "--server-side", "--force-conflicts", "-f", "-"}},
		{"", []string{"wait", "--for=create", "--timeout=2m", "node", "kakehi-node"}},
		{"", []string{"wait", "--for=condition=Ready", "--timeout=2m", "node", "--all"}},
		{"", []string{"--namespace=kube-system", "rollout", "status", "--timeout=2m", "deployment/coredns"}},
	} {
		command := exec.CommandContext(ctx, kubectl, append([]string{"--kubeconfig", kubeconfig}, step.arguments...)...)
		command.Stdin = strings.NewReader(step.input)
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("kubectl %s: %w: %s", strings.Join(step.arguments, " "), err, strings.TrimSpace(string(output)))
		}
	}
	return nil
}
