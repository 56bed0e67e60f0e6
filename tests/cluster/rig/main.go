// Command cluster brings up and takes down what the tests run on: an API
// server by itself, or a whole one-node Kubernetes.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// commands is every subcommand, by the words that call it. Those without a
// usage text are for the program itself.
var commands = map[string]struct {
	usage string
	run   func(arguments []string) error
}{
	"apiserver up":    {"start an API server in --dir DIR; prints its kubeconfig", alone(apiserverPlace, apiserverUp)},
	"apiserver down":  {"stop the one in --dir DIR and remove the folder", alone(apiserverPlace, apiserverDown)},
	"apiserver serve": {"", apiserverServe},
	"up":              {"start a one-node Kubernetes; prints its kubeconfig", alone(capablePlace, clusterUp)},
	"down":            {"stop it and remove all of it", alone(nodePlace, clusterDown)},
	"require":         {"tell what this machine lacks to be a node", in(nodePlace, clusterRequire)},
	"packages":        {"print the packages of the distribution that a node lacks here", clusterPackages},
	"kubeconfig":      {"print the kubeconfig of the one that runs", in(nodePlace, clusterKubeconfig)},
	"load":            {"load image archives into it: load ARCHIVE...", clusterLoad},
	"init":            {"", in(nodePlace, clusterInit)},
	"run":             {"", in(nodePlace, clusterRun)},
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
	fmt.Fprintf(os.Stderr, "usage: cluster COMMAND\n%s\n", strings.Join(lines, "\n"))
}
