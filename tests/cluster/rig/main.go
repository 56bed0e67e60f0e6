// Command cluster brings up and takes down what the tests run on: an API
// server by itself, or a whole one-node Kubernetes.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// commands is every subcommand, by the words that call it. Those without a
// usage text are for the program itself.
var commands = map[string]struct {
	usage string
	run   func(arguments []string) error
}{
	"apiserver up":    {"start an API server of its own; prints its kubeconfig", apiserverUp},
	"apiserver down":  {"stop it and remove its folder", apiserverDown},
	"apiserver serve": {"", apiserverServe},
	"up":              {"start a one-node Kubernetes; prints its kubeconfig", clusterUp},
	"down":            {"stop it and remove all of it", clusterDown},
	"kubeconfig":      {"print the kubeconfig of the one that runs", clusterKubeconfig},
	"load":            {"load image archives into it: load [--dir DIR] ARCHIVE...", clusterLoad},
	"init":            {"", clusterInit},
	"run":             {"", clusterRun},
	"image":           {"write an image of given files as an OCI archive", makeImage},
}

func main() {
	words := min(2, len(os.Args)-1)
	for ; words > 0; words-- {
		command, found := commands[strings.Join(os.Args[1:1+words], " ")]
		if !found {
			continue
		}
		if err := command.run(os.Args[1+words:]); err != nil {
			fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
			os.Exit(1)
		}
		return
	}
	usage()
	os.Exit(2)
}

func usage() {
	lines := make([]string, 0, len(commands))
	for words, command := range commands {
		if command.usage != "" {
			lines = append(lines, fmt.Sprintf("  %-16s %s", words, command.usage))
		}
	}
	slices.Sort(lines)
	fmt.Fprintf(os.Stderr, "usage: cluster COMMAND [--dir DIR] [--bin DIR]\n%s\n", strings.Join(lines, "\n"))
}

// place is where a cluster lives and its programs are.
type place struct{ dir, bin string }

// parse reads the flags that all commands share. The state lives in the
// user's runtime folder unless told otherwise, the programs beside this one.
func parse(name string, arguments []string) (place, error) {
	at, rest, err := parseRest(name, arguments)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%s takes no further arguments, not %q", name, rest)
	}
	return at, err
}

// parseRest also returns the arguments that follow the flags.
func parseRest(name string, arguments []string) (place, []string, error) {
	self, err := os.Executable()
	if err != nil {
		return place{}, nil, err
	}
	var at place
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.StringVar(&at.dir, "dir", filepath.Join(runtimeFolder(), strings.Fields(name)[0]), "folder of the state")
	flags.StringVar(&at.bin, "bin", filepath.Dir(self), "folder of the programs")
	if err := flags.Parse(arguments); err != nil {
		return place{}, nil, err
	}
	at.dir, err = filepath.Abs(at.dir)
	return at, flags.Args(), err
}

func runtimeFolder() string {
	if os.Geteuid() == 0 {
		return "/run/kakehi"
	}
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); runtime != "" {
		return filepath.Join(runtime, "kakehi")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("kakehi-%d", os.Getuid()))
}

// vanish removes the folder of the state, and the one around it if it is
// ours and nothing else is in it.
func (p place) vanish() error {
	if err := os.RemoveAll(p.dir); err != nil {
		return err
	}
	if parent := filepath.Dir(p.dir); parent == runtimeFolder() {
		_ = os.Remove(parent) // not empty: another one lives there
	}
	return nil
}

func (p place) pidFile() string { return filepath.Join(p.dir, "pids", "cluster.pid") }
