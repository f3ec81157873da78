// Package worker is what `k0s worker` runs: containerd and kubelet, configured by the control plane.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/constants"
	"k0smotron.io/e2e/k0s-stand-in/internal/jointoken"
	"k0smotron.io/e2e/k0s-stand-in/internal/kube"
	"k0smotron.io/e2e/k0s-stand-in/internal/parts"
	"k0smotron.io/e2e/k0s-stand-in/internal/pki"
	"k0smotron.io/e2e/k0s-stand-in/internal/supervise"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Options are the flags of `k0s worker`, checked.
type Options struct {
	Version         version.Version
	DataDir, RunDir string
	KubeletRoot     string
	ReadToken       func() (string, error)
	TokenGiven      bool
	Bootstrap       []byte // a kubeconfig instead of a token: the embedded worker's
	Profile         string
	Labels, Taints  []string
	KubeletArgs     []string
	CRISocket       string
	CloudProvider   bool
	IgnorePreFlight bool
	LogLevels       map[string]string
	NodeName        string
	Parts           *parts.Found
	Ready           func(context.Context) error // serves the status socket
}

type worker struct {
	Options
	children []*supervise.Child
}

// Run a worker until the context ends.
func Run(ctx context.Context, o Options) error {
	w := &worker{Options: o}
	if err := preFlight(o); err != nil {
		return err
	}
	if err := w.bootstrapConfig(); err != nil {
		return err
	}
	defer w.stop()
	profile, err := w.loadProfile(ctx)
	if err != nil {
		return err
	}
	socket := w.CRISocket
	if socket == "" {
		socket = "unix://" + filepath.Join(w.RunDir, "containerd.sock")
		if err := w.startContainerd(ctx, profile); err != nil {
			return err
		}
	}
	w.importImages(ctx, socket)
	go w.watchImages(ctx, socket)
	if err := w.startKubelet(ctx, profile, socket); err != nil {
		return err
	}
	if w.Ready != nil {
		if err := w.Ready(ctx); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func (w *worker) stop() {
	for i := len(w.children) - 1; i >= 0; i-- {
		w.children[i].Stop()
	}
}

func (w *worker) kubeconfig() string { return filepath.Join(w.DataDir, "kubelet.conf") }
func (w *worker) bootstrapPath() string {
	return filepath.Join(w.DataDir, "kubelet-bootstrap.conf")
}

// bootstrapConfig: a kubelet that has its kubeconfig needs no token, and none is read.
func (w *worker) bootstrapConfig() error {
	if exists(w.kubeconfig()) {
		return nil
	}
	switch {
	case w.Bootstrap != nil:
		return pki.WriteFile(w.bootstrapPath(), w.Bootstrap, 0o600)
	case exists(w.bootstrapPath()):
		return nil
	case !w.TokenGiven:
		return errors.New("normal kubelet kubeconfig does not exist and no join-token given. dunno how to make kubelet auth to api")
	}
	text, err := w.ReadToken()
	if err != nil {
		return err
	}
	t, err := jointoken.Decode(text)
	if err != nil {
		return fmt.Errorf("failed to decode join token: %w", err)
	}
	if err := t.Expect(jointoken.WorkerUser); err != nil {
		return err
	}
	return pki.WriteFile(w.bootstrapPath(), t.Kubeconfig, 0o600)
}

// authConfig is what speaks to the API: the kubelet's own credentials once it has them.
func (w *worker) authConfig() string {
	if exists(w.kubeconfig()) {
		return w.kubeconfig()
	}
	return w.bootstrapPath()
}

// loadProfile reads the ConfigMap of our profile and minor; for about four minutes, then k0s ends.
func (w *worker) loadProfile(ctx context.Context) (map[string]string, error) {
	name := fmt.Sprintf("worker-config-%s-%s", w.Profile, w.Version.MinorName())
	deadline := time.Now().Add(constants.WorkerConfigTry)
	for pause := 500 * time.Millisecond; ; pause = min(pause*2, 10*time.Second) {
		data, err := w.readProfile(ctx, name)
		if err == nil {
			return data, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("failed to load worker profile %q: %w", w.Profile, err)
		}
		slog.Warn("cannot load the worker profile yet", "configmap", name, "err", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (w *worker) readProfile(ctx context.Context, name string) (map[string]string, error) {
	cluster, err := kube.FromFile(w.authConfig())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	m, err := cluster.Typed.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	// The authority that kubelet trusts for those who call it.
	if err := os.MkdirAll(filepath.Join(w.DataDir, "pki"), 0o751); err != nil {
		return nil, err
	}
	ca := cluster.Config.CAData
	if len(ca) == 0 {
		if ca, err = os.ReadFile(cluster.Config.CAFile); err != nil {
			return nil, err
		}
	}
	if !exists(filepath.Join(w.DataDir, "pki/ca.key")) {
		err = pki.WriteFile(filepath.Join(w.DataDir, "pki/ca.crt"), ca, 0o644)
	}
	return m.Data, err
}

func (w *worker) child(name string, args []string, env ...string) (*supervise.Child, error) {
	bin, err := w.Parts.Path(name)
	if err != nil {
		return nil, err
	}
	c := &supervise.Child{Name: name, Bin: bin, Args: args, Env: env, RunDir: w.RunDir, DataDir: w.DataDir}
	return c, nil
}

func healthy(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Timeout: 2 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (w *worker) level(component, fallback string) string {
	if l, ok := w.LogLevels[component]; ok {
		return l
	}
	return fallback
}
