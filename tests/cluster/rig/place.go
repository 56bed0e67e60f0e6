package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"kakehi.test/cluster/rig/internal/node"
)

// systemFolder holds the state of the one node that a machine can have.
const systemFolder = "/run/kakehi"

// place is where a cluster keeps its state and where its programs are, which
// is beside this one.
type place struct{ dir, bin string }

func newPlace(dir string) (place, error) {
	self, err := os.Executable()
	if err != nil {
		return place{}, err
	}
	dir, err = filepath.Abs(dir)
	return place{dir: dir, bin: filepath.Dir(self)}, err
}

// nodePlace is the place of the cluster with a node. Its link, addresses and
// control groups have fixed names, so there is one on a machine.
func nodePlace(arguments []string) (place, error) {
	if len(arguments) > 0 {
		return place{}, fmt.Errorf("unexpected arguments %q: there is one node on a machine, and nothing to choose", arguments)
	}
	if err := node.RequireRoot(); err != nil {
		return place{}, err
	}
	// Where the tools of an administrator are, even if root's path lacks them.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		return place{}, err
	}
	return newPlace(filepath.Join(systemFolder, "cluster"))
}

// capablePlace is the same on a machine that has what a node needs.
func capablePlace(arguments []string) (place, error) {
	at, err := nodePlace(arguments)
	if err == nil {
		err = node.Require()
	}
	return at, err
}

// apiserverPlace is the place of one API server of many, by the flag --dir.
func apiserverPlace(arguments []string) (place, error) {
	flags := flag.NewFlagSet("cluster apiserver", flag.ContinueOnError)
	dir := flags.String("dir", filepath.Join(userFolder(), "apiserver"), "folder of the state, one for each API server")
	if err := flags.Parse(arguments); err != nil {
		return place{}, err
	}
	if flags.NArg() > 0 {
		return place{}, fmt.Errorf("unexpected arguments %q", flags.Args())
	}
	return newPlace(*dir)
}

func userFolder() string {
	if os.Geteuid() == 0 {
		return systemFolder
	}
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); runtime != "" {
		return filepath.Join(runtime, "kakehi")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("kakehi-%d", os.Getuid()))
}

// in makes a command of something that is done in a place, which the
// command's arguments name.
func in(find func(arguments []string) (place, error), do func(place) error) func([]string) error {
	return func(arguments []string) error {
		at, err := find(arguments)
		if err != nil {
			return err
		}
		return do(at)
	}
}

// alone is the same for what no other run of this program may do meanwhile.
func alone(find func(arguments []string) (place, error), do func(place) error) func([]string) error {
	return in(find, func(at place) error {
		unlock, err := lock(at.dir)
		if err != nil {
			return err
		}
		defer unlock()
		return do(at)
	})
}

// empty removes what is in the folder of the state.
func (p place) empty() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(p.dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// vanish removes the folder of the state, and the one around it if it is
// ours and nothing else is in it.
func (p place) vanish() error {
	if err := os.RemoveAll(p.dir); err != nil {
		return err
	}
	if parent := filepath.Dir(p.dir); parent == userFolder() {
		_ = os.Remove(parent) // not empty: another one lives there
	}
	return nil
}

func (p place) logs() string { return filepath.Join(p.dir, "logs") }

// pidFile names the process that holds all the others.
func (p place) pidFile() string { return filepath.Join(p.dir, "pids", "cluster.pid") }
