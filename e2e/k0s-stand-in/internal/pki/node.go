package pki

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Node says what a controller's certificates need to know.
type Node struct {
	Dir           string
	SANs          []string
	ClusterDomain string
	ServiceIPs    []string
	CALife, Life  time.Duration
	// EtcdForeignRenewal: leaves under an etcd authority of a foreign name are renewed too.
	EtcdForeignRenewal bool
}

// ServerSANs of the API and the join API.
func (n Node) ServerSANs() []string {
	out := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + n.ClusterDomain,
		"kubernetes.default.svc." + n.ClusterDomain + ".", "kubernetes.svc." + n.ClusterDomain, "localhost", "127.0.0.1"}
	out = append(out, n.ServiceIPs...)
	out = append(out, n.SANs...)
	if host, err := os.Hostname(); err == nil {
		out = append(out, host)
		// A host without DNS and without itself in /etc/hosts must not wait for the resolver's time-outs.
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		if addrs, err := net.DefaultResolver.LookupHost(ctx, host); err == nil {
			out = append(out, addrs...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Ensure makes what is missing under Dir and renews what is ours.
func (n Node) Ensure() error {
	if err := os.MkdirAll(n.Dir, 0o751); err != nil {
		return err
	}
	_ = os.Chmod(n.Dir, 0o751)
	for base, cn := range map[string]string{"ca": ClusterCA, "front-proxy-ca": FrontProxyCA} {
		if err := EnsureAuthority(filepath.Join(n.Dir, base), cn, n.CALife); err != nil {
			return err
		}
	}
	if err := EnsureServiceAccountKey(n.Dir, "sa.key", "sa.pub"); err != nil {
		return err
	}
	ca, err := LoadAuthority(filepath.Join(n.Dir, "ca"))
	if err != nil {
		return err
	}
	front, err := LoadAuthority(filepath.Join(n.Dir, "front-proxy-ca"))
	if err != nil {
		return err
	}
	server := n.ServerSANs()
	jobs := []struct {
		a *Authority
		l Leaf
	}{
		{front, Leaf{Name: "front-proxy-client", CN: "front-proxy-client", O: []string{"front-proxy-client"}}},
		{ca, Leaf{Name: "admin", CN: "kubernetes-admin", O: []string{"system:masters"}}},
		{ca, Leaf{Name: "konnectivity", CN: "kubernetes-konnectivity", O: []string{"system:masters"}}},
		{ca, Leaf{Name: "ccm", CN: "system:kube-controller-manager", O: []string{"system:kube-controller-manager"}}},
		{ca, Leaf{Name: "scheduler", CN: "system:kube-scheduler", O: []string{"system:kube-scheduler"}}},
		{ca, Leaf{Name: "apiserver-kubelet-client", CN: "apiserver-kubelet-client", O: []string{"system:masters"}}},
		{ca, Leaf{Name: "server", CN: "kubernetes", O: []string{"kubernetes"}, SANs: server}},
		{ca, Leaf{Name: "k0s-api", CN: "k0s-api", O: []string{"kubernetes"}, SANs: server}},
	}
	return parallel(len(jobs), func(i int) error {
		return jobs[i].a.Ensure(n.Dir, jobs[i].l, n.Life, n.renews(jobs[i].a))
	})
}

// EnsureEtcd makes the etcd authority, leaves and token keys.
func (n Node) EnsureEtcd(peer string, users []string) error {
	dir := filepath.Join(n.Dir, "etcd")
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	_ = os.Chmod(dir, 0o711)
	if err := EnsureAuthority(filepath.Join(dir, "ca"), EtcdCA, n.CALife); err != nil {
		return err
	}
	ca, err := LoadAuthority(filepath.Join(dir, "ca"))
	if err != nil {
		return err
	}
	if err := EnsureServiceAccountKey(dir, "jwt.key", "jwt.pub"); err != nil {
		return err
	}
	host, _ := os.Hostname()
	sans := []string{"127.0.0.1", "localhost", peer, host}
	leaves := []Leaf{
		{Name: "apiserver-etcd-client", CN: "apiserver-etcd-client", O: []string{"apiserver-etcd-client"}, SANs: []string{"127.0.0.1", "localhost"}},
		{Name: "etcd/server", CN: "etcd-server", O: []string{"etcd-server"}, SANs: sans},
		{Name: "etcd/peer", CN: peer, O: []string{"etcd-peer"}, SANs: sans},
	}
	renew := n.renews(ca) || n.EtcdForeignRenewal
	return parallel(len(leaves), func(i int) error { return ca.Ensure(n.Dir, leaves[i], n.Life, renew) })
}

// renews: the issuer is one of k0s' own names, or the cluster CA with its key at hand.
func (n Node) renews(a *Authority) bool {
	if a.Key == nil {
		return false
	}
	cn := a.Cert.Subject.CommonName
	if slices.Contains([]string{ClusterCA, EtcdCA, FrontProxyCA}, cn) {
		return true
	}
	cluster, err := LoadAuthority(filepath.Join(n.Dir, "ca"))
	return err == nil && cluster.Key != nil && cluster.Cert.Subject.CommonName == cn
}

func parallel(n int, job func(int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = job(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
