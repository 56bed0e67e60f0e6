// Package oci writes container images as OCI archives, without a container
// runtime: one layer made of given files.
package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
)

// Image is what goes into an archive.
type Image struct {
	Tags       []string          // full names, such as kakehi.test/pause:1
	Files      map[string]string // path in the image -> path here
	Folders    []string          // made empty, writable for all (as /tmp is)
	Entrypoint []string
	Env        []string
	User       string // number, or number:number; root when empty
}

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Write writes the image to a file; the same files give the same bytes.
func (i Image) Write(file string) error {
	layer, diff, err := i.layer()
	if err != nil {
		return err
	}
	blobs := map[string][]byte{}
	store := func(mediaType string, content []byte) descriptor {
		sum := fmt.Sprintf("%x", sha256.Sum256(content))
		blobs["blobs/sha256/"+sum] = content
		return descriptor{MediaType: mediaType, Digest: "sha256:" + sum, Size: len(content)}
	}
	config := store(configType, encode(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": i.Entrypoint, "Env": i.Env, "User": i.User},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{diff}},
	}))
	manifest := store(manifestType, encode(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": config, "layers": []descriptor{store(layerType, layer)},
	}))
	manifests := make([]descriptor, 0, len(i.Tags))
	for _, tag := range i.Tags {
		named := manifest
		named.Annotations = map[string]string{"io.containerd.image.name": tag}
		manifests = append(manifests, named)
	}
	blobs["index.json"] = encode(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": manifests})
	blobs["oci-layout"] = encode(map[string]string{"imageLayoutVersion": "1.0.0"})
	return writeArchive(file, blobs)
}

// layer returns the compressed layer and the digest of what is in it.
func (i Image) layer() ([]byte, string, error) {
	var compressed bytes.Buffer
	sum := sha256.New()
	zip := gzip.NewWriter(&compressed)
	out := tar.NewWriter(io.MultiWriter(zip, sum))
	for _, folder := range i.folders() {
		mode := int64(0o755)
		if slices.Contains(i.Folders, folder) {
			mode = 0o1777
		}
		header := tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(folder, "/") + "/", Mode: mode}
		if err := out.WriteHeader(&header); err != nil {
			return nil, "", err
		}
	}
	for _, name := range sortedKeys(i.Files) {
		if err := addFile(out, name, i.Files[name]); err != nil {
			return nil, "", err
		}
	}
	if err := out.Close(); err != nil {
		return nil, "", err
	}
	if err := zip.Close(); err != nil {
		return nil, "", err
	}
	return compressed.Bytes(), fmt.Sprintf("sha256:%x", sum.Sum(nil)), nil
}

// folders is every folder of the image, parents first.
func (i Image) folders() []string {
	all := map[string]bool{}
	add := func(folder string) {
		for ; folder != "/" && folder != "."; folder = path.Dir(folder) {
			all[folder] = true
		}
	}
	for name := range i.Files {
		add(path.Dir(name))
	}
	for _, folder := range i.Folders {
		add(folder)
	}
	return sortedKeys(all)
}

func addFile(out *tar.Writer, name, source string) error {
	file, err := os.Open(source)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	header := tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: mode, Size: info.Size()}
	if err := out.WriteHeader(&header); err != nil {
		return err
	}
	_, err = io.Copy(out, file)
	return err
}

func writeArchive(file string, entries map[string][]byte) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	archive := tar.NewWriter(out)
	for _, name := range sortedKeys(entries) {
		header := tar.Header{Name: name, Mode: 0o644, Size: int64(len(entries[name]))}
		if err := archive.WriteHeader(&header); err != nil {
			return err
		}
		if _, err := archive.Write(entries[name]); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return out.Close()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func encode(value any) []byte {
	content, err := json.Marshal(value)
	if err != nil {
		panic(err) // plain maps and strings always encode
	}
	return content
}
