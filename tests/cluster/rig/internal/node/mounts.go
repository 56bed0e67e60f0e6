package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// covered are the folders that the programs of a node write to by default;
// the node sees empty ones of its own in their place.
var covered = []string{"/run", "/var/lib", "/var/log"}

// tunables are settings of the whole kernel that a kubelet insists on, with
// the values it wants. The node sees these values; the kernel keeps its own.
var tunables = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// scratch is where the node keeps what only it needs to see, in memory.
const scratch = "/run/kakehi-node"

// arrange gives the node a view of the file system of its own. The folders
// to keep stay visible even where they are covered.
func arrange(keep ...string) error {
	// First cut every tie to the host's mounts, then let ours reach pods.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot separate the mounts: %w", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("cannot share the node's mounts: %w", err)
	}
	if err := cover(keep); err != nil {
		return err
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	return pretend()
}

// cover puts an empty file system in memory over each covered folder.
func cover(keep []string) error {
	kept := map[string]*os.File{}
	for _, folder := range keep {
		file, err := os.Open(folder)
		if err != nil {
			return err
		}
		defer file.Close()
		kept[folder] = file
	}
	for _, folder := range covered {
		if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("cannot cover %s: %w", folder, err)
		}
	}
	for folder, file := range kept {
		if !isCovered(folder) {
			continue
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		source := fmt.Sprintf("/proc/self/fd/%d", file.Fd())
		if err := syscall.Mount(source, folder, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot keep %s: %w", folder, err)
		}
	}
	return os.MkdirAll(scratch, 0o755)
}

func isCovered(folder string) bool {
	for _, parent := range covered {
		if strings.HasPrefix(folder, parent+"/") {
			return true
		}
	}
	return false
}

// pretend covers the tunables whose value is not the wanted one.
func pretend() error {
	for name, value := range tunables {
		setting := filepath.Join("/proc/sys", name)
		current, err := os.ReadFile(setting)
		if err != nil || strings.TrimSpace(string(current)) == value {
			continue // a setting this kernel lacks is the kubelet's to report
		}
		stand := filepath.Join(scratch, strings.ReplaceAll(name, "/", "."))
		if err := os.WriteFile(stand, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := syscall.Mount(stand, setting, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot cover the setting %s: %w", name, err)
		}
	}
	return nil
}
