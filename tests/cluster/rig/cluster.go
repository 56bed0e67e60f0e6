package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kakehi.test/cluster/rig/internal/addons"
	"kakehi.test/cluster/rig/internal/control"
	"kakehi.test/cluster/rig/internal/node"
	"kakehi.test/cluster/rig/internal/process"
)

// whole is the control plane of a cluster with a node, on the node's address.
func whole(at place) *control.Plane {
	return &control.Plane{
		Dir: at.dir, Bin: at.bin, Address: node.Address, Port: 6443,
		Services: node.Services, First: node.APIService, Node: true,
	}
}

func clusterUp(at place) error {
	plane := whole(at)
	if pid, err := process.Recorded(at.pidFile()); err != nil {
		return err
	} else if pid == 0 {
		if err := start(at, plane); err != nil {
			return err
		}
	}
	if err := await(at, plane); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := addons.Install(ctx, filepath.Join(at.bin, "kubectl"), plane.Admin()); err != nil {
		return fmt.Errorf("%w; see the logs in %s", err, at.logs())
	}
	fmt.Println(plane.Admin())
	return nil
}

// start removes what an earlier run left behind and starts the node anew.
func start(at place, plane *control.Plane) error {
	if err := remove(at); err != nil {
		return err
	}
	authority, err := plane.Secrets()
	if err != nil {
		return err
	}
	if err := node.Secrets(authority, plane); err != nil {
		return err
	}
	if err := spawn(at, node.Namespaces, "init"); err != nil {
		return err
	}
	pid, err := process.Recorded(at.pidFile())
	if err != nil {
		return err
	}
	return node.Connect(pid)
}

func clusterDown(at place) error {
	if err := remove(at); err != nil {
		return err
	}
	return at.vanish()
}

// remove ends the node's first process, and with it the kernel ends all the
// others and removes mounts, networks and rules; the rest is removed by hand.
func remove(at place) error {
	if err := process.Kill(at.pidFile()); err != nil {
		return err
	}
	if err := node.Disconnect(); err != nil {
		return err
	}
	if err := node.RemoveCgroups(); err != nil {
		return err
	}
	return at.empty()
}

func clusterInit(at place) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return node.Init(whole(at), []string{self, "run"})
}

func clusterRun(at place) error { return node.Run(whole(at)) }

func clusterRequire(place) error { return node.Require() }

func clusterPackages([]string) error {
	for _, name := range node.Lacking() {
		fmt.Println(name)
	}
	return nil
}

// clusterKubeconfig fails when no cluster runs.
func clusterKubeconfig(at place) error {
	if _, err := running(at); err != nil {
		return err
	}
	fmt.Println(whole(at).Admin())
	return nil
}

// running is the pid of the node's first process.
func running(at place) (int, error) {
	pid, err := process.Recorded(at.pidFile())
	if err == nil && pid == 0 {
		err = fmt.Errorf("no cluster runs in %s: start one with `make cluster`", at.dir)
	}
	return pid, err
}

// clusterLoad imports archives of images into the running node.
func clusterLoad(archives []string) error {
	at, err := nodePlace(nil)
	if err != nil {
		return err
	}
	if len(archives) == 0 {
		return errors.New("load: name the archives to load")
	}
	pid, err := running(at)
	if err != nil {
		return err
	}
	for _, archive := range archives {
		if err := node.Load(pid, archive); err != nil {
			return err
		}
	}
	return nil
}
