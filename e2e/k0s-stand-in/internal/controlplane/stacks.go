package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"text/template"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/config"
	"k0smotron.io/e2e/k0s-stand-in/internal/constants"
	"k0smotron.io/e2e/k0s-stand-in/internal/kube"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

//go:embed manifests/*.yaml
var manifests embed.FS

// every runs a step at once, when woken, and each tick.
func every(ctx context.Context, tick time.Duration, wake <-chan struct{}, step func()) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		step()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-wake:
		}
	}
}

func (c *Controller) startClusterComponents(ctx context.Context) {
	go every(ctx, constants.Tick, c.waker, func() { c.applySystemStacks(ctx) })
	go every(ctx, constants.Tick, nil, func() { c.applyWorkerConfigsSoon(ctx) })
	if c.Dynamic {
		go c.followClusterConfig(ctx)
	}
	if c.konnectivity() {
		go c.followServerCount(ctx)
	}
	if !c.disabled("csr-approver") {
		go every(ctx, constants.Tick, nil, func() { c.approveOneCSR(ctx) })
	}
	if c.reconcilesEndpoints() {
		go every(ctx, constants.Tick, nil, func() { c.reconcileEndpoints(ctx) })
	}
	if !c.disabled("node-role") {
		go every(ctx, time.Minute, nil, func() { c.labelRoles(ctx) })
	}
	if !c.disabled("applier-manager") {
		go c.followManifests(ctx)
	}
	if !c.disabled("autopilot") {
		go c.keepControlNode(ctx)
	}
	if c.Config.EmbeddedEtcd() && !c.Single {
		go c.keepEtcdMember(ctx)
		go c.leadEtcdMembers(ctx)
	}
}

type stackData struct {
	WorkerConfigs                         []string
	ClusterDomain, ClusterDNS, PullPolicy string
	DNSReplicas, ServerCount, AgentPort   int
	PodCIDRs, ProxyMode, ProxyMetrics     string
	ProxyFeatureGates, ProxyChecksum      string
	APIURL, AgentHost                     string
	MTU                                   int
	Images                                struct{ CoreDNS, KubeProxy, KubeRouter, Konnectivity string }
}

func (c *Controller) stackData(ctx context.Context) stackData {
	cfg := c.current.get()
	s := cfg.Spec
	d := stackData{ClusterDomain: s.Network.ClusterDomain, ClusterDNS: cfg.DNSAddress(), PullPolicy: s.Images.DefaultPullPolicy,
		DNSReplicas: 1, ServerCount: max(1, int(c.serverCount.Load())), AgentPort: s.Konnectivity.AgentPort,
		PodCIDRs: cfg.PodCIDRs(), ProxyMode: s.Network.KubeProxy.Mode, ProxyMetrics: s.Network.KubeProxy.MetricsBindAddress,
		APIURL: cfg.APIURL(), AgentHost: agentHost(cfg)}
	if h, p, err := net.SplitHostPort(s.Konnectivity.ExternalAddress); err == nil {
		d.AgentHost = h
		_, _ = fmt.Sscan(p, &d.AgentPort)
	}
	if s.Network.KubeRouter != nil {
		d.MTU = s.Network.KubeRouter.MTU
	}
	d.Images.CoreDNS, d.Images.KubeProxy = s.Images.CoreDNS.URI(), s.Images.KubeProxy.URI()
	d.Images.KubeRouter, d.Images.Konnectivity = s.Images.KubeRouter["cni"].URI(), s.Images.Konnectivity.URI()
	gates := map[string]bool{}
	for _, g := range strings.Split(c.featureGates("kube-proxy"), ",") {
		if name, on, ok := strings.Cut(g, "="); ok {
			gates[name] = on == "true"
		}
	}
	b, _ := json.Marshal(gates)
	d.ProxyFeatureGates = string(b)
	sum := sha256.Sum256([]byte(d.ProxyMode + d.PodCIDRs + d.APIURL + d.ProxyFeatureGates + d.ProxyMetrics))
	d.ProxyChecksum = hex.EncodeToString(sum[:8])
	for _, p := range profileNames(cfg) {
		d.WorkerConfigs = append(d.WorkerConfigs, c.workerConfigName(p))
	}
	// Older minors' objects stay readable: nodes of theirs still use them.
	if l, err := c.cluster.Typed.CoreV1().ConfigMaps(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "k0s.k0sproject.io/worker-profile"}); err == nil {
		for _, m := range l.Items {
			if !strings.HasSuffix(m.Name, "-"+c.Version.MinorName()) {
				d.WorkerConfigs = append(d.WorkerConfigs, m.Name)
			}
		}
	}
	if l, err := c.cluster.Typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"}); err == nil && len(l.Items) > 1 {
		d.DNSReplicas = 2
	}
	return d
}

// agentHost is where konnectivity agents dial.
func agentHost(cfg *config.ClusterConfig) string {
	s := cfg.Spec
	if a := s.Konnectivity.ExternalAddress; a != "" {
		return a
	}
	if h := cfg.ExternalHost(); h != "" {
		return h
	}
	return s.API.Address
}

// applySystemStacks applies what changed since we did last; only the leader does.
func (c *Controller) applySystemStacks(ctx context.Context) {
	if !c.leader.is() {
		return
	}
	cfg := c.current.get()
	d := c.stackData(ctx)
	stacks := []struct {
		name, file string
		on         bool
	}{
		{"api-config", "crds", true},
		{"bootstraprbac", "rbac", !c.disabled("system-rbac")},
		{"kuberouter", "kuberouter", !c.disabled("network-provider") && cfg.Spec.Network.Provider == "kuberouter"},
		{"kubeproxy", "kubeproxy", !c.disabled("kube-proxy") && !cfg.Spec.Network.KubeProxy.Disabled},
		{"konnectivity", "konnectivity", c.konnectivity()},
		{"coredns", "coredns", !c.disabled("coredns")},
	}
	for _, s := range stacks {
		var text bytes.Buffer
		if s.on {
			raw, err := manifests.ReadFile("manifests/" + s.file + ".yaml")
			if err == nil {
				err = template.Must(template.New(s.file).Parse(string(raw))).Execute(&text, d)
			}
			if err != nil {
				slog.Error("cannot render a stack", "stack", s.name, "err", err)
				continue
			}
		}
		if c.applied[s.name] == text.String() {
			continue
		}
		objects, err := kube.Parse(text.Bytes())
		if err == nil {
			err = c.cluster.ApplyStack(ctx, s.name, objects)
		}
		if err == nil && c.applied[s.name] != "" && !s.on {
			err = c.cluster.Prune(ctx, s.name, nil)
		}
		if err != nil {
			if ctx.Err() == nil {
				slog.Warn("cannot apply a stack yet", "stack", s.name, "err", err)
				time.AfterFunc(time.Second, c.wake)
			}
			continue
		}
		slog.Info("applied a stack", "stack", s.name)
		c.applied[s.name] = text.String()
	}
}
