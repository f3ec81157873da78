package joinapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/jointoken"
)

// Client asks a running controller.
type Client struct {
	token *jointoken.Token
	http  *http.Client
}

// NewClient for a controller's token; another role is refused.
func NewClient(text string) (*Client, error) {
	t, err := jointoken.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("failed to decode join token: %w", err)
	}
	if err := t.Expect(jointoken.ControllerUser); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(t.CA) {
		return nil, errors.New("join token: certificate-authority-data holds no certificate")
	}
	return &Client{token: t, http: &http.Client{Timeout: 30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}}, nil
}

// CA fetches the cluster's authority: ten tries, about a minute.
func (c *Client) CA(ctx context.Context) (*CAAnswer, error) {
	out := &CAAnswer{}
	err := retry(ctx, time.Second, 10*time.Second, "fetch the CA", func() error { return c.do(ctx, http.MethodGet, "/v1beta1/ca", nil, out) })
	return out, err
}

// JoinEtcd adds this host: ten tries, up to four minutes.
func (c *Client) JoinEtcd(ctx context.Context, node, peerURL string) (*EtcdAnswer, error) {
	out := &EtcdAnswer{}
	err := retry(ctx, time.Second, 60*time.Second, "join etcd", func() error {
		return c.do(ctx, http.MethodPost, "/v1beta1/etcd/members", EtcdRequest{Node: node, PeerAddress: peerURL}, out)
	})
	return out, err
}

func retry(ctx context.Context, first, most time.Duration, what string, try func() error) error {
	wait := first
	var err error
	for range 10 {
		if err = try(); err == nil {
			return nil
		}
		slog.Warn("cannot "+what+" yet", "err", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(wait*2, most)
	}
	return fmt.Errorf("failed to %s: %w", what, err)
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.token.Server+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token.ID+"."+c.token.Secret)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("unexpected response status: %s: %s", resp.Status, strings.TrimSpace(string(b)))
	}
	return json.Unmarshal(b, out)
}
