// Package etcd speaks to etcd's membership API.
package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// TLS names the files of a client.
type TLS struct{ CA, Cert, Key string }

const local = "https://127.0.0.1:2379"

// Open a client to the local member.
func Open(t TLS) (*clientv3.Client, error) {
	ca, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return clientv3.New(clientv3.Config{Endpoints: []string{local}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
		TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}})
}

// With a client for one use.
func With(t TLS, use func(*clientv3.Client) error) error {
	c, err := Open(t)
	if err != nil {
		return err
	}
	defer c.Close()
	return use(c)
}

// HealthyVoter is nil once the local member serves and is no learner.
func HealthyVoter(ctx context.Context, t TLS) error {
	return With(t, func(c *clientv3.Client) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		s, err := c.Status(ctx, local)
		if err != nil {
			return err
		}
		if s.IsLearner {
			return errors.New("still a learner")
		}
		if s.Leader == 0 {
			return errors.New("no leader")
		}
		_, err = c.Get(ctx, "health")
		return err
	})
}

// Member of the cluster.
type Member struct {
	ID      uint64
	Name    string
	PeerURL string
	Learner bool
	Started bool
}

// Members lists the cluster.
func Members(ctx context.Context, c *clientv3.Client) ([]Member, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	l, err := c.MemberList(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Member, 0, len(l.Members))
	for _, m := range l.Members {
		peer := ""
		if len(m.PeerURLs) > 0 {
			peer = m.PeerURLs[0]
		}
		out = append(out, Member{ID: m.ID, Name: m.Name, PeerURL: peer, Learner: m.IsLearner, Started: m.Name != ""})
	}
	return out, nil
}

// Add a member, and give the initial cluster with it.
func Add(ctx context.Context, c *clientv3.Client, name, peerURL string, learner bool) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var added *clientv3.MemberAddResponse
	var err error
	if learner {
		added, err = c.MemberAddAsLearner(ctx, []string{peerURL})
	} else {
		added, err = c.MemberAdd(ctx, []string{peerURL})
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range added.Members {
		n := m.Name
		if m.ID == added.Member.ID {
			n = name
		}
		for _, u := range m.PeerURLs {
			out = append(out, n+"="+u)
		}
	}
	return out, nil
}

// Remove a member; five tries on what passes by itself.
func Remove(ctx context.Context, c *clientv3.Client, id uint64) error {
	var err error
	for range 5 {
		once, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err = c.MemberRemove(once, id)
		cancel()
		if err == nil || !(strings.Contains(err.Error(), "unhealthy cluster") || strings.Contains(err.Error(), "leader changed")) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Second):
		}
	}
	return err
}

// PromoteOne learner, if there is one that has caught up.
func PromoteOne(ctx context.Context, c *clientv3.Client) error {
	all, err := Members(ctx, c)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(m Member) bool { return m.Learner && m.Started })
	if i < 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err = c.MemberPromote(ctx, all[i].ID)
	return err
}

// HasAddress tells whether a member's peer URL is at this host.
func (m Member) HasAddress(host string) bool {
	u, err := url.Parse(m.PeerURL)
	return err == nil && u.Hostname() == host
}

// Address of the member's peer URL.
func (m Member) Address() string {
	u, err := url.Parse(m.PeerURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Hex is how EtcdMember prints an id.
func (m Member) Hex() string { return strconv.FormatUint(m.ID, 16) }

// PeerURL for an address.
func PeerURL(address string) string {
	return fmt.Sprintf("https://%s", net.JoinHostPort(address, "2380"))
}
