package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/constants"
	"k0smotron.io/e2e/k0s-stand-in/internal/pki"
	"k0smotron.io/e2e/k0s-stand-in/internal/supervise"
)

func (c *Controller) konnectivitySocket() string {
	return filepath.Join(c.RunDir, "konnectivity-server", "konnectivity-server.sock")
}

// writeEgress tells the API server to reach the cluster through konnectivity.
func (c *Controller) writeEgress() error {
	text := fmt.Sprintf(`apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: GRPC
    transport:
      uds:
        udsName: %s
`, c.konnectivitySocket())
	path := filepath.Join(c.DataDir, "konnectivity.conf")
	if err := pki.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	dir := filepath.Dir(c.konnectivitySocket())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	supervise.Own(c.Config.Spec.InstallConfig.Users.KonnectivityUser, dir)
	return nil
}

func (c *Controller) konnectivityArgs(count int) []string {
	k := c.Config.Spec.Konnectivity
	return merge(map[string]string{
		"uds-name":                 c.konnectivitySocket(),
		"cluster-cert":             c.pki("server.crt"),
		"cluster-key":              c.pki("server.key"),
		"kubeconfig":               c.pki("konnectivity.conf"),
		"mode":                     "grpc",
		"server-port":              "0",
		"agent-port":               fmt.Sprint(k.AgentPort),
		"admin-port":               fmt.Sprint(k.AdminPort),
		"health-bind-address":      "localhost",
		"health-port":              "8092",
		"agent-namespace":          "kube-system",
		"agent-service-account":    "konnectivity-agent",
		"authentication-audience":  "system:konnectivity-server",
		"logtostderr":              "true",
		"stderrthreshold":          "1",
		"v":                        c.level("konnectivity-server"),
		"enable-profiling":         "false",
		"delete-existing-uds-file": "true",
		"server-id":                c.serverID(),
		"proxy-strategies":         "destHost,default",
		"cipher-suites":            ciphers,
		"server-count":             fmt.Sprint(count),
	}, nil, nil)
}

// serverID must differ between controllers and stay the same on one.
func (c *Controller) serverID() string {
	raw, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(raw) == 0 {
		raw = []byte(c.NodeName)
	}
	sum := sha256.Sum256(append(raw, c.NodeName...))
	return hex.EncodeToString(sum[:])
}

func (c *Controller) startKonnectivity(count int) error {
	user := c.Config.Spec.InstallConfig.Users.KonnectivityUser
	return c.replace("konnectivity-server", user, c.konnectivityArgs(count))
}

// followServerCount restarts the server when the number of running controllers changes.
func (c *Controller) followServerCount(ctx context.Context) {
	c.serverCount.Store(1)
	for {
		n := 1
		if c.elects() {
			if fresh, err := c.freshControllers(ctx); err == nil {
				n = max(1, len(fresh))
			} else {
				n = int(c.serverCount.Load())
			}
		}
		if int(c.serverCount.Swap(int64(n))) != n {
			slog.Info("the number of controllers changed, restarting konnectivity", "count", n)
			if err := c.startKonnectivity(n); err != nil {
				slog.Error("cannot restart konnectivity", "err", err)
			}
			c.wake()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(constants.Tick):
		}
	}
}
