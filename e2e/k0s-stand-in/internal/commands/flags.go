package commands

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k0smotron.io/e2e/k0s-stand-in/internal/config"
	"k0smotron.io/e2e/k0s-stand-in/internal/constants"
	"k0smotron.io/e2e/k0s-stand-in/internal/controlplane"
	"k0smotron.io/e2e/k0s-stand-in/internal/shellwords"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	"github.com/spf13/cobra"
)

// components that --disable-components takes.
func components(v version.Version) []string {
	out := []string{"applier-manager", "autopilot", "control-api", "coredns", "csr-approver", "endpoint-reconciler", "helm", "konnectivity-server",
		"kube-controller-manager", "kube-proxy", "kube-scheduler", "metrics-server", "network-provider", "node-role", "system-rbac", "windows-node", "worker-config"}
	if v.Has(version.UpdateProber) {
		out = append(out, "update-prober")
	}
	slices.Sort(out)
	return out
}

type workerFlags struct {
	tokenFile, profile, kubeletArgs, kubeletRoot, criSocket, iptablesMode string
	labels, taints                                                        []string
	logging                                                               map[string]string
	cloudProvider, ignorePreFlight                                        bool
}

func (w *workerFlags) add(c *cobra.Command, v version.Version) {
	f := c.Flags()
	f.StringVar(&w.tokenFile, "token-file", "", "Path to the file containing join-token.")
	f.StringVar(&w.profile, "profile", "default", "worker profile to use on the node")
	f.StringSliceVar(&w.labels, "labels", nil, "Node labels, list of key=value pairs")
	f.StringSliceVar(&w.taints, "taints", nil, "Node taints, list of key=value:effect strings")
	f.StringVar(&w.kubeletArgs, "kubelet-extra-args", "", "extra args for kubelet")
	if v.Has(version.KubeletRootDir) {
		f.StringVar(&w.kubeletRoot, "kubelet-root-dir", "", "Kubelet root directory for k0s")
	}
	f.StringVar(&w.criSocket, "cri-socket", "", "container runtime socket to use, default to internal containerd. Format: [remote|docker]:[path-to-socket]")
	f.BoolVar(&w.cloudProvider, "enable-cloud-provider", false, "Whether or not to enable cloud provider support in kubelet")
	f.BoolVar(&w.ignorePreFlight, "ignore-pre-flight-checks", false, "continue even if pre-flight checks fail")
	f.StringVar(&w.iptablesMode, "iptables-mode", "", "iptables mode (valid values: nft, legacy, auto). default: auto")
	f.StringToStringVarP(&w.logging, "logging", "l", nil, "Logging Levels for the different components")
}

func (w *workerFlags) check() error {
	for k := range w.logging {
		if _, known := controlplane.LogDefaults[k]; !known {
			return fmt.Errorf("unknown component in --logging: %q", k)
		}
	}
	if !slices.Contains([]string{"", "nft", "legacy", "auto"}, w.iptablesMode) {
		return fmt.Errorf("invalid value %q for --iptables-mode: expected nft, legacy or auto", w.iptablesMode)
	}
	if w.criSocket != "" && !strings.HasPrefix(w.criSocket, "remote:") && !strings.HasPrefix(w.criSocket, "docker:") {
		return fmt.Errorf("invalid value %q for --cri-socket: expected [remote|docker]:[path-to-socket]", w.criSocket)
	}
	for _, l := range w.labels {
		if !strings.Contains(l, "=") {
			return fmt.Errorf("invalid label %q in --labels: expected key=value", l)
		}
	}
	for _, t := range w.taints {
		_, effect, ok := strings.Cut(t, ":")
		if !ok || !slices.Contains([]string{"NoSchedule", "PreferNoSchedule", "NoExecute"}, effect) {
			return fmt.Errorf("invalid taint %q in --taints: expected key=value:effect", t)
		}
	}
	_, err := shellwords.Split(w.kubeletArgs)
	return err
}

// nodeName: --hostname-override, else the host name.
func (w *workerFlags) nodeName() string {
	words, _ := shellwords.Split(w.kubeletArgs)
	for i, a := range words {
		if v, ok := strings.CutPrefix(a, "--hostname-override="); ok {
			return strings.ToLower(v)
		}
		if a == "--hostname-override" && i+1 < len(words) {
			return strings.ToLower(words[i+1])
		}
	}
	return config.Hostname()
}

// extra kubelet arguments without the name, which we give ourselves.
func (w *workerFlags) kubeletWords() []string {
	words, _ := shellwords.Split(w.kubeletArgs)
	var out []string
	for i := 0; i < len(words); i++ {
		switch {
		case strings.HasPrefix(words[i], "--hostname-override="):
		case words[i] == "--hostname-override":
			i++
		default:
			out = append(out, words[i])
		}
	}
	return out
}

