// Package controlplane is what `k0s controller` runs.
package controlplane

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"k0smotron.io/e2e/k0s-stand-in/internal/config"
	"k0smotron.io/e2e/k0s-stand-in/internal/kube"
	"k0smotron.io/e2e/k0s-stand-in/internal/parts"
	"k0smotron.io/e2e/k0s-stand-in/internal/supervise"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

// Options are the flags of `k0s controller`, checked.
type Options struct {
	Version       version.Version
	DataDir       string
	RunDir        string
	StatusSocket  string
	File          *config.ClusterConfig // as written
	Config        *config.ClusterConfig // effective
	ReadToken     func() (string, error)
	TokenGiven    bool
	Single        bool
	EnableWorker  bool
	NoTaints      bool
	Dynamic       bool
	Disabled      []string
	ExtraKCMArgs  string
	LogLevels     map[string]string
	NodeName      string
	MetricsScrape bool
	CloudProvider bool
	InitOnly      bool
	Parts         *parts.Found
	Argv          []string
}

// Controller is the running process.
type Controller struct {
	Options
	Invocation         string
	mu                 sync.Mutex
	children           []*supervise.Child
	cluster            *kube.Cluster
	leader             *leader
	leases             *leases
	workerConfigLeader *leader
	current            *current
	serverCount        atomic.Int64
	waker              chan struct{}
	applied            map[string]string
	appliedProfiles    map[string]string
	profilesMu         sync.Mutex
	idle               chan struct{} // closed: we were asked to stop, the process only waits
}

func newController(o Options) *Controller {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return &Controller{Options: o, Invocation: hex.EncodeToString(b), current: newCurrent(o.Config), idle: make(chan struct{}), waker: make(chan struct{}, 1), applied: map[string]string{}, appliedProfiles: map[string]string{}}
}

func (c *Controller) disabled(component string) bool { return slices.Contains(c.Disabled, component) }

func (c *Controller) pki(name string) string { return filepath.Join(c.DataDir, "pki", name) }

// Leases and leader election exist only where a second controller could.
func (c *Controller) elects() bool { return !c.Single && c.Config.Joinable() }

// Konnectivity runs unless disabled or single.
func (c *Controller) konnectivity() bool { return !c.Single && !c.disabled("konnectivity-server") }

func (c *Controller) child(name, user string, args []string) (*supervise.Child, error) {
	bin, err := c.Parts.Path(name)
	if err != nil {
		return nil, err
	}
	if _, _, ok := supervise.Lookup(user); !ok && os.Getuid() == 0 {
		slog.Warn("the user does not exist, running as root", "component", name, "user", user)
	}
	return &supervise.Child{Name: name, Bin: bin, Args: args, User: user, RunDir: c.RunDir, DataDir: c.DataDir}, nil
}

func (c *Controller) level(component string) string {
	if l, ok := c.LogLevels[component]; ok {
		return l
	}
	return LogDefaults[component]
}

// LogDefaults of --logging.
var LogDefaults = map[string]string{"containerd": "info", "etcd": "info", "konnectivity-server": "1", "kube-apiserver": "1",
	"kube-controller-manager": "1", "kube-scheduler": "1", "kubelet": "1"}

// merge turns arguments into flags: a user's extraArgs win over ours, rawArgs come last.
func merge(ours, extra map[string]string, raw []string) []string {
	all := map[string]string{}
	for k, v := range ours {
		all[k] = v
	}
	for k, v := range extra {
		if _, had := ours[k]; had {
			slog.Warn("overriding an argument", "name", k, "value", v)
		}
		all[k] = v
	}
	out := make([]string, 0, len(all)+len(raw))
	for k, v := range all {
		out = append(out, "--"+k+"="+v)
	}
	slices.Sort(out)
	return append(out, raw...)
}

// featureGates of one component as `A=true,B=false`.
func (c *Controller) featureGates(component string) string {
	var out []string
	for _, g := range c.Config.Spec.FeatureGates {
		if len(g.Components) > 0 && !slices.Contains(g.Components, component) {
			continue
		}
		on := "true"
		if g.Enabled != nil && !*g.Enabled {
			on = "false"
		}
		out = append(out, g.Name+"="+on)
	}
	return strings.Join(out, ",")
}

// wake makes the leader look again at what it applies.
func (c *Controller) wake() {
	select {
	case c.waker <- struct{}{}:
	default:
	}
}
