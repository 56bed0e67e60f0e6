package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	cgroups   = "/sys/fs/cgroup"
	cgroup    = "kakehi-cluster" // under which all pods are
	superType = 0x63677270       // CGROUP2_SUPER_MAGIC
)

// hierarchies are the folders in which control groups are made: one for
// version 2, one for each controller in version 1.
func hierarchies() ([]string, error) {
	if isVersion2() {
		return []string{cgroups}, nil
	}
	entries, err := os.ReadDir(cgroups)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		hierarchy := filepath.Join(cgroups, entry.Name())
		if _, err := os.Stat(filepath.Join(hierarchy, "cgroup.procs")); err == nil && entry.IsDir() {
			found = append(found, hierarchy)
		}
	}
	return found, nil
}

func isVersion2() bool {
	var status syscall.Statfs_t
	return syscall.Statfs(cgroups, &status) == nil && status.Type == superType
}

// makeCgroups makes the control group of all pods in every hierarchy.
func makeCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	if isVersion2() {
		// Without this the group has no controllers. Those that stay enabled
		// at the root when the group is gone cost nothing.
		enable := []byte("+" + strings.Join(controllers, " +"))
		if err := os.WriteFile(filepath.Join(cgroups, "cgroup.subtree_control"), enable, 0o644); err != nil {
			return err
		}
	}
	for _, hierarchy := range all {
		group := filepath.Join(hierarchy, cgroup)
		if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// A new cpuset holds nothing, and nothing can run in it.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := inherit(hierarchy, group, file); err != nil {
				return err
			}
		}
	}
	return nil
}

func inherit(parent, child, file string) error {
	if isVersion2() {
		return nil
	}
	content, err := os.ReadFile(filepath.Join(parent, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(child, file), content, 0o644)
}

// RemoveCgroups removes the control groups of all pods, whose processes are
// ended already; the kernel may still be busy with them for a moment.
func RemoveCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range all {
		group := filepath.Join(hierarchy, cgroup)
		for attempt := 0; ; attempt++ {
			err := removeTree(group)
			if err == nil {
				break
			}
			if attempt == 100 {
				return fmt.Errorf("control group %s: %w", group, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

// removeTree removes folders only, the deepest first: the files of a control
// group go with it.
func removeTree(group string) error {
	var folders []string
	err := filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		return ignoreMissing(err)
	})
	if err != nil {
		return err
	}
	for i := len(folders) - 1; i >= 0; i-- {
		if err := ignoreMissing(syscall.Rmdir(folders[i])); err != nil {
			return err
		}
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// controllers that a kubelet cannot do without.
var controllers = []string{"cpu", "cpuset", "memory", "pids"}

// missingControllers names the controllers that the kernel does not offer.
func missingControllers() []string {
	var missing []string
	if isVersion2() {
		content, _ := os.ReadFile(filepath.Join(cgroups, "cgroup.controllers"))
		offered := " " + strings.TrimSpace(string(content)) + " "
		for _, controller := range controllers {
			if !strings.Contains(offered, " "+controller+" ") {
				missing = append(missing, controller)
			}
		}
		return missing
	}
	for _, controller := range controllers {
		if _, err := os.Stat(filepath.Join(cgroups, controller, "cgroup.procs")); err != nil {
			missing = append(missing, controller)
		}
	}
	return missing
}
