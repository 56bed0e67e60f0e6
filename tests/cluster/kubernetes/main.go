// Command kube is every Kubernetes program the test cluster runs, linked once.
//
// The program is chosen by the name the binary is called by (a link named
// kube-apiserver runs the API server), or else by the first argument.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	name := filepath.Base(os.Args[0])
	run, found := programs[name]
	if !found && len(os.Args) > 1 {
		name = os.Args[1]
		os.Args = os.Args[1:]
		run, found = programs[name]
	}
	if !found {
		fmt.Fprintf(os.Stderr, "kube: call it by, or with, one of: %s\n", strings.Join(names(), " "))
		os.Exit(2)
	}
	os.Exit(run())
}

func names() []string {
	all := make([]string, 0, len(programs))
	for name := range programs {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
