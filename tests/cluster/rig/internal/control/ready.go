package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Signs of life of the control plane, by path: the API server itself, then
// what the controllers make in a new cluster.
var signs = []string{
	"/readyz",
	"/api/v1/namespaces/default/serviceaccounts/default",
	"/api/v1/namespaces/default/configmaps/kube-root-ca.crt",
}

// Wait returns when the API server answers and the controllers work, or with
// the last reason why not when the context ends.
func (p *Plane) Wait(ctx context.Context) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	for _, path := range signs {
		if err := poll(ctx, client, p.Server()+path); err != nil {
			return err
		}
	}
	return nil
}

func poll(ctx context.Context, client *http.Client, url string) error {
	for {
		last := get(ctx, client, url)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", url, response.Status, body)
	}
	return nil
}

// client speaks to the API server as it speaks to kubelets: as an
// administrator.
func (p *Plane) client() (*http.Client, error) {
	authority, err := os.ReadFile(p.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	pair, err := tls.LoadX509KeyPair(p.pki("kubelet-client.crt"), p.pki("kubelet-client.key"))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 5 * time.Second}, nil
}
