package pki

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
)

const kubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: kakehi
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: %s
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: kakehi
  context: {cluster: kakehi, user: %[3]s}
current-context: kakehi
`

// Kubeconfig issues a client certificate for the subject and writes a
// self-contained kubeconfig for the server's URL to path.
func (a *Authority) Kubeconfig(path, server string, subject Subject) error {
	file := "client-" + filepath.Base(path)
	if err := a.Issue(file, subject); err != nil {
		return err
	}
	encoded := make([]any, 0, 3)
	for _, name := range []string{"ca.crt", file + ".crt", file + ".key"} {
		content, err := os.ReadFile(filepath.Join(a.dir, name))
		if err != nil {
			return err
		}
		encoded = append(encoded, base64.StdEncoding.EncodeToString(content))
	}
	text := fmt.Sprintf(kubeconfig, server, encoded[0], subject.Name, encoded[1], encoded[2])
	return os.WriteFile(path, []byte(text), 0o600)
}
