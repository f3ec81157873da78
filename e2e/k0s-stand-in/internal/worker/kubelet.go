package worker

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/pki"
	"k0smotron.io/e2e/k0s-stand-in/internal/supervise"

	"sigs.k8s.io/yaml"
)

func (w *worker) startKubelet(ctx context.Context, profile map[string]string, socket string) error {
	root := w.KubeletRoot
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	cfg := map[string]any{}
	if err := json.Unmarshal([]byte(profile["kubeletConfiguration"]), &cfg); err != nil {
		return err
	}
	cfg["authentication"] = map[string]any{"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": true, "cacheTTL": "0s"},
		"x509": map[string]any{"clientCAFile": filepath.Join(w.DataDir, "pki/ca.crt")}}
	cfg["authorization"] = map[string]any{"mode": "Webhook", "webhook": map[string]any{"cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s"}}
	cfg["containerRuntimeEndpoint"] = strings.TrimPrefix(socket, "remote:")
	if _, set := cfg["volumePluginDir"]; !set {
		cfg["volumePluginDir"] = "/usr/libexec/k0s/kubelet-plugins/volume/exec"
	}
	if _, set := cfg["resolvConf"]; !set && exists("/run/systemd/resolve/resolv.conf") {
		cfg["resolvConf"] = "/run/systemd/resolve/resolv.conf"
	}
	var taints []any
	for _, t := range w.Taints {
		kv, effect, _ := cutLast(t, ":")
		k, v, _ := strings.Cut(kv, "=")
		m := map[string]any{"key": k, "effect": effect}
		if v != "" {
			m["value"] = v
		}
		taints = append(taints, m)
	}
	if len(taints) > 0 {
		cfg["registerWithTaints"] = taints
	}
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	path := filepath.Join(w.DataDir, "kubelet-config.yaml")
	if err := pki.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	args := []string{"--root-dir=" + root, "--config=" + path, "--kubeconfig=" + w.kubeconfig(), "--bootstrap-kubeconfig=" + w.bootstrapPath(),
		"--cert-dir=" + filepath.Join(root, "pki"), "--hostname-override=" + w.NodeName, "--v=" + w.level("kubelet", "1")}
	if len(w.Labels) > 0 {
		args = append(args, "--node-labels="+strings.Join(w.Labels, ","))
	}
	if w.CloudProvider {
		args = append(args, "--cloud-provider=external")
	}
	c, err := w.child("kubelet", append(args, w.KubeletArgs...), "PATH="+w.Parts.SearchPath())
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	w.children = append(w.children, c)
	return supervise.Until(ctx, "kubelet", 200*time.Millisecond, func(ctx context.Context) error { return healthy(ctx, "http://127.0.0.1:10248/healthz") })
}

func cutLast(s, sep string) (string, string, bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
