package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/joinapi"
	"k0smotron.io/e2e/k0s-stand-in/internal/kube"
	"k0smotron.io/e2e/k0s-stand-in/internal/pki"
	"k0smotron.io/e2e/k0s-stand-in/internal/status"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

// Run a controller until the context ends. ready is called once the API serves; it may start the embedded worker.
func Run(ctx context.Context, o Options, ready func(context.Context, *kube.Cluster) error) error {
	c := newController(o)
	defer c.stopChildren()
	answer, err := c.join(ctx)
	if err != nil {
		return err
	}
	if err := c.certificates(answer); err != nil {
		return err
	}
	if o.InitOnly {
		return nil
	}
	if os.Getenv("K0S_STANDIN_DIE") == "before-etcd" && answer != nil {
		return errors.New("ending between the join and the start of etcd, as a test asked")
	}
	if err := c.startStorage(ctx, answer); err != nil {
		return err
	}
	if err := slowStart(ctx); err != nil {
		return err
	}
	if c.konnectivity() {
		c.serverCount.Store(1)
		if err := c.startKonnectivity(1); err != nil {
			return err
		}
	}
	if err := c.startAPIServer(ctx); err != nil {
		return err
	}
	slog.Info("the API serves", "url", c.localURL())
	if c.cluster, err = kube.FromFile(c.pki("admin.conf")); err != nil {
		return err
	}
	return c.serve(ctx, ready)
}

// serve is what happens once the API answers, up to the orderly stop.
func (c *Controller) serve(ctx context.Context, ready func(context.Context, *kube.Cluster) error) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	leases := c.startLeases(work)
	c.leases = leases
	defer leases.release()
	if !c.disabled("control-api") && !c.Single {
		s := &joinapi.Server{Listen: c.joinListen(), PKI: filepath.Join(c.DataDir, "pki"), Cluster: c.cluster, Version: c.Version,
			Joinable: c.Config.Joinable(), Etcd: c.Config.EmbeddedEtcd(), EtcdTLS: c.etcdTLS()}
		if err := s.Serve(work); err != nil {
			return err
		}
	}
	if err := status.Serve(work, c.StatusSocket, c.status); err != nil {
		return err
	}
	if err := c.startControllerManager(); err != nil {
		return err
	}
	if err := c.startScheduler(); err != nil {
		return err
	}
	c.startClusterComponents(work)
	failed := make(chan error, 1)
	if ready != nil {
		go func() {
			if err := ready(work, c.cluster); err != nil && work.Err() == nil {
				failed <- err
			}
		}()
	}
	select {
	case <-ctx.Done():
		slog.Info("shutting down")
		stop()
		leases.release()
		return nil
	case err := <-failed:
		return err
	case <-c.idle:
	}
	// Asked to leave: everything ends, the process stays, so that a service manager does not start it again.
	stop()
	leases.release()
	c.stopChildren()
	slog.Info("this controller left the etcd cluster and idles until it is stopped")
	<-ctx.Done()
	return nil
}

func (c *Controller) joinListen() string {
	host := ""
	if c.Config.Spec.API.OnlyBindToAddress {
		host = c.Config.Spec.API.Address
	} else if b := c.Config.Spec.API.ExtraArgs["bind-address"]; b != "" {
		host = b
	}
	return fmt.Sprintf("%s:%d", host, c.Config.Spec.API.K0sAPIPort)
}

// join decides whether this host must join, and does: no token means a new cluster with the files that are here.
func (c *Controller) join(ctx context.Context) (*joinapi.EtcdAnswer, error) {
	needs := false
	switch {
	case c.Config.EmbeddedEtcd():
		needs = !hasEtcdData(c.DataDir)
	default:
		needs = !exists(c.pki("ca.crt")) || !exists(c.pki("ca.key"))
	}
	if !needs || !c.TokenGiven || !c.Config.Joinable() {
		return nil, nil
	}
	text, err := c.ReadToken()
	if err != nil {
		return nil, err
	}
	client, err := joinapi.NewClient(text)
	if err != nil {
		return nil, fmt.Errorf("failed to create join client: %w", err)
	}
	ca, err := client.CA(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.pki("etcd"), 0o755); err != nil {
		return nil, err
	}
	if err := pki.WritePairPEM(c.pki("ca"), ca.Cert, ca.Key); err != nil {
		return nil, err
	}
	if err := errors.Join(pki.WriteFile(c.pki("sa.key"), ca.SAKey, 0o640), pki.WriteFile(c.pki("sa.pub"), ca.SAPub, 0o644)); err != nil {
		return nil, err
	}
	if !c.Config.EmbeddedEtcd() {
		return nil, nil
	}
	answer, err := client.JoinEtcd(ctx, c.memberName(), c.peerURL())
	if err != nil {
		return nil, err
	}
	if !exists(c.pki("etcd/ca.crt")) || !exists(c.pki("etcd/ca.key")) {
		if err := pki.WritePairPEM(c.pki("etcd/ca"), answer.CA.Cert, answer.CA.Key); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

func (c *Controller) certificates(_ *joinapi.EtcdAnswer) error {
	s := c.Config.Spec
	life := func(text string) time.Duration { d, _ := time.ParseDuration(text); return d }
	n := pki.Node{Dir: filepath.Join(c.DataDir, "pki"), SANs: s.API.SANs, ClusterDomain: s.Network.ClusterDomain,
		ServiceIPs: []string{c.Config.FirstServiceAddress()}, CALife: life(s.API.CA.ExpiresAfter), Life: life(s.API.CA.CertificatesExpireAfter),
		EtcdForeignRenewal: c.Version.Has(version.ForeignEtcdCARenewal)}
	if h := c.Config.ExternalHost(); h != "" {
		n.SANs = append(slices.Clone(n.SANs), h)
	}
	if err := n.Ensure(); err != nil {
		return err
	}
	if c.Config.EmbeddedEtcd() {
		n.CALife, n.Life = life(s.Storage.Etcd.CA.ExpiresAfter), life(s.Storage.Etcd.CA.CertificatesExpireAfter)
		if err := n.EnsureEtcd(s.Storage.Etcd.PeerAddress, nil); err != nil {
			return err
		}
	}
	return c.writeKubeconfigs()
}

func (c *Controller) startStorage(ctx context.Context, join *joinapi.EtcdAnswer) error {
	switch {
	case c.Config.EmbeddedEtcd():
		return c.startEtcd(ctx, join)
	case c.Config.Spec.Storage.Type == "kine":
		return c.startKine(ctx)
	}
	return nil // somebody else's etcd
}

// stopChildren in the order that lets the API drain: newest first, storage last.
func (c *Controller) stopChildren() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range slices.Backward(c.children) {
		if ch.Name != "konnectivity-server" {
			ch.Stop()
		}
	}
	for _, ch := range c.children {
		ch.Stop()
	}
}

// slowStart is a test's: K0S_STANDIN_SLOW_START=90s.
func slowStart(ctx context.Context) error {
	d, err := time.ParseDuration(os.Getenv("K0S_STANDIN_SLOW_START"))
	if err != nil {
		return nil //nolint:nilerr // not asked for
	}
	if d > 2*time.Minute {
		d = 2 * time.Minute
		defer slog.Error("kube-apiserver is not ready after 2m0s, as a test asked")
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
	}
	if d == 2*time.Minute {
		return errors.New("kube-apiserver is not ready after 2m0s")
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
