package node

import (
	"fmt"
	"os"
	"path/filepath"

	"kakehi.test/cluster/rig/internal/control"
	"kakehi.test/cluster/rig/internal/pki"
	"kakehi.test/cluster/rig/internal/process"
)

// Name of the one node.
const Name = "kakehi-node"

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[2]s/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: %[2]s/kubelet.crt
tlsPrivateKeyFile: %[2]s/kubelet.key
containerRuntimeEndpoint: unix://%[3]s
cgroupDriver: cgroupfs
cgroupRoot: /%[4]s
clusterDomain: cluster.local
clusterDNS: [%[5]s]
resolvConf: ""
healthzBindAddress: 127.0.0.1
oomScoreAdj: 0
failSwapOn: false
maxPods: 250
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 0%%, nodefs.available: 0%%, imagefs.available: 0%%, nodefs.inodesFree: 0%%, imagefs.inodesFree: 0%%}
syncFrequency: 10s
volumePluginDir: %[6]s/volume-plugins
`

// conntrack's limits belong to the whole kernel, so they are left alone.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: %[1]s}
clusterCIDR: %[2]s
detectLocalMode: ClusterCIDR
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`

// Secrets makes the certificates and kubeconfigs of the node's programs.
func Secrets(authority *pki.Authority, plane *control.Plane) error {
	serving := pki.Subject{Name: "system:node:" + Name, Groups: []string{"system:nodes"}, Hosts: []string{Address, Name}}
	if err := authority.Issue("kubelet", serving); err != nil {
		return err
	}
	client := pki.Subject{Name: serving.Name, Groups: serving.Groups}
	if err := authority.Kubeconfig(plane.Kubeconfig("kubelet"), plane.Server(), client); err != nil {
		return err
	}
	return authority.Kubeconfig(plane.Kubeconfig("kube-proxy"), plane.Server(), pki.Subject{Name: "system:kube-proxy"})
}

// startKubelet starts what makes the machine a node: kubelet, kube-proxy, and
// what gives Services of type LoadBalancer an address.
func startKubelet(group *process.Group, plane *control.Plane) error {
	secrets := filepath.Join(plane.Dir, "pki")
	configs := map[string]string{
		"kubelet":    fmt.Sprintf(kubeletConfig, Address, secrets, containerdSocket, cgroup, DNSService, scratch),
		"kube-proxy": fmt.Sprintf(proxyConfig, plane.Kubeconfig("kube-proxy"), Pods),
	}
	for name, content := range configs {
		if err := os.WriteFile(config(name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	specs := []process.Spec{
		{Name: "kubelet", Args: []string{
			"--config=" + config("kubelet"), "--kubeconfig=" + plane.Kubeconfig("kubelet"),
			"--hostname-override=" + Name, "--node-ip=" + Address,
		}},
		{Name: "kube-proxy", Args: []string{"--config=" + config("kube-proxy"), "--hostname-override=" + Name}},
		{Name: "load-balancer", Args: []string{"--kubeconfig=" + plane.Admin(), "--pool=" + Pool}},
	}
	for _, spec := range specs {
		spec.Path = filepath.Join(plane.Bin, "kube")
		if err := group.Start(spec); err != nil {
			return err
		}
	}
	return nil
}

func config(name string) string { return filepath.Join(scratch, name+".yaml") }
