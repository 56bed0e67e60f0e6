// Package node makes a Kubernetes node out of namespaces of its own: mounts,
// processes, network, host name. When its first process ends, the kernel ends
// and removes everything in them.
package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"kakehi.test/cluster/rig/internal/control"
	"kakehi.test/cluster/rig/internal/process"
)

// Namespaces in which the node's first process is to be started.
var Namespaces = &syscall.SysProcAttr{
	Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
}

// patience with containerd and the import of the images.
const patience = 2 * time.Minute

// Init is the node's first process: it arranges the file system, starts the
// given command, and takes over orphans until that command ends.
func Init(plane *control.Plane, command []string) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("this command is for the first process of a node")
	}
	if err := syscall.Sethostname([]byte(Name)); err != nil {
		return err
	}
	if err := makeCgroups(); err != nil {
		return fmt.Errorf("cannot make control groups: %w", err)
	}
	if err := arrange(plane.Dir, plane.Bin); err != nil {
		return err
	}
	child, err := os.StartProcess(command[0], command, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	for {
		pid, err := syscall.Wait4(-1, nil, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid == child.Pid {
			return fmt.Errorf("the node's programs ended")
		}
	}
}

// Run starts the node's programs and returns when one of them ends.
func Run(plane *control.Plane) error {
	runtime.LockOSThread() // the children end with this thread
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := configure(); err != nil {
		return err
	}
	group, err := process.NewGroup(filepath.Join(plane.Dir, "logs"))
	if err != nil {
		return err
	}
	if err := plane.Start(group); err != nil {
		return err
	}
	if err := startContainerd(ctx, group); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(plane.Bin, "images", "*.tar"))
	if err != nil {
		return err
	}
	if err := importAll(ctx, archives); err != nil {
		return err
	}
	if err := startKubelet(group, plane); err != nil {
		return err
	}
	return group.Wait()
}
