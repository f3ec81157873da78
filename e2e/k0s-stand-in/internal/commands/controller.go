package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/controlplane"
	"k0smotron.io/e2e/k0s-stand-in/internal/jointoken"
	"k0smotron.io/e2e/k0s-stand-in/internal/kube"
	"k0smotron.io/e2e/k0s-stand-in/internal/parts"
	"k0smotron.io/e2e/k0s-stand-in/internal/pki"
	"k0smotron.io/e2e/k0s-stand-in/internal/status"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"
	"k0smotron.io/e2e/k0s-stand-in/internal/worker"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func controllerCommand(g *global, v version.Version) *cobra.Command {
	f := &controllerFlags{}
	cmd := &cobra.Command{Use: "controller [join-token]", Short: "Run controller", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runController(c, g, f, v, args) }}
	g.add(cmd)
	f.add(cmd, v)
	return cmd
}

func runController(c *cobra.Command, g *global, f *controllerFlags, v version.Version, args []string) error {
	if err := f.check(v); err != nil {
		return err
	}
	given, read, err := f.token(args, v)
	if err != nil {
		return err
	}
	if f.single && given {
		return errors.New("--single cannot be used together with a join token")
	}
	syscall.Umask(0o022)
	for _, d := range []string{g.data(), g.runDir(), filepath.Join(g.data(), "bin")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	unlock, err := lock(g.runDir())
	if err != nil {
		return err
	}
	defer unlock()
	file, effective, err := f.load(c, g.data(), v)
	if err != nil {
		return err
	}
	if err := writeRuntimeConfig(g, effective.Tree()); err != nil {
		return err
	}
	found, err := parts.Open(g.data())
	if err != nil {
		return err
	}
	storage := "etcd"
	if effective.Spec.Storage.Type == "kine" {
		storage = "kine"
	}
	needed := []string{storage, "kube-apiserver", "konnectivity-server", "kube-controller-manager", "kube-scheduler", "kubectl"}
	if !effective.EmbeddedEtcd() && storage == "etcd" {
		needed = needed[1:]
	}
	if f.enableWorker || f.single {
		needed = append(needed, "containerd", "containerd-shim-runc-v2", "runc", "ctr", "kubelet")
	}
	if err := found.Check("kube-apiserver", "kube-controller-manager"); err != nil { // before anybody is told that we join
		return err
	}
	found.Fetch(needed...)
	o := controlplane.Options{Version: v, DataDir: g.data(), RunDir: g.runDir(), StatusSocket: g.socket(), File: file, Config: effective,
		ReadToken: read, TokenGiven: given, Single: f.single, EnableWorker: f.enableWorker || f.single, NoTaints: f.noTaints, Dynamic: f.dynamic,
		Disabled: f.disable, ExtraKCMArgs: f.kcmArgs, LogLevels: f.logging, NodeName: f.nodeName(), CloudProvider: f.cloudProviderK0s,
		InitOnly: f.initOnly, Parts: found, Argv: os.Args}
	var ready func(context.Context, *kube.Cluster) error
	if o.EnableWorker {
		ready = func(ctx context.Context, cluster *kube.Cluster) error { return embeddedWorker(ctx, g, f, o, cluster) }
	}
	return controlplane.Run(c.Context(), o, ready)
}

// embeddedWorker bootstraps with a token of its own, like any other.
func embeddedWorker(ctx context.Context, g *global, f *controllerFlags, o controlplane.Options, cluster *kube.Cluster) error {
	w := workerOptions(g, &f.workerFlags, o.Version, o.Parts)
	if !o.NoTaints && !o.Single {
		w.Taints = append(w.Taints, "node-role.kubernetes.io/control-plane:NoSchedule")
	}
	w.Labels = append(w.Labels, "node.k0sproject.io/role=control-plane")
	if _, err := os.Stat(filepath.Join(g.data(), "kubelet.conf")); err != nil {
		id, secret := jointoken.Random(6), jointoken.Random(16)
		s := jointoken.Secret("worker", id, secret, time.Now().Add(10*time.Minute))
		if _, err := cluster.Typed.CoreV1().Secrets(metav1.NamespaceSystem).Create(ctx, s, metav1.CreateOptions{}); err != nil {
			return err
		}
		ca, err := os.ReadFile(filepath.Join(g.data(), "pki/ca.crt"))
		if err != nil {
			return err
		}
		w.Bootstrap = jointoken.Kubeconfig(fmt.Sprintf("https://localhost:%d", o.Config.Spec.API.Port), ca, jointoken.WorkerUser, id, secret)
	}
	return worker.Run(ctx, w)
}

func workerCommand(g *global, v version.Version) *cobra.Command {
	f := &workerFlags{}
	cmd := &cobra.Command{Use: "worker [join-token]", Short: "Run worker", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			given, read, err := f.token(args, v)
			if err != nil {
				return err
			}
			if err := needRoot(); err != nil {
				return err
			}
			for _, d := range []string{g.data(), g.runDir(), filepath.Join(g.data(), "bin")} {
				if err := os.MkdirAll(d, 0o755); err != nil {
					return err
				}
			}
			unlock, err := lock(g.runDir())
			if err != nil {
				return err
			}
			defer unlock()
			found, err := parts.Open(g.data())
			if err != nil {
				return err
			}
			found.Fetch("containerd", "containerd-shim-runc-v2", "runc", "ctr", "kubelet")
			o := workerOptions(g, f, v, found)
			o.TokenGiven, o.ReadToken = given, read
			o.Ready = func(ctx context.Context) error {
				return status.Serve(ctx, g.socket(), func() status.Status { return workerStatus(g, v) })
			}
			return worker.Run(c.Context(), o)
		}}
	g.add(cmd)
	f.add(cmd, v)
	return cmd
}

