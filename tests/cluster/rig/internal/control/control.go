// Package control runs the control plane of a cluster: etcd, kube-apiserver,
// kube-controller-manager and, where there is a node, kube-scheduler.
package control

import (
	"fmt"
	"path/filepath"
	"strconv"

	"kakehi.test/cluster/rig/internal/pki"
	"kakehi.test/cluster/rig/internal/process"
)

// Plane is one control plane. Its folder holds everything it keeps.
type Plane struct {
	Dir      string // state: pki/, logs/, etcd/, kubeconfigs
	Bin      string // folder of the programs
	Address  string // where the API server listens
	Port     int
	Services string // the range of cluster addresses
	First    string // the first address of that range: Service kubernetes
	Node     bool   // there is a node: publish the API server's address, schedule
}

// Admin is the path of the kubeconfig of the cluster's administrator.
func (p *Plane) Admin() string { return filepath.Join(p.Dir, "kubeconfig") }

// Kubeconfig is the path of the named component's kubeconfig.
func (p *Plane) Kubeconfig(component string) string {
	return filepath.Join(p.Dir, component+".kubeconfig")
}

// Server is the URL of the API server.
func (p *Plane) Server() string { return fmt.Sprintf("https://%s:%d", p.Address, p.Port) }

// Secrets makes the certificates, keys and kubeconfigs of the control plane.
func (p *Plane) Secrets() (*pki.Authority, error) {
	authority, err := pki.NewAuthority(p.pki(""))
	if err != nil {
		return nil, err
	}
	if err := authority.SigningKey("service-account"); err != nil {
		return nil, err
	}
	hosts := []string{
		p.Address, p.First, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	if err := authority.Issue("apiserver", pki.Subject{Name: "kube-apiserver", Hosts: hosts}); err != nil {
		return nil, err
	}
	masters := []string{"system:masters"}
	if err := authority.Issue("kubelet-client", pki.Subject{Name: "kube-apiserver", Groups: masters}); err != nil {
		return nil, err
	}
	for component, subject := range map[string]pki.Subject{
		"kube-controller-manager": {Name: "system:kube-controller-manager"},
		"kube-scheduler":          {Name: "system:kube-scheduler"},
	} {
		if err := authority.Kubeconfig(p.Kubeconfig(component), p.Server(), subject); err != nil {
			return nil, err
		}
	}
	admin := pki.Subject{Name: "admin", Groups: masters}
	return authority, authority.Kubeconfig(p.Admin(), p.Server(), admin)
}

// Start starts the programs of the control plane in the group.
func (p *Plane) Start(group *process.Group) error {
	specs := []process.Spec{p.etcd(), p.apiserver(), p.controllerManager()}
	if p.Node {
		specs = append(specs, p.scheduler())
	}
	for _, spec := range specs {
		spec.Path, spec.Dir = filepath.Join(p.Bin, "kube"), p.Dir
		if err := group.Start(spec); err != nil {
			return err
		}
	}
	return nil
}

// etcd listens on sockets in the folder only and never waits for the disk:
// what it holds need not outlive it.
func (p *Plane) etcd() process.Spec {
	return process.Spec{Name: "etcd", Args: []string{
		"--name=test", "--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=" + etcdClient, "--advertise-client-urls=" + etcdClient,
		"--listen-peer-urls=" + etcdPeer, "--initial-advertise-peer-urls=" + etcdPeer,
		"--initial-cluster=test=" + etcdPeer,
	}}
}

// The sockets of etcd are named relative to the folder the programs run in.
const (
	etcdClient = "unix://etcd.sock:0"
	etcdPeer   = "unix://etcd-peer.sock:0"
)

func (p *Plane) apiserver() process.Spec {
	args := []string{
		"--etcd-servers=" + etcdClient,
		"--bind-address=" + p.Address,
		"--advertise-address=" + p.Address, // or it looks for a default route
		"--secure-port=" + strconv.Itoa(p.Port),
		"--service-cluster-ip-range=" + p.Services,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--profiling=false",
		"--client-ca-file=" + p.pki("ca.crt"),
		"--tls-cert-file=" + p.pki("apiserver.crt"),
		"--tls-private-key-file=" + p.pki("apiserver.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + p.pki("service-account.pub"),
		"--service-account-signing-key-file=" + p.pki("service-account.key"),
		"--kubelet-certificate-authority=" + p.pki("ca.crt"),
		"--kubelet-client-certificate=" + p.pki("kubelet-client.crt"),
		"--kubelet-client-key=" + p.pki("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
	}
	if !p.Node {
		// A loopback address may not be published as an endpoint.
		args = append(args, "--endpoint-reconciler-type=none")
	}
	return process.Spec{Name: "kube-apiserver", Args: args}
}

func (p *Plane) controllerManager() process.Spec {
	return process.Spec{Name: "kube-controller-manager", Args: []string{
		"--kubeconfig=" + p.Kubeconfig("kube-controller-manager"),
		"--secure-port=0", "--leader-elect=false", "--profiling=false",
		"--use-service-account-credentials=true",
		// The default, 20 a second, makes every start four seconds longer.
		"--kube-api-qps=500", "--kube-api-burst=1000",
		"--root-ca-file=" + p.pki("ca.crt"),
		"--service-account-private-key-file=" + p.pki("service-account.key"),
		"--cluster-signing-cert-file=" + p.pki("ca.crt"),
		"--cluster-signing-key-file=" + p.pki("ca.key"),
	}}
}

func (p *Plane) scheduler() process.Spec {
	return process.Spec{Name: "kube-scheduler", Args: []string{
		"--kubeconfig=" + p.Kubeconfig("kube-scheduler"),
		"--secure-port=0", "--leader-elect=false", "--profiling=false",
	}}
}

func (p *Plane) pki(file string) string { return filepath.Join(p.Dir, "pki", file) }
