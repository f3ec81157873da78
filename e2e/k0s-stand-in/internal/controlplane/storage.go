package controlplane

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/etcd"
	"k0smotron.io/e2e/k0s-stand-in/internal/joinapi"
	"k0smotron.io/e2e/k0s-stand-in/internal/supervise"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

// memberName is extraArgs.name from 1.31.1, else the host name.
func (c *Controller) memberName() string {
	if n := c.Config.Spec.Storage.Etcd.ExtraArgs["name"]; n != "" && c.Version.Has(version.MemberNameFromExtraArgs) {
		return n
	}
	h, err := os.Hostname()
	if err != nil {
		return c.NodeName
	}
	return h
}

func (c *Controller) peerURL() string {
	return "https://" + net.JoinHostPort(c.Config.Spec.Storage.Etcd.PeerAddress, "2380")
}

// EtcdTLS are the files that speak to the local etcd.
func (c *Controller) etcdTLS() etcd.TLS {
	return etcd.TLS{CA: c.pki("etcd/ca.crt"), Cert: c.pki("apiserver-etcd-client.crt"), Key: c.pki("apiserver-etcd-client.key")}
}

func (c *Controller) startEtcd(ctx context.Context, join *joinapi.EtcdAnswer) error {
	s := c.Config.Spec.Storage.Etcd
	user := c.Config.Spec.InstallConfig.Users.EtcdUser
	dir := filepath.Join(c.DataDir, "etcd")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	if join != nil {
		// The member exists in the cluster already; what an interrupted first start left here belongs to nobody.
		_ = os.RemoveAll(filepath.Join(dir, "member"))
	}
	supervise.Own(user, dir, c.pki("etcd"), c.pki("etcd/ca.crt"), c.pki("etcd/server.crt"), c.pki("etcd/server.key"),
		c.pki("etcd/peer.crt"), c.pki("etcd/peer.key"), c.pki("etcd/jwt.key"), c.pki("etcd/jwt.pub"))
	args := map[string]string{
		"name": c.memberName(), "data-dir": dir,
		"listen-client-urls": "https://127.0.0.1:2379", "advertise-client-urls": "https://127.0.0.1:2379",
		"listen-peer-urls": c.peerURL(), "initial-advertise-peer-urls": c.peerURL(),
		"client-cert-auth": "true", "peer-client-cert-auth": "true", "tls-min-version": "TLS1.2",
		"trusted-ca-file": c.pki("etcd/ca.crt"), "cert-file": c.pki("etcd/server.crt"), "key-file": c.pki("etcd/server.key"),
		"peer-trusted-ca-file": c.pki("etcd/ca.crt"), "peer-cert-file": c.pki("etcd/peer.crt"), "peer-key-file": c.pki("etcd/peer.key"),
		"log-level": c.level("etcd"), "enable-pprof": "false",
		"auth-token": fmt.Sprintf("jwt,pub-key=%s,priv-key=%s,sign-method=RS512,ttl=10m", c.pki("etcd/jwt.pub"), c.pki("etcd/jwt.key")),
	}
	if join != nil {
		args["initial-cluster"] = strings.Join(join.InitialCluster, ",")
		args["initial-cluster-state"] = "existing"
	} else if !hasEtcdData(c.DataDir) {
		args["initial-cluster"] = c.memberName() + "=" + c.peerURL()
	}
	child, err := c.child("etcd", user, merge(args, s.ExtraArgs, s.RawArgs))
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	c.children = append(c.children, child)
	return supervise.Until(ctx, "etcd", 100*time.Millisecond, func(ctx context.Context) error {
		return etcd.HealthyVoter(ctx, c.etcdTLS())
	})
}

func hasEtcdData(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, "etcd/member/snap/db"))
	return err == nil
}

func (c *Controller) kineSocket() string { return filepath.Join(c.RunDir, "kine", "kine.sock") }

func (c *Controller) startKine(ctx context.Context) error {
	s := c.Config.Spec.Storage.Kine
	user := c.Config.Spec.InstallConfig.Users.KineUser
	socketDir := filepath.Dir(c.kineSocket())
	if err := os.MkdirAll(socketDir, 0o755); err != nil {
		return err
	}
	_ = os.Remove(c.kineSocket())
	supervise.Own(user, socketDir)
	if u, err := url.Parse(s.DataSource); err == nil && u.Scheme == "sqlite" {
		db := strings.SplitN(strings.TrimPrefix(s.DataSource, "sqlite://"), "?", 2)[0]
		if err := os.MkdirAll(filepath.Dir(db), 0o750); err != nil {
			return err
		}
		supervise.Own(user, filepath.Dir(db), db, db+"-wal", db+"-shm")
	}
	args := map[string]string{
		"endpoint":             s.DataSource,
		"listen-address":       "unix://" + c.kineSocket(),
		"metrics-bind-address": "0",
	}
	child, err := c.child("kine", user, merge(args, s.ExtraArgs, s.RawArgs))
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	c.children = append(c.children, child)
	return supervise.Until(ctx, "kine", 50*time.Millisecond, func(context.Context) error {
		conn, err := net.Dial("unix", c.kineSocket())
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// storageArgs tell the API server where its storage is.
func (c *Controller) storageArgs() map[string]string {
	s := c.Config.Spec.Storage
	switch {
	case s.Type == "kine":
		return map[string]string{"etcd-servers": "unix://" + c.kineSocket()}
	case s.Etcd.ExternalCluster != nil:
		x := s.Etcd.ExternalCluster
		out := map[string]string{"etcd-servers": strings.Join(x.Endpoints, ","), "etcd-prefix": x.EtcdPrefix}
		if x.CAFile != "" {
			out["etcd-cafile"], out["etcd-certfile"], out["etcd-keyfile"] = x.CAFile, x.ClientCertFile, x.ClientKeyFile
		}
		return out
	}
	return map[string]string{"etcd-servers": "https://127.0.0.1:2379", "etcd-cafile": c.pki("etcd/ca.crt"),
		"etcd-certfile": c.pki("apiserver-etcd-client.crt"), "etcd-keyfile": c.pki("apiserver-etcd-client.key")}
}
