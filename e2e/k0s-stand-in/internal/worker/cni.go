package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/kube"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// Plugins in the image of the network agent.
const cniImageDir = "/opt/k0s-stand-in/cni"

// Network is the agent that stands in for kube-router: a bridge per node, a route per other node.
func Network(ctx context.Context, node, server string, mtu int) error {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	if server != "" {
		cfg.Host = server
	}
	cluster, err := kube.From(cfg)
	if err != nil {
		return err
	}
	if err := installPlugins(); err != nil {
		return err
	}
	nodes := cluster.Typed.CoreV1().Nodes()
	for ctx.Err() == nil {
		l, err := nodes.List(ctx, metav1.ListOptions{})
		if err != nil {
			slog.Warn("cannot list nodes", "err", err)
			pause(ctx, time.Second)
			continue
		}
		arrange(l.Items, node, mtu)
		w, err := nodes.Watch(ctx, metav1.ListOptions{ResourceVersion: l.ResourceVersion})
		if err != nil {
			pause(ctx, time.Second)
			continue
		}
		known := map[string]corev1.Node{}
		for _, n := range l.Items {
			known[n.Name] = n
		}
		for e := range w.ResultChan() {
			n, ok := e.Object.(*corev1.Node)
			if !ok {
				break
			}
			old := known[n.Name]
			if e.Type == "DELETED" {
				dropRoute(n)
				delete(known, n.Name)
				continue
			}
			known[n.Name] = *n
			if old.Spec.PodCIDR != n.Spec.PodCIDR || address(&old) != address(n) {
				arrange([]corev1.Node{*n}, node, mtu)
			}
		}
		w.Stop()
	}
	return nil
}

func arrange(nodes []corev1.Node, me string, mtu int) {
	for i := range nodes {
		n := &nodes[i]
		if n.Spec.PodCIDR == "" {
			continue
		}
		var err error
		if n.Name == me {
			err = writeConflist(n.Spec.PodCIDRs, mtu)
		} else if a := address(n); a != "" {
			err = run("ip", "route", "replace", n.Spec.PodCIDR, "via", a)
		}
		if err != nil {
			slog.Warn("cannot arrange the network", "node", n.Name, "err", err)
		}
	}
}

func dropRoute(n *corev1.Node) {
	if n.Spec.PodCIDR != "" {
		_ = run("ip", "route", "del", n.Spec.PodCIDR)
	}
}

func address(n *corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
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

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
