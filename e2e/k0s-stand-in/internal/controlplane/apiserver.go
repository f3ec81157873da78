package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/pki"
	"k0smotron.io/e2e/k0s-stand-in/internal/supervise"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

// The cipher suites that k0s allows its servers.
const ciphers = "TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384,TLS_CHACHA20_POLY1305_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"

func (c *Controller) apiserverArgs() []string {
	s := c.Config.Spec
	user := s.InstallConfig.Users.KubeAPIserverUser
	ours := map[string]string{
		"advertise-address":                  s.API.Address,
		"secure-port":                        fmt.Sprint(s.API.Port),
		"allow-privileged":                   "true",
		"api-audiences":                      "https://kubernetes.default.svc,system:konnectivity-server",
		"authorization-mode":                 "Node,RBAC",
		"client-ca-file":                     c.pki("ca.crt"),
		"enable-admission-plugins":           "NodeRestriction",
		"enable-bootstrap-token-auth":        "true",
		"kubelet-client-certificate":         c.pki("apiserver-kubelet-client.crt"),
		"kubelet-client-key":                 c.pki("apiserver-kubelet-client.key"),
		"kubelet-certificate-authority":      c.pki("ca.crt"),
		"kubelet-preferred-address-types":    "InternalIP,ExternalIP,Hostname",
		"proxy-client-cert-file":             c.pki("front-proxy-client.crt"),
		"proxy-client-key-file":              c.pki("front-proxy-client.key"),
		"requestheader-allowed-names":        "front-proxy-client",
		"requestheader-client-ca-file":       c.pki("front-proxy-ca.crt"),
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"service-account-issuer":             "https://kubernetes.default.svc",
		"service-account-jwks-uri":           "https://kubernetes.default.svc/openid/v1/jwks",
		"service-account-key-file":           c.pki("sa.pub"),
		"service-account-signing-key-file":   c.pki("sa.key"),
		"service-cluster-ip-range":           c.Config.ServiceCIDRs(),
		"tls-cert-file":                      c.pki("server.crt"),
		"tls-private-key-file":               c.pki("server.key"),
		"tls-min-version":                    "VersionTLS12",
		"tls-cipher-suites":                  ciphers,
		"profiling":                          "false",
		"v":                                  c.level("kube-apiserver"),
	}
	// k0s switches anonymous requests off, unless a file says who may come (it could not, before AnonymousByFile).
	if s.API.ExtraArgs["authentication-config"] == "" || !c.Version.Has(version.AnonymousByFile) {
		ours["anonymous-auth"] = "false"
	}
	for k, v := range c.storageArgs() {
		ours[k] = v
		if filepath.IsAbs(v) && within(c.DataDir, v) {
			supervise.Own(user, v)
		}
	}
	if s.API.OnlyBindToAddress {
		ours["bind-address"] = s.API.Address
	}
	if c.reconcilesEndpoints() {
		ours["endpoint-reconciler-type"] = "none"
	}
	if c.konnectivity() {
		ours["egress-selector-config-file"] = filepath.Join(c.DataDir, "konnectivity.conf")
	}
	if g := c.featureGates("kube-apiserver"); g != "" {
		ours["feature-gates"] = g
	}
	return merge(ours, s.API.ExtraArgs, s.API.RawArgs)
}

// Our own endpoints instead of the API server's: an external address is set, nothing forbids it.
func (c *Controller) reconcilesEndpoints() bool {
	lb := c.Config.Spec.Network.ControlPlaneLoadBalancing
	return c.Config.Spec.API.ExternalAddress != "" && !c.disabled("endpoint-reconciler") && (lb == nil || !lb.Enabled)
}

func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

func (c *Controller) startAPIServer(ctx context.Context) error {
	user := c.Config.Spec.InstallConfig.Users.KubeAPIserverUser
	if c.konnectivity() {
		if err := c.writeEgress(); err != nil {
			return err
		}
	}
	for _, f := range []string{"ca.crt", "ca.key", "server.crt", "server.key", "sa.key", "sa.pub", "front-proxy-ca.crt", "front-proxy-ca.key",
		"front-proxy-client.crt", "front-proxy-client.key", "apiserver-kubelet-client.crt", "apiserver-kubelet-client.key", "k0s-api.crt", "k0s-api.key"} {
		supervise.Own(user, c.pki(f))
	}
	child, err := c.child("kube-apiserver", user, c.apiserverArgs())
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	c.children = append(c.children, child)
	get, err := c.adminGet()
	if err != nil {
		return err
	}
	return supervise.Until(ctx, "kube-apiserver", 100*time.Millisecond, func(ctx context.Context) error { return get(ctx, "/readyz") })
}

// localURL of the API as the components of this host see it.
func (c *Controller) localURL() string {
	host := "localhost"
	if c.Config.Spec.API.OnlyBindToAddress {
		host = c.Config.Spec.API.Address
	}
	return "https://" + net.JoinHostPort(host, fmt.Sprint(c.Config.Spec.API.Port))
}

func (c *Controller) adminGet() (func(context.Context, string) error, error) {
	ca, err := os.ReadFile(c.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(c.pki("admin.crt"), c.pki("admin.key"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}}}
	return func(ctx context.Context, path string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.localURL()+path, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status + ": " + string(b))
		}
		return nil
	}, nil
}

// kubeconfigs of the components and of people on this host.
func (c *Controller) writeKubeconfigs() error {
	for name, leaf := range map[string]string{"admin.conf": "admin", "ccm.conf": "ccm", "scheduler.conf": "scheduler", "konnectivity.conf": "konnectivity"} {
		if err := pki.WriteKubeconfig(c.pki(name), c.localURL(), filepath.Join(c.DataDir, "pki"), leaf, "user"); err != nil {
			return err
		}
	}
	u := c.Config.Spec.InstallConfig.Users
	supervise.Own(u.KubeAPIserverUser, c.pki("ccm.conf"), c.pki("ccm.crt"), c.pki("ccm.key"))
	supervise.Own(u.KubeSchedulerUser, c.pki("scheduler.conf"), c.pki("scheduler.crt"), c.pki("scheduler.key"))
	supervise.Own(u.KonnectivityUser, c.pki("konnectivity.conf"), c.pki("konnectivity.crt"), c.pki("konnectivity.key"))
	return nil
}
