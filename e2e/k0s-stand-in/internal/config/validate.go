package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

// Validate applies the rules of an effective configuration; every fault names its field.
func (c *ClusterConfig) Validate(single bool, v version.Version) error {
	var faults []error
	fault := func(path, format string, args ...any) {
		faults = append(faults, fmt.Errorf("spec."+path+": "+format, args...))
	}
	s := c.Spec
	if ip := net.ParseIP(s.API.Address); ip == nil || ip.IsUnspecified() {
		fault("api.address", "Invalid value: %q: invalid IP address", s.API.Address)
	}
	if a := s.API.ExternalAddress; a != "" {
		if _, _, err := net.SplitHostPort(a); err == nil && net.ParseIP(a) == nil && !v.Has(version.ExternalAddressPort) {
			fault("api.externalAddress", "Invalid value: %q: invalid IP address / DNS name", a)
		}
		if strings.ContainsAny(a, "/ _") {
			fault("api.externalAddress", "Invalid value: %q: invalid IP address / DNS name", a)
		}
	}
	for i, san := range s.API.SANs {
		if san == "" || strings.ContainsAny(san, "/ ,") {
			fault(fmt.Sprintf("api.sans[%d]", i), "Invalid value: %q: invalid IP address / DNS name", san)
		}
	}
	for path, port := range map[string]int{"api.port": s.API.Port, "api.k0sApiPort": s.API.K0sAPIPort, "konnectivity.agentPort": s.Konnectivity.AgentPort, "konnectivity.adminPort": s.Konnectivity.AdminPort} {
		if port < 1 || port > 65535 {
			fault(path, "Invalid value: %d: must be between 1 and 65535, inclusive", port)
		}
	}
	switch s.Storage.Type {
	case "etcd":
		if x := s.Storage.Etcd.ExternalCluster; x != nil {
			if len(x.Endpoints) == 0 {
				fault("storage.etcd.externalCluster.endpoints", "cannot be null or empty")
			}
			if x.EtcdPrefix == "" {
				fault("storage.etcd.externalCluster.etcdPrefix", "cannot be empty")
			}
			given := 0
			for _, f := range []string{x.CAFile, x.ClientCertFile, x.ClientKeyFile} {
				if f != "" {
					given++
				}
			}
			if given != 0 && given != 3 {
				fault("storage.etcd.externalCluster", "caFile, clientCertFile, clientKeyFile must be all set or all empty")
			}
		}
	case "kine":
	default:
		fault("storage.type", "unsupported storage type: %s. Supported types are etcd, kine", s.Storage.Type)
	}
	n := s.Network
	if !slices.Contains([]string{"kuberouter", "calico", "custom"}, n.Provider) {
		fault("network.provider", "Unsupported value: %q: supported values: \"kuberouter\", \"calico\", \"custom\"", n.Provider)
	}
	for path, cidr := range map[string]string{"network.podCIDR": n.PodCIDR, "network.serviceCIDR": n.ServiceCIDR} {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			fault(path, "Invalid value: %q: invalid CIDR address", cidr)
		}
	}
	if !slices.Contains([]string{"iptables", "ipvs", "userspace", "nftables"}, n.KubeProxy.Mode) {
		fault("network.kubeProxy.mode", "unsupported mode %s for kubeProxy config", n.KubeProxy.Mode)
	}
	if n.NodeLocalLoadBalancing.Enabled {
		if s.API.ExternalAddress != "" {
			fault("network.nodeLocalLoadBalancing", "Forbidden: node-local load balancing cannot be used in conjunction with an external Kubernetes API server address")
		}
		if single {
			fault("network.nodeLocalLoadBalancing", "Forbidden: cannot be used with --single")
		}
	}
	if n.ControlPlaneLoadBalancing != nil && n.ControlPlaneLoadBalancing.Enabled && single {
		fault("network.controlPlaneLoadBalancing", "Forbidden: cannot be used with --single")
	}
	for i, p := range s.WorkerProfiles {
		if p.Name == "" {
			fault(fmt.Sprintf("workerProfiles[%d].name", i), "Required value")
		}
		for _, locked := range []string{"clusterDNS", "clusterDomain", "staticPodURL", "apiVersion", "kind"} {
			if _, set := p.Values[locked]; set {
				fault(fmt.Sprintf("workerProfiles[%d].values", i), "field `%s` is prohibited to override in worker profile %q", locked, p.Name)
			}
		}
	}
	for i, g := range s.FeatureGates {
		if g.Name == "" {
			fault(fmt.Sprintf("featureGates[%d].name", i), "Required value")
		}
		for _, comp := range g.Components {
			if !slices.Contains([]string{"kube-apiserver", "kube-controller-manager", "kubelet", "kube-scheduler", "kube-proxy"}, comp) {
				fault(fmt.Sprintf("featureGates[%d].components", i), "Unsupported value: %q", comp)
			}
		}
	}
	if s.Extensions != nil && s.Extensions.Helm != nil {
		for i, r := range s.Extensions.Helm.Repositories {
			if r.Name == "" || r.URL == "" {
				fault(fmt.Sprintf("extensions.helm.repositories[%d]", i), "name and url must be set")
			}
		}
		for i, ch := range s.Extensions.Helm.Charts {
			if ch.Name == "" || ch.ChartName == "" || ch.TargetNS == "" {
				fault(fmt.Sprintf("extensions.helm.charts[%d]", i), "name, chartname and namespace must be set")
			}
		}
	}
	if s.API.ExtraArgs["authentication-config"] != "" && s.API.ExtraArgs["anonymous-auth"] != "" {
		fault("api.extraArgs", "authentication-config and anonymous-auth are mutually exclusive")
	}
	return errors.Join(faults...)
}
