package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"

	"k0smotron.io/e2e/k0s-stand-in/internal/config"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func (c *Controller) workerConfigName(profile string) string {
	return "worker-config-" + profile + "-" + c.Version.MinorName()
}

func profileNames(cfg *config.ClusterConfig) []string {
	out := []string{"default", "default-windows"}
	for _, p := range cfg.Spec.WorkerProfiles {
		if p.Name != "default" && p.Name != "default-windows" {
			out = append(out, p.Name)
		}
	}
	return out
}

// applyWorkerConfigs writes the objects that workers of our own minor read.
func (c *Controller) applyWorkerConfigs(ctx context.Context) {
	if !c.workerConfigLeader.is() {
		return
	}
	cfg := c.current.get()
	addresses := c.apiAddresses(ctx)
	for _, profile := range profileNames(cfg) {
		data, err := c.workerConfig(cfg, profile, addresses)
		if err != nil {
			slog.Error("cannot make a worker profile", "profile", profile, "err", err)
			continue
		}
		text, _ := json.Marshal(data)
		if c.appliedProfiles[profile] == string(text) {
			continue
		}
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": c.workerConfigName(profile), "namespace": "kube-system", "labels": map[string]any{
				"app.kubernetes.io/managed-by": "k0s", "app.kubernetes.io/component": "worker-config", "k0s.k0sproject.io/worker-profile": profile,
				"app.kubernetes.io/version": fmt.Sprintf("v%s-k0s.%d", c.Version.Numbers(), c.Version.Build)}},
			"data": data}}
		if err := c.cluster.Apply(ctx, o); err != nil {
			if ctx.Err() == nil {
				slog.Warn("cannot write worker configuration", "err", err)
			}
			return
		}
		c.appliedProfiles[profile] = string(text)
	}
}

func (c *Controller) workerConfig(cfg *config.ClusterConfig, profile string, addresses []string) (map[string]any, error) {
	n := cfg.Spec.Network
	kubelet := map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"clusterDNS": []any{cfg.DNSAddress()}, "clusterDomain": n.ClusterDomain,
		"eventRecordQPS": 0, "failSwapOn": false, "rotateCertificates": true, "serverTLSBootstrap": true,
		"tlsMinVersion": "VersionTLS12",
	}
	gates := map[string]bool{}
	for _, g := range cfg.Spec.FeatureGates {
		if len(g.Components) == 0 || contains(g.Components, "kubelet") {
			gates[g.Name] = g.Enabled == nil || *g.Enabled
		}
	}
	if len(gates) > 0 {
		kubelet["featureGates"] = gates
	}
	for _, p := range cfg.Spec.WorkerProfiles {
		if p.Name == profile {
			maps.Copy(kubelet, p.Values)
		}
	}
	out := map[string]any{}
	for key, v := range map[string]any{
		"apiServerAddresses":     addresses,
		"kubeletConfiguration":   kubelet,
		"nodeLocalLoadBalancing": n.NodeLocalLoadBalancing,
		"konnectivity":           map[string]any{"enabled": c.konnectivity(), "agentPort": cfg.Spec.Konnectivity.AgentPort},
		"pauseImage":             map[string]any{"image": cfg.Spec.Images.Pause.Image, "version": cfg.Spec.Images.Pause.Version},
		"dualStackEnabled":       n.DualStack.Enabled,
		"autopilotDisabled":      c.disabled("autopilot"),
	} {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		out[key] = string(b)
	}
	if c.Version.Has(version.PrimaryAddressFamily) {
		out["primaryAddressFamily"] = `"` + orText(n.PrimaryAddressFamily, "IPv4") + `"`
	}
	return out, nil
}

// apiAddresses are those of the kubernetes Service, else our own.
func (c *Controller) apiAddresses(ctx context.Context) []string {
	var out []string
	if e, err := c.cluster.Dynamic.Resource(corev1.SchemeGroupVersion.WithResource("endpoints")).Namespace("default").Get(ctx, "kubernetes", getOptions); err == nil {
		subsets, _, _ := unstructured.NestedSlice(e.Object, "subsets")
		for _, s := range subsets {
			m, _ := s.(map[string]any)
			as, _, _ := unstructured.NestedSlice(m, "addresses")
			for _, a := range as {
				if ip, _, _ := unstructured.NestedString(a.(map[string]any), "ip"); ip != "" {
					out = append(out, net.JoinHostPort(ip, fmt.Sprint(c.Config.Spec.API.Port)))
				}
			}
		}
	}
	if len(out) == 0 {
		out = []string{net.JoinHostPort(c.Config.Spec.API.Address, fmt.Sprint(c.Config.Spec.API.Port))}
	}
	return out
}

func contains(all []string, one string) bool {
	for _, a := range all {
		if a == one {
			return true
		}
	}
	return false
}

func orText(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
