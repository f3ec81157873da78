package config

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sort"
	"strings"

	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

func readAll(r io.Reader) ([]byte, error) { return io.ReadAll(r) }

// Effective fills every default. single chooses kine while spec.storage is absent.
func (c *ClusterConfig) Effective(dataDir string, single bool, v version.Version) (*ClusterConfig, error) {
	e := c.Copy()
	e.APIVersion, e.Kind = APIVersion, Kind
	if e.Metadata == nil {
		e.Metadata = map[string]any{}
	}
	if e.Metadata["name"] == nil {
		e.Metadata["name"] = "k0s"
	}
	if e.Spec == nil {
		e.Spec = &Spec{}
	}
	s := e.Spec
	s.API = orNew(s.API)
	if s.API.Address == "" {
		address, err := FirstAddress()
		if err != nil {
			return nil, err
		}
		s.API.Address = address
	}
	s.API.Port = or(s.API.Port, 6443)
	s.API.K0sAPIPort = or(s.API.K0sAPIPort, 9443)
	s.API.CA = caDefaults(s.API.CA)
	s.ControllerManager = orNew(s.ControllerManager)
	s.Scheduler = orNew(s.Scheduler)
	if s.Storage == nil {
		s.Storage = &Storage{Type: "etcd"}
		if single {
			s.Storage.Type = "kine"
		}
	}
	s.Storage.Type = or(s.Storage.Type, "etcd")
	switch s.Storage.Type {
	case "etcd":
		s.Storage.Etcd = orNew(s.Storage.Etcd)
		if s.Storage.Etcd.ExternalCluster == nil {
			s.Storage.Etcd.PeerAddress = or(s.Storage.Etcd.PeerAddress, s.API.Address)
			s.Storage.Etcd.CA = caDefaults(s.Storage.Etcd.CA)
		}
	case "kine":
		s.Storage.Kine = orNew(s.Storage.Kine)
		s.Storage.Kine.DataSource = or(s.Storage.Kine.DataSource, "sqlite://"+dataDir+"/db/state.db?mode=rwc&_journal=WAL")
	}
	s.Network = orNew(s.Network)
	n := s.Network
	n.Provider = or(n.Provider, "kuberouter")
	n.PodCIDR = or(n.PodCIDR, "10.244.0.0/16")
	n.ServiceCIDR = or(n.ServiceCIDR, "10.96.0.0/12")
	n.ClusterDomain = or(n.ClusterDomain, "cluster.local")
	n.DualStack = orNew(n.DualStack)
	n.KubeProxy = orNew(n.KubeProxy)
	n.KubeProxy.Mode = or(n.KubeProxy.Mode, "iptables")
	n.KubeProxy.MetricsBindAddress = or(n.KubeProxy.MetricsBindAddress, "0.0.0.0:10249")
	if n.Provider == "kuberouter" {
		n.KubeRouter = orNew(n.KubeRouter)
		n.KubeRouter.MetricsPort = or(n.KubeRouter.MetricsPort, 8080)
	}
	n.NodeLocalLoadBalancing = orNew(n.NodeLocalLoadBalancing)
	n.NodeLocalLoadBalancing.Type = or(n.NodeLocalLoadBalancing.Type, "EnvoyProxy")
	s.Konnectivity = orNew(s.Konnectivity)
	s.Konnectivity.AgentPort = or(s.Konnectivity.AgentPort, 8132)
	s.Konnectivity.AdminPort = or(s.Konnectivity.AdminPort, 8133)
	s.InstallConfig = orNew(s.InstallConfig)
	u := orNew(s.InstallConfig.Users)
	u.EtcdUser = or(u.EtcdUser, "etcd")
	u.KineUser = or(u.KineUser, "kube-apiserver")
	u.KonnectivityUser = or(u.KonnectivityUser, "konnectivity-server")
	u.KubeAPIserverUser = or(u.KubeAPIserverUser, "kube-apiserver")
	u.KubeSchedulerUser = or(u.KubeSchedulerUser, "kube-scheduler")
	s.InstallConfig.Users = u
	if s.Telemetry == nil || s.Telemetry.Enabled == nil {
		on := !v.Has(version.TelemetryOff)
		s.Telemetry = &Telemetry{Enabled: &on}
	}
	s.Images = orNew(s.Images)
	s.Images.DefaultPullPolicy = or(s.Images.DefaultPullPolicy, "IfNotPresent")
	s.Images.fill()
	s.API.SANs = e.sans()
	return e, nil
}

func caDefaults(c *CA) *CA {
	c = orNew(c)
	c.ExpiresAfter = or(c.ExpiresAfter, "87600h0m0s")
	c.CertificatesExpireAfter = or(c.CertificatesExpireAfter, "8760h0m0s")
	return c
}