func workerOptions(g *global, f *workerFlags, v version.Version, found *parts.Found) worker.Options {
	root := f.kubeletRoot
	if root == "" {
		root = filepath.Join(g.data(), "kubelet")
	}
	return worker.Options{Version: v, DataDir: g.data(), RunDir: g.runDir(), KubeletRoot: absolute(root), Profile: f.profile, Labels: f.labels, Taints: f.taints,
		KubeletArgs: f.kubeletWords(), CRISocket: strings.TrimPrefix(f.criSocket, "remote:"), CloudProvider: f.cloudProvider,
		IgnorePreFlight: f.ignorePreFlight, LogLevels: f.logging, NodeName: f.nodeName(), Parts: found}
}

func workerStatus(g *global, v version.Version) status.Status {
	s := status.Status{Version: v.String(), Pid: os.Getpid(), PPid: os.Getppid(), Role: "worker", SysInit: status.ServiceManager(),
		StubFile: status.StubFile("k0sworker"), Workloads: true, Args: os.Args,
		K0sVars: map[string]any{"DataDir": g.data(), "RunDir": g.runDir(), "StatusSocketPath": g.socket()}}
	cluster, err := kube.FromFile(filepath.Join(g.data(), "kubelet.conf"))
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err = cluster.Typed.Discovery().RESTClient().Get().AbsPath("/version").DoRaw(ctx)
	}
	if err != nil {
		s.WorkerToAPIConnectionStatus.Message = err.Error()
	} else {
		s.WorkerToAPIConnectionStatus.Success = true
	}
	return s
}

// lock makes sure of one k0s per run directory.
func lock(runDir string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(runDir, "k0s.yaml.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errors.New("failed to initialize runtime config: k0s is already running")
	}
	return func() {
		_ = os.Remove(filepath.Join(runDir, "k0s.yaml"))
		f.Close()
	}, nil
}

func writeRuntimeConfig(g *global, tree map[string]any) error {
	b, err := yaml.Marshal(map[string]any{"apiVersion": "k0s.k0sproject.io/v1beta1", "kind": "RuntimeConfig", "spec": map[string]any{
		"nodeConfig": tree, "pid": os.Getpid(), "k0sVars": map[string]any{"DataDir": g.data(), "StatusSocketPath": g.socket()}}})
	if err != nil {
		return err
	}
	return pki.WriteFile(filepath.Join(g.runDir(), "k0s.yaml"), b, 0o600)
}
