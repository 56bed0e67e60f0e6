package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kakehi.test/cluster/rig/internal/process"
)

const (
	containerdSocket = scratch + "/containerd.sock"
	containerdConfig = scratch + "/containerd.toml"
	networks         = scratch + "/net.d"
	cniPlugins       = "/usr/lib/cni"
	imageNamespace   = "k8s.io"
	// PauseImage holds the namespaces of every pod.
	PauseImage = "kakehi.test/pause:1"
)

// configuration of containerd 1.6: everything of it inside the node, and
// nothing that asks for more rights than a container on a host may have.
var configuration = fmt.Sprintf(`version = 2
root = "%[1]s/containerd"
state = "%[1]s/containerd-state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "%[2]s"
[ttrpc]
  address = "%[2]s.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "%[1]s/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[3]s"
  restrict_oom_score_adj = true
  disable_apparmor = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%[4]s"
    conf_dir = "%[5]s"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "%[1]s/runc"
`, scratch, containerdSocket, PauseImage, cniPlugins, networks)

// startContainerd starts it and waits until it answers.
func startContainerd(ctx context.Context, group *process.Group) error {
	if err := os.MkdirAll(networks, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(networks, "pods.conflist"), []byte(podNetwork()), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(containerdConfig, []byte(configuration), 0o644); err != nil {
		return err
	}
	path, err := exec.LookPath("containerd")
	if err != nil {
		return err
	}
	err = group.Start(process.Spec{Name: "containerd", Path: path, Args: []string{"--config", containerdConfig}})
	if err != nil {
		return err
	}
	for {
		last := ctr(ctx, "version")
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("containerd does not answer: %w", last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// importAll brings the image archives into the node, from inside of it.
func importAll(ctx context.Context, archives []string) error {
	for _, archive := range archives {
		if err := ctr(ctx, "images", "import", archive); err != nil {
			return err
		}
	}
	return nil
}

// Load brings one image archive into the node whose first process is given,
// from outside.
func Load(pid int, archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	arguments := append([]string{"--target", strconv.Itoa(pid), "--all", "--", "ctr"}, ctrArguments("images", "import", "-")...)
	command := exec.Command("nsenter", arguments...)
	command.Stdin = file
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot load %s: %w: %s", archive, err, strings.TrimSpace(string(output)))
	}
	return nil
}

func ctr(ctx context.Context, arguments ...string) error {
	output, err := exec.CommandContext(ctx, "ctr", ctrArguments(arguments...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ctr %s: %w: %s", strings.Join(arguments, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

func ctrArguments(arguments ...string) []string {
	return append([]string{"--address", containerdSocket, "--namespace", imageNamespace}, arguments...)
}
