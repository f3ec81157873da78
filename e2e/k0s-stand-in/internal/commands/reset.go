package commands

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/hostservice"
	"k0smotron.io/e2e/k0s-stand-in/internal/parts"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	"github.com/spf13/cobra"
)

func resetCommand(g *global, v version.Version) *cobra.Command {
	var kubeletRoot, criSocket, configFile string
	cmd := &cobra.Command{Use: "reset", Short: "Uninstall k0s. Must be run as root (or with sudo)", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		if err := needRoot(); err != nil {
			return err
		}
		if _, err := statusGet(g); err == nil || locked(g.runDir()) {
			return errors.New("k0s seems to be running! please stop k0s before reset")
		}
		if kubeletRoot == "" {
			kubeletRoot = filepath.Join(g.data(), "kubelet")
		}
		return reset(g, kubeletRoot, strings.TrimPrefix(criSocket, "remote:"))
	}}
	g.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&configFile, "config", "c", "", "config file")
	f.StringVar(&criSocket, "cri-socket", "", "container runtime socket to use, default to internal containerd")
	if v.Has(version.KubeletRootDir) {
		f.StringVar(&kubeletRoot, "kubelet-root-dir", "", "Kubelet root directory for k0s")
	}
	return cmd
}

func locked(runDir string) bool {
	f, err := os.OpenFile(filepath.Join(runDir, "k0s.yaml.lock"), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

// reset leaves the binary, /etc/k0s and the etcd membership.
func reset(g *global, kubeletRoot, criSocket string) error {
	var failed error
	removeContainers(g, criSocket)
	killLeftovers(g.runDir())
	for _, n := range []string{"k0scontroller", "k0sworker"} {
		s := hostservice.Service{Name: n}
		if err := s.Uninstall(); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	for _, dir := range []string{kubeletRoot, g.data(), g.runDir()} {
		unmountUnder(dir)
		failed = errors.Join(failed, empty(dir))
	}
	for _, p := range []string{"/etc/cni/net.d/10-kuberouter.conflist", "/var/lib/cni/networks/mynet"} {
		failed = errors.Join(failed, os.RemoveAll(p))
	}
	for _, link := range []string{"kube-bridge"} {
		_ = exec.Command("ip", "link", "del", link).Run()
	}
	fmt.Fprintln(os.Stderr, "k0s cleanup operations done. To ensure a full reset, a node reboot is recommended.")
	return failed
}

// empty removes a tree, or its content when it is a mount point itself.
func empty(dir string) error {
	if err := os.RemoveAll(dir); err == nil || !errors.Is(err, syscall.EBUSY) {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func unmountUnder(dir string) {
	raw, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	var points []string
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			points = append(points, strings.ReplaceAll(f[1], `\040`, " "))
		}
	}
	slices.Reverse(points)
	for _, p := range points {
		if err := syscall.Unmount(p, syscall.MNT_DETACH); err != nil {
			slog.Warn("cannot unmount", "path", p, "err", err)
		}
	}
}

// removeContainers of the runtime: its shims live on when containerd has stopped.
func removeContainers(g *global, criSocket string) {
	if criSocket != "" {
		found, err := parts.Open(g.data())
		if err != nil {
			return
		}
		if ctr, err := found.Path("ctr"); err == nil {
			address := strings.TrimPrefix(criSocket, "unix://")
			script := fmt.Sprintf(`for t in $(%[1]s -a %[2]s -n k8s.io tasks ls -q); do %[1]s -a %[2]s -n k8s.io tasks rm -f $t; done
for c in $(%[1]s -a %[2]s -n k8s.io containers ls -q); do %[1]s -a %[2]s -n k8s.io containers rm $c; done`, ctr, address)
			_ = exec.Command("sh", "-c", script).Run()
		}
		return
	}
	socket := filepath.Join(g.runDir(), "containerd.sock")
	killMatching(func(cmdline string) bool {
		return strings.Contains(cmdline, "containerd-shim") && strings.Contains(cmdline, socket)
	}, true)
	unmountUnder("/run/netns")
}

// killLeftovers of a k0s that was killed.
func killLeftovers(runDir string) {
	pids, _ := filepath.Glob(filepath.Join(runDir, "*.pid"))
	for _, f := range pids {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var pid int
		if _, err := fmt.Sscan(string(b), &pid); err != nil || pid < 2 {
			continue
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !strings.Contains(string(env), "_K0S_MANAGED=yes") {
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGTERM)
		for range 100 {
			if syscall.Kill(pid, 0) != nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// killMatching processes, with their descendants if asked.
func killMatching(match func(string) bool, tree bool) {
	procs, _ := filepath.Glob("/proc/[0-9]*")
	children := map[int][]int{}
	var roots []int
	for _, p := range procs {
		var pid, ppid int
		if _, err := fmt.Sscan(filepath.Base(p), &pid); err != nil || pid == os.Getpid() {
			continue
		}
		stat, err := os.ReadFile(p + "/stat")
		if err != nil {
			continue
		}
		rest := string(stat)[strings.LastIndex(string(stat), ")")+1:]
		var state string
		_, _ = fmt.Sscan(rest, &state, &ppid)
		children[ppid] = append(children[ppid], pid)
		if cmd, err := os.ReadFile(p + "/cmdline"); err == nil && match(strings.ReplaceAll(string(cmd), "\x00", " ")) {
			roots = append(roots, pid)
		}
	}
	var kill func(int)
	kill = func(pid int) {
		if tree {
			for _, c := range children[pid] {
				kill(c)
			}
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, r := range roots {
		kill(r)
	}
}