func or[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

func orNew[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}

// sans merges the user's names with this host's addresses, sorted.
func (c *ClusterConfig) sans() []string {
	set := map[string]bool{}
	for _, s := range c.Spec.API.SANs {
		set[s] = true
	}
	set[c.Spec.API.Address] = true
	if h := c.ExternalHost(); h != "" {
		set[h] = true
	}
	for _, a := range HostAddresses() {
		set[a] = true
	}
	out := make([]string, 0, len(set))
	for s := range set {
		out = append(out, s)
	}
	sort.Strings(out)
	return out
}

// ExternalHost is the host of externalAddress.
func (c *ClusterConfig) ExternalHost() string {
	a := c.Spec.API.ExternalAddress
	if h, _, err := net.SplitHostPort(a); err == nil {
		return h
	}
	return strings.Trim(a, "[]")
}

// ExternalPort is the port of externalAddress, else the API's.
func (c *ClusterConfig) ExternalPort() int {
	if _, p, err := net.SplitHostPort(c.Spec.API.ExternalAddress); err == nil {
		var n int
		if _, err := fmt.Sscan(p, &n); err == nil {
			return n
		}
	}
	return c.Spec.API.Port
}

// APIURL is where others find the API.
func (c *ClusterConfig) APIURL() string {
	return fmt.Sprintf("https://%s", net.JoinHostPort(or(c.ExternalHost(), c.Spec.API.Address), fmt.Sprint(c.ExternalPort())))
}

// JoinURL is where others find the join API; a port in externalAddress ends up here too, which is a defect that k0s has.
func (c *ClusterConfig) JoinURL() string {
	port := c.Spec.API.K0sAPIPort
	if _, p, err := net.SplitHostPort(c.Spec.API.ExternalAddress); err == nil {
		_, _ = fmt.Sscan(p, &port)
	}
	return fmt.Sprintf("https://%s", net.JoinHostPort(or(c.ExternalHost(), c.Spec.API.Address), fmt.Sprint(port)))
}

// DNSAddress is the tenth address of the service range.
func (c *ClusterConfig) DNSAddress() string { return nthAddress(c.Spec.Network.ServiceCIDR, 10) }

// FirstServiceAddress belongs to the Service default/kubernetes.
func (c *ClusterConfig) FirstServiceAddress() string {
	return nthAddress(c.Spec.Network.ServiceCIDR, 1)
}

func nthAddress(cidr string, n int) string {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return ""
	}
	a := p.Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a.String()
}

// ServiceCIDRs with the second family if there is one.
func (c *ClusterConfig) ServiceCIDRs() string {
	n := c.Spec.Network
	if n.DualStack.Enabled {
		return n.ServiceCIDR + "," + n.DualStack.IPv6ServiceCIDR
	}
	return n.ServiceCIDR
}

// PodCIDRs with the second family if there is one.
func (c *ClusterConfig) PodCIDRs() string {
	n := c.Spec.Network
	if n.DualStack.Enabled {
		return n.PodCIDR + "," + n.DualStack.IPv6PodCIDR
	}
	return n.PodCIDR
}

// EmbeddedEtcd tells whether k0s runs etcd itself.
func (c *ClusterConfig) EmbeddedEtcd() bool {
	return c.Spec.Storage.Type == "etcd" && c.Spec.Storage.Etcd.ExternalCluster == nil
}

// Joinable tells whether a second controller could share the storage.
func (c *ClusterConfig) Joinable() bool {
	if c.Spec.Storage.Type == "etcd" {
		return true
	}
	d := c.Spec.Storage.Kine.DataSource
	scheme, rest, _ := strings.Cut(d, "://")
	switch scheme {
	case "sqlite", "":
		return false
	case "nats":
		return strings.Contains(rest, "noEmbed")
	}
	return true
}

// The interfaces whose addresses are never a node's own.
var skipped = []string{"veth", "cali", "vxlan.calico", "kube-bridge", "dummyvip0"}

// FirstAddress is the first IPv4 of an interface that is not skipped, else the first IPv6.
func FirstAddress() (string, error) {
	all := HostAddresses()
	for _, a := range all {
		if ip := net.ParseIP(a); ip != nil && ip.To4() != nil {
			return a, nil
		}
	}
	if len(all) > 0 {
		return all[0], nil
	}
	return "127.0.0.1", nil
}

// HostAddresses of all interfaces but loopback and those of pods.
func HostAddresses() []string {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var out []string
next:
	for _, i := range ifaces {
		if i.Flags&net.FlagLoopback != 0 || i.Flags&net.FlagUp == 0 {
			continue
		}
		for _, p := range skipped {
			if strings.HasPrefix(i.Name, p) {
				continue next
			}
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
				out = append(out, n.IP.String())
			}
		}
	}
	return out
}

// Hostname is the node name without an override.
func Hostname() string {
	h, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return strings.ToLower(h)
}
