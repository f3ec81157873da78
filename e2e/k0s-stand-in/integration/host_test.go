//go:build integration

package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// host is a place for one k0s: network, mount and UTS namespaces of its own, so each has its own /run, /etc/k0s,
// /var/lib/k0s and name. Traffic stays on a bridge that the test made.
type host struct {
	t       *testing.T
	n       int
	dir     string
	process *exec.Cmd
	log     *bytes.Buffer
}

const subnet = "10.78.0"

// k0s is the program under test: the genuine one if given, else the stand-in's bundle.
func k0s(t *testing.T) string {
	t.Helper()
	if b := os.Getenv("K0S_BINARY"); b != "" {
		return b
	}
	b := os.Getenv("K0S_STANDIN_BUNDLE")
	if b == "" {
		t.Fatal("set K0S_STANDIN_BUNDLE to the folder that make-bundle wrote, or K0S_BINARY to a genuine k0s")
	}
	return filepath.Join(b, "k0s")
}

func sh(t *testing.T, line string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

// bridge of this test process; hosts hang on it.
func bridge(t *testing.T) {
	t.Helper()
	_ = exec.Command("ip", "link", "del", "k0sit").Run()
	sh(t, "ip link add k0sit type bridge; ip addr add "+subnet+".254/24 dev k0sit; ip link set k0sit up")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "k0sit").Run() })
}

func newHost(t *testing.T, n int) *host {
	t.Helper()
	h := &host{t: t, n: n, dir: t.TempDir(), log: &bytes.Buffer{}}
	_ = exec.Command("ip", "netns", "del", h.ns()).Run()
	sh(t, fmt.Sprintf(`ip netns add %[1]s; ip link add k0sit%[2]d type veth peer name eth0 netns %[1]s; ip link set k0sit%[2]d master k0sit up
ip -n %[1]s addr add %[3]s/24 dev eth0; ip -n %[1]s link set eth0 up; ip -n %[1]s link set lo up; ip -n %[1]s route add default via %[4]s.254
mkdir -p %[5]s/run %[5]s/etc %[5]s/data /etc/k0s /var/lib/k0s`, h.ns(), n, h.ip(), subnet, h.dir))
	h.write("hosts", fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", h.ip(), h.name()))
	t.Cleanup(func() {
		h.kill()
		_ = exec.Command("ip", "netns", "del", h.ns()).Run()
	})
	return h
}

func (h *host) ns() string   { return fmt.Sprintf("k0sit%d", h.n) }
func (h *host) name() string { return fmt.Sprintf("it%d", h.n) }
func (h *host) ip() string   { return fmt.Sprintf("%s.%d", subnet, h.n) }

func (h *host) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, "etc", name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// command inside the host.
func (h *host) command(args ...string) *exec.Cmd {
	script := fmt.Sprintf(`hostname %s; mount --bind %[2]s/run /run; mount --bind %[2]s/etc /etc/k0s; mount --bind %[2]s/data /var/lib/k0s; mount --bind %[2]s/etc/hosts /etc/hosts; exec "$@"`, h.name(), h.dir)
	return exec.Command("ip", append([]string{"netns", "exec", h.ns(), "unshare", "-mu", "sh", "-ec", script, "sh"}, args...)...)
}

func (h *host) run(args ...string) (string, error) {
	out, err := h.command(append([]string{k0s(h.t)}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (h *host) must(args ...string) string {
	h.t.Helper()
	out, err := h.run(args...)
	if err != nil {
		h.t.Fatalf("k0s %v: %v: %s", args, err, out)
	}
	return out
}

// start `k0s controller` in the foreground of the host.
func (h *host) start(args ...string) {
	h.t.Helper()
	h.process = h.command(append([]string{k0s(h.t), "controller"}, args...)...)
	h.process.Stdout, h.process.Stderr = h.log, h.log
	if err := h.process.Start(); err != nil {
		h.t.Fatal(err)
	}
}

// ready once the status socket answers, which is after the API.
func (h *host) ready(within time.Duration) time.Duration {
	h.t.Helper()
	began := time.Now()
	h.eventually(within, "k0s status", func() bool { _, err := h.run("status"); return err == nil })
	return time.Since(began)
}

func (h *host) eventually(within time.Duration, what string, is func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(within); !is(); time.Sleep(250 * time.Millisecond) {
		if time.Now().After(deadline) {
			tail := h.log.String()
			h.t.Fatalf("%s: not within %s on %s; log ends:\n%s", what, within, h.name(), tail[max(0, len(tail)-4000):])
		}
	}
}

// stop with SIGTERM and wait.
func (h *host) stop() time.Duration {
	h.t.Helper()
	began := time.Now()
	_ = h.process.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { _ = h.process.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		h.t.Fatal("k0s does not stop within a minute")
	}
	h.process = nil
	return time.Since(began)
}

// kill everything in the host at once, as a power cut does.
func (h *host) kill() {
	out, _ := exec.Command("ip", "netns", "pids", h.ns()).Output()
	for _, pid := range strings.Fields(string(out)) {
		_ = exec.Command("kill", "-9", pid).Run()
	}
	if h.process != nil {
		_ = h.process.Wait()
		h.process = nil
	}
}

// get a path of the host's API without credentials: status code and body.
func (h *host) get(port int, path string) (int, string) {
	h.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // who answers is not the question
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", h.ip(), port))
		}}}
	resp, err := client.Get("https://k0s" + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// pids gives the names of the host's processes.
func (h *host) pids() string {
	out, _ := exec.Command("sh", "-c", "for p in $(ip netns pids "+h.ns()+"); do cat /proc/$p/comm; done").Output()
	return string(out)
}
