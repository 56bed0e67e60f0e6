package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func write(t *testing.T, image Image) map[string][]byte {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := image.Write(archive); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	return entries(t, bytes.NewReader(content))
}

func entries(t *testing.T, reader io.Reader) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	archive := tar.NewReader(reader)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		if found[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

func decode(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("%v in %s", err, content)
	}
}

func blob(d descriptor) string { return "blobs/sha256/" + d.Digest[len("sha256:"):] }

func TestArchive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	image := Image{
		Tags: []string{"kakehi.test/a:1", "kakehi.test/b:2"}, Files: map[string]string{"/usr/bin/program": file},
		Folders: []string{"/tmp"}, Entrypoint: []string{"/usr/bin/program"}, User: "1000",
	}
	archive := write(t, image)
	if again := write(t, image); !maps.EqualFunc(archive, again, bytes.Equal) {
		t.Error("the same image gives another archive")
	}
	var index struct{ Manifests []descriptor }
	decode(t, archive["index.json"], &index)
	var names []string
	for _, manifest := range index.Manifests {
		names = append(names, manifest.Annotations["io.containerd.image.name"])
	}
	if !slices.Equal(names, image.Tags) {
		t.Errorf("names %v", names)
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	decode(t, archive[blob(index.Manifests[0])], &manifest)
	var config struct {
		Config struct{ User string }
		Rootfs struct {
			Diff_ids []string
		}
	}
	decode(t, archive[blob(manifest.Config)], &config)
	layer, err := gzip.NewReader(bytes.NewReader(archive[blob(manifest.Layers[0])]))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(layer)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(content)); config.Rootfs.Diff_ids[0] != want || config.Config.User != "1000" {
		t.Errorf("configuration %+v, layer %s", config, want)
	}
	files := entries(t, bytes.NewReader(content))
	if string(files["usr/bin/program"]) != "content" {
		t.Errorf("layer: %v", files)
	}
	for _, folder := range []string{"tmp/", "usr/", "usr/bin/"} {
		if _, found := files[folder]; !found {
			t.Errorf("no folder %s in the layer", folder)
		}
	}
}

func TestLibraries(t *testing.T) {
	output := "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n\t/lib64/ld-linux.so.2 (0x00007f)\n"
	got, err := parseLdd(output)
	if want := []string{"/lib/libc.so.6", "/lib64/ld-linux.so.2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseLdd("\tlibgone.so => not found\n"); err == nil {
		t.Error("a missing library is no error")
	}
	for content, what := range map[string]string{"": "an empty file", "plain text, long enough": "a text"} {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Libraries(file); !errors.Is(err, ErrNotProgram) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
