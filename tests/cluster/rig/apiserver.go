package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"kakehi.test/cluster/rig/internal/control"
	"kakehi.test/cluster/rig/internal/process"
)

// patience with a machine that does much else at once.
const patience = 2 * time.Minute

// standalone is the control plane of an API server without a node, which
// listens on loopback.
func standalone(at place, port int) *control.Plane {
	return &control.Plane{
		Dir: at.dir, Bin: at.bin, Address: "127.0.0.1", Port: port,
		Services: "198.18.16.0/20", First: "198.18.16.1",
	}
}

func apiserverUp(at place) error {
	if pid, err := process.Recorded(at.pidFile()); err != nil {
		return err
	} else if pid != 0 {
		fmt.Println(standalone(at, 0).Admin())
		return nil
	}
	if err := end(at); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	plane := standalone(at, port)
	if _, err := plane.Secrets(); err != nil {
		return err
	}
	if err := spawn(at, nil, "apiserver", "serve", strconv.Itoa(port), "--dir", at.dir); err != nil {
		return err
	}
	if err := await(at, plane); err != nil {
		return err
	}
	fmt.Println(plane.Admin())
	return nil
}

// apiserverServe is the process that holds the control plane and lasts as
// long as it: the port comes as the first argument.
func apiserverServe(arguments []string) error {
	runtime.LockOSThread() // the children end with this thread
	port, err := strconv.Atoi(arguments[0])
	if err != nil {
		return err
	}
	at, err := apiserverPlace(arguments[1:])
	if err != nil {
		return err
	}
	group, err := process.NewGroup(at.logs())
	if err != nil {
		return err
	}
	group.Pids = filepath.Join(at.dir, "pids")
	if err := standalone(at, port).Start(group); err != nil {
		return err
	}
	return group.Wait()
}

func apiserverDown(at place) error {
	if err := end(at); err != nil {
		return err
	}
	return at.vanish()
}

// end stops what runs in the folder, the holder first, and empties it.
func end(at place) error {
	if err := process.Kill(at.pidFile()); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(at.dir, "pids", "*.pid"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := process.Kill(file); err != nil {
			return err
		}
	}
	return at.empty()
}

// spawn starts this program again in a session of its own, to outlive us,
// and records its pid.
func spawn(at place, attributes *syscall.SysProcAttr, arguments ...string) error {
	for _, folder := range []string{"logs", "pids"} {
		if err := os.MkdirAll(filepath.Join(at.dir, folder), 0o755); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(at.logs(), "cluster.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, arguments...)
	cmd.Stdout, cmd.Stderr = log, log
	if attributes == nil {
		attributes = &syscall.SysProcAttr{}
	}
	attributes.Setsid = true
	cmd.SysProcAttr = attributes
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := process.Record(at.pidFile(), cmd.Process.Pid); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// await waits for the control plane, and no longer than its holder lives.
func await(at place, plane *control.Plane) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience,
		fmt.Errorf("not ready after %s, see the logs in %s", patience, at.logs()))
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		for ctx.Err() == nil {
			if pid, _ := process.Recorded(at.pidFile()); pid == 0 {
				log, _ := os.ReadFile(filepath.Join(at.logs(), "cluster.log"))
				end(fmt.Errorf("ended while starting, see the logs in %s\n%s", at.logs(), log))
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return plane.Wait(ctx)
}

// freePort asks the system for a port nobody listens on.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