// token sources: exactly one of argument, file, K0S_TOKEN; two are an error.
func (w *workerFlags) token(args []string, v version.Version) (given bool, read func() (string, error), err error) {
	var sources []string
	env := ""
	if v.Has(version.TokenEnv) {
		env = os.Getenv("K0S_TOKEN")
	}
	if len(args) > 0 && args[0] != "" {
		sources = append(sources, "argument")
	}
	if w.tokenFile != "" {
		sources = append(sources, "--token-file")
	}
	if env != "" {
		sources = append(sources, "K0S_TOKEN")
	}
	if len(sources) > 1 {
		return false, nil, fmt.Errorf("you can only pass one token source, got %s", strings.Join(sources, ", "))
	}
	if len(sources) == 0 {
		return false, nil, nil
	}
	return true, func() (string, error) {
		switch {
		case w.tokenFile != "":
			b, err := os.ReadFile(w.tokenFile)
			if os.IsNotExist(err) {
				return "", fmt.Errorf("token file %q not found", w.tokenFile)
			}
			if err != nil {
				return "", fmt.Errorf("failed to read token file %q: %w", w.tokenFile, err)
			}
			if strings.TrimSpace(string(b)) == "" {
				return "", fmt.Errorf("token file %q is empty", w.tokenFile)
			}
			return strings.TrimSpace(string(b)), nil
		case env != "":
			return env, nil
		}
		return args[0], nil
	}, nil
}

type controllerFlags struct {
	workerFlags
	config, kcmArgs, featureGates, cloudUpdate, stopTimeout                             string
	cloudPort                                                                           int
	disable                                                                             []string
	enableWorker, noTaints, single, dynamic, metricsScraper, cloudProviderK0s, initOnly bool
}

func (k *controllerFlags) add(c *cobra.Command, v version.Version) {
	k.workerFlags.add(c, v)
	f := c.Flags()
	f.StringVarP(&k.config, "config", "c", constants.ConfigFile, "config file, use '-' to read the config from stdin")
	f.BoolVar(&k.enableWorker, "enable-worker", false, "enable worker (default false)")
	f.BoolVar(&k.noTaints, "no-taints", false, "disable default taints for controller node")
	f.BoolVar(&k.single, "single", false, "enable single node (implies --enable-worker, default false)")
	f.BoolVar(&k.dynamic, "enable-dynamic-config", false, "enable cluster-wide dynamic config based on custom resource")
	f.StringSliceVar(&k.disable, "disable-components", nil, "disable components (valid items: "+strings.Join(components(v), ",")+")")
	f.BoolVar(&k.metricsScraper, "enable-metrics-scraper", false, "enable scraping metrics from the controller components")
	f.BoolVar(&k.cloudProviderK0s, "enable-k0s-cloud-provider", false, "enables the k0s-cloud-provider (default false)")
	f.IntVar(&k.cloudPort, "k0s-cloud-provider-port", 10258, "the port that k0s-cloud-provider binds on")
	f.StringVar(&k.cloudUpdate, "k0s-cloud-provider-update-frequency", "2m0s", "the frequency of k0s-cloud-provider node updates")
	f.StringVar(&k.kcmArgs, "kube-controller-manager-extra-args", "", "extra args for kube-controller-manager")
	if v.Has(version.FeatureGatesFlag) {
		f.StringVar(&k.featureGates, "feature-gates", "", "feature gates to enable (comma separated list of key=value pairs)")
	}
	if v.Has(version.InitOnly) {
		f.BoolVar(&k.initOnly, "init-only", false, "only initialize controller and exit")
	}
	if v.Has(version.StopTimeout) {
		f.StringVar(&k.stopTimeout, "api-server-stop-timeout", "", "how long to wait for the API server to stop")
	}
}

func (k *controllerFlags) check(v version.Version) error {
	if err := k.workerFlags.check(); err != nil {
		return err
	}
	known := components(v)
	for _, d := range k.disable {
		if !slices.Contains(known, d) {
			return fmt.Errorf("unknown component %s", d)
		}
	}
	for _, g := range strings.Split(k.featureGates, ",") {
		if g == "" {
			continue
		}
		name, value, _ := strings.Cut(g, "=")
		if name != "IPv6SingleStack" || !slices.Contains([]string{"true", "false"}, value) {
			return fmt.Errorf("invalid feature gate %q", g)
		}
	}
	_, err := shellwords.Split(k.kcmArgs)
	return err
}

// effective configuration of the flags' file: as written, and with defaults, validated.
func (k *controllerFlags) load(c *cobra.Command, dataDir string, v version.Version) (file, effective *config.ClusterConfig, err error) {
	file, err = config.Load(k.config, !c.Flags().Changed("config"), v)
	if err != nil {
		return nil, nil, err
	}
	effective, err = file.Effective(dataDir, k.single, v)
	if err != nil {
		return nil, nil, err
	}
	if err := effective.Validate(k.single, v); err != nil {
		return nil, nil, fmt.Errorf("invalid node config: %w", err)
	}
	return file, effective, nil
}

func absolute(p string) string {
	a, err := filepath.Abs(p)
	if err != nil {
		return p
	}
	return a
}
