package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/constants"
	"k0smotron.io/e2e/k0s-stand-in/internal/pki"
	"k0smotron.io/e2e/k0s-stand-in/internal/supervise"
)

const managedLine = "# k0s_managed=true"

// startContainerd of our own; a configuration that somebody took over stays as it is.
func (w *worker) startContainerd(ctx context.Context, profile map[string]string) error {
	if err := w.writeContainerdConfig(profile); err != nil {
		return err
	}
	socket := filepath.Join(w.RunDir, "containerd.sock")
	env := []string{"PATH=" + w.Parts.SearchPath()}
	for _, name := range []string{"runc", "containerd-shim-runc-v2", "ctr"} {
		if _, err := w.Parts.Path(name); err != nil {
			return err
		}
	}
	if lib := w.Parts.Libraries(); lib != "" {
		env = append(env, "LD_LIBRARY_PATH="+lib)
	}
	c, err := w.child("containerd", []string{"--root=" + filepath.Join(w.DataDir, "containerd"), "--state=" + filepath.Join(w.RunDir, "containerd"),
		"--address=" + socket, "--log-level=" + w.level("containerd", "info"), "--config=" + constants.ContainerdEtc}, env...)
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	w.children = append(w.children, c)
	return supervise.Until(ctx, "containerd", 100*time.Millisecond, func(context.Context) error {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (w *worker) writeContainerdConfig(profile map[string]string) error {
	if b, err := os.ReadFile(constants.ContainerdEtc); err == nil && !bytes.HasPrefix(b, []byte(managedLine)) {
		return nil
	}
	var pause struct{ Image, Version string }
	if err := json.Unmarshal([]byte(profile["pauseImage"]), &pause); err != nil {
		return fmt.Errorf("pauseImage: %w", err)
	}
	text := fmt.Sprintf(`%s
version = 2
imports = ["/etc/k0s/containerd.d/*.toml"]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  # Without CAP_SYS_RESOURCE (a machine that is a container itself) nobody may lower the score.
  restrict_oom_score_adj = %t
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
`, managedLine, pause.Image+":"+pause.Version, !hasCapability(24))
	if err := os.MkdirAll(filepath.Dir(constants.ContainerdEtc), 0o755); err != nil {
		return err
	}
	return pki.WriteFile(constants.ContainerdEtc, []byte(text), 0o644)
}

func hasCapability(bit uint) bool {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && n&(1<<bit) != 0
		}
	}
	return false
}

// importImages of the bundle and of <data>/images, so that no registry is needed.
// Genuine k0s leaves a foreign runtime alone; ours has no other way to bring its images there.
func (w *worker) importImages(ctx context.Context, socket string) {
	if sum := w.Parts.ImagesSum(); sum != "" {
		w.importOnce(ctx, socket, "the stand-in's own", sum, w.Parts.Images)
	}
	if socket == w.CRISocket {
		return
	}
	files, _ := filepath.Glob(filepath.Join(w.DataDir, "images", "*"))
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil || st.IsDir() || strings.HasPrefix(filepath.Base(f), ".") {
			continue
		}
		w.importOnce(ctx, socket, filepath.Base(f), fmt.Sprint(st.Size(), st.ModTime().UnixNano()), func() (io.ReadCloser, error) { return os.Open(f) })
	}
}

// watchImages imports what is put into <data>/images later.
func (w *worker) watchImages(ctx context.Context, socket string) {
	if socket == w.CRISocket {
		return
	}
	_ = os.MkdirAll(filepath.Join(w.DataDir, "images"), 0o755)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Second):
			w.importImages(ctx, socket)
		}
	}
}

// importOnce remembers what it imported, beside the runtime that has it.
func (w *worker) importOnce(ctx context.Context, socket, name, sum string, open func() (io.ReadCloser, error)) {
	marks := filepath.Join(w.DataDir, "containerd")
	if socket == w.CRISocket {
		marks = w.RunDir
	}
	_ = os.MkdirAll(marks, 0o711)
	mark := filepath.Join(marks, ".imported-"+strings.Map(plain, name))
	if b, err := os.ReadFile(mark); err == nil && string(b) == sum {
		return
	}
	began := time.Now()
	if err := w.importFrom(ctx, socket, open); err != nil {
		slog.Warn("cannot import images", "from", name, "err", err)
		return
	}
	slog.Info("imported images", "from", name, "took", time.Since(began).Round(time.Millisecond))
	if err := os.WriteFile(mark, []byte(sum), 0o644); err != nil {
		slog.Warn("cannot remember an import", "err", err)
	}
}

func (w *worker) importFrom(ctx context.Context, socket string, open func() (io.ReadCloser, error)) error {
	ctr, err := w.Parts.Path("ctr")
	if err != nil {
		return err
	}
	in, err := open()
	if err != nil || in == nil {
		return err
	}
	defer in.Close()
	address := strings.TrimPrefix(strings.TrimPrefix(socket, "remote:"), "unix://")
	// Unpacking is left to the moment when a pod needs the image: the node is ready sooner.
	cmd := exec.CommandContext(ctx, ctr, "--address", address, "--namespace", "k8s.io", "images", "import", "--no-unpack", "-")
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func plain(r rune) rune {
	if r == ' ' || r == '/' || r == '\'' {
		return '-'
	}
	return r
}
