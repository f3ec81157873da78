// Package network stands in for kube-router on a node: it installs the CNI plugins, writes a bridge for the node's
// pods and a route for each other node's. It uses the standard library alone, because every worker imports its image.
package network

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Plugins in the image of the network agent.
const cniImageDir = "/opt/k0s-stand-in/cni"

// Where a pod finds its identity.
const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

type node struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		PodCIDR  string   `json:"podCIDR"`
		PodCIDRs []string `json:"podCIDRs"`
	} `json:"spec"`
	Status struct {
		Addresses []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
	} `json:"status"`
}

// Run the agent: `network-agent --node=<name> --server=<url> [--mtu=<n>]`.
func Run(args []string) int {
	flags := flag.NewFlagSet("network-agent", flag.ContinueOnError)
	name := flags.String("node", "", "name of this node")
	server := flags.String("server", "", "URL of the API")
	mtu := flags.Int("mtu", 0, "MTU of pods, 0: the bridge's")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := installPlugins(); err != nil {
		slog.Error("cannot install the CNI plugins", "err", err)
		return 1
	}
	known := map[string]string{}
	for ctx.Err() == nil {
		err := follow(ctx, *server, func(kind string, n *node) { arrange(known, kind, n, *name, *mtu) })
		if err != nil && ctx.Err() == nil {
			slog.Warn("cannot follow the nodes", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return 0
}

// follow tells of each node, then of each change, until the server ends the watch.
func follow(ctx context.Context, server string, tell func(string, *node)) error {
	ca, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return err
	}
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
	// Without a resourceVersion a watch begins with what there is.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/api/v1/nodes?watch=1&timeoutSeconds=600", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	stream := json.NewDecoder(resp.Body)
	for {
		var e struct {
			Type   string `json:"type"`
			Object node   `json:"object"`
		}
		if err := stream.Decode(&e); err != nil {
			return err
		}
		if e.Type == "ERROR" {
			return errors.New("the watch ended with an error")
		}
		tell(e.Type, &e.Object)
	}
}

func arrange(known map[string]string, kind string, n *node, me string, mtu int) {
	if n.Spec.PodCIDR == "" {
		return
	}
	now := kind + " " + n.Spec.PodCIDR + " " + address(n)
	if kind == "MODIFIED" {
		now = "ADDED" + strings.TrimPrefix(now, kind)
	}
	if known[n.Metadata.Name] == now {
		return
	}
	var err error
	switch {
	case kind == "DELETED":
		delete(known, n.Metadata.Name)
		_ = run("ip", "route", "del", n.Spec.PodCIDR)
		return
	case n.Metadata.Name == me:
		err = writeConflist(n.Spec.PodCIDRs, mtu)
	case address(n) == "":
		return
	default:
		err = run("ip", "route", "replace", n.Spec.PodCIDR, "via", address(n))
	}
	if err != nil {
		slog.Warn("cannot arrange the network", "node", n.Metadata.Name, "err", err)
		return
	}
	known[n.Metadata.Name] = now
}

func address(n *node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == "InternalIP" {
			return a.Address
		}
	}
	return ""
}

func writeConflist(cidrs []string, mtu int) error {
	var ranges []any
	for _, c := range cidrs {
		ranges = append(ranges, []any{map[string]any{"subnet": c}})
	}
	bridge := map[string]any{"type": "bridge", "bridge": "kube-bridge", "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true,
		"ipam": map[string]any{"type": "host-local", "ranges": ranges}}
	if mtu > 0 {
		bridge["mtu"] = mtu
	}
	b, err := json.MarshalIndent(map[string]any{"cniVersion": "0.3.1", "name": "mynet", "plugins": []any{bridge,
		map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true, "snat": true}}}}, "", "  ")
	if err != nil {
		return err
	}
	path := "/etc/cni/net.d/10-kuberouter.conflist"
	if old, err := os.ReadFile(path); err == nil && string(old) == string(b) {
		return nil
	}
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return err
	}
	slog.Info("wrote the network of this node", "podCIDRs", cidrs)
	return os.Rename(path+".new", path)
}

func installPlugins() error {
	files, err := filepath.Glob(cniImageDir + "/*")
	if err != nil {
		return err
	}
	var failed error
	for _, f := range files {
		to := filepath.Join("/opt/cni/bin", filepath.Base(f))
		b, err := os.ReadFile(f)
		if err == nil {
			if err = os.WriteFile(to+".new", b, 0o755); err == nil {
				err = os.Rename(to+".new", to)
			}
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
