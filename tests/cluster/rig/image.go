package main

import (
	"errors"
	"flag"
	"fmt"
	"path"
	"strings"

	"kakehi.test/cluster/rig/internal/oci"
)

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// makeImage writes an image of programs and files, with the shared libraries
// the programs need, as an OCI archive.
func makeImage(arguments []string) error {
	var tags, env, folders list
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	out := flags.String("out", "", "the archive to write")
	entrypoint := flags.String("entrypoint", "", "what the image runs; the first file when not given")
	user := flags.String("user", "", "the number of the user it runs as")
	flags.Var(&tags, "tag", "a full name of the image; may be repeated")
	flags.Var(&env, "env", "NAME=VALUE; may be repeated")
	flags.Var(&folders, "folder", "an empty folder all may write to; may be repeated")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *out == "" || len(tags) == 0 || flags.NArg() == 0 {
		return errors.New("image --out ARCHIVE --tag NAME... [FLAGS] FILE=PATH-IN-IMAGE...")
	}
	image := oci.Image{Tags: tags, Env: env, Folders: folders, User: *user, Files: map[string]string{}}
	for _, argument := range flags.Args() {
		source, target, found := strings.Cut(argument, "=")
		if !found || !path.IsAbs(target) {
			return fmt.Errorf("%q: want FILE=PATH-IN-IMAGE with an absolute path", argument)
		}
		image.Files[path.Clean(target)] = source
		if *entrypoint == "" {
			*entrypoint = target
		}
		if err := addLibraries(image.Files, source); err != nil {
			return err
		}
	}
	image.Entrypoint = []string{*entrypoint}
	return image.Write(*out)
}

// addLibraries adds what a program is linked with; other files need nothing.
func addLibraries(files map[string]string, source string) error {
	libraries, err := oci.Libraries(source)
	if errors.Is(err, oci.ErrNotProgram) {
		return nil
	} else if err != nil {
		return err
	}
	for _, library := range libraries {
		files[library] = library
	}
	return nil
}
