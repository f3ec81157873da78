// Package supervise starts the real programs, restarts them when they end, and cleans up after a killed predecessor.
package supervise

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/constants"
)

const managed = "_K0S_MANAGED=yes"

const (
	// askAgain is how long a program has to end before it gets another SIGTERM. A kube-apiserver whose clients watch
	// waits a minute for them, and ends at once at the second one.
	askAgain = 5 * time.Second
	// grace is how long it has before it is killed.
	grace = 20 * time.Second
)

// Child is one program under supervision.
type Child struct {
	Name    string
	Bin     string
	Args    []string
	Env     []string
	User    string // empty or unknown: ours
	RunDir  string // of the pid file
	DataDir string

	mu      sync.Mutex
	cmd     *exec.Cmd
	stopped chan struct{}
	quit    chan struct{}
}

// Start kills a leftover of an earlier life, starts the program and keeps it running.
func (c *Child) Start() error {
	c.killLeftover()
	c.quit, c.stopped = make(chan struct{}), make(chan struct{})
	if err := c.spawn(); err != nil {
		return fmt.Errorf("failed to start %s: %w", c.Name, err)
	}
	go c.keep()
	return nil
}

func (c *Child) keep() {
	defer close(c.stopped)
	for {
		err := c.wait()
		select {
		case <-c.quit:
			return
		default:
		}
		slog.Warn("component ended, restarting", "component", c.Name, "err", fmt.Sprint(err), "in", constants.RestartDelay)
		select {
		case <-c.quit:
			return
		case <-time.After(constants.RestartDelay):
		}
		for c.spawn() != nil {
			select {
			case <-c.quit:
				return
			case <-time.After(constants.RestartDelay):
			}
		}
	}
}

func (c *Child) spawn() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	cmd := exec.Command(c.Bin, c.Args...)
	cmd.Dir = c.DataDir
	cmd.Env = append(append(environment(c.Name), managed), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential(c.User)}
	// Our own output, not a pipe: a child must survive our SIGKILL, and a broken pipe would end it.
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	c.cmd = cmd
	slog.Info("component started", "component", c.Name, "pid", cmd.Process.Pid)
	return os.WriteFile(c.pidFile(), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644)
}

// The environment of k0s, without the variables that name another component: ETCD_X=1 would reach etcd.
func environment(name string) []string {
	var out []string
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "NOTIFY_SOCKET=") || strings.HasPrefix(e, "KUBECONFIG=") || strings.HasPrefix(e, "K0S_TOKEN=") {
			continue
		}
		out = append(out, e)
	}
	return out
}

func (c *Child) wait() error {
	c.mu.Lock()
	cmd := c.cmd
	c.mu.Unlock()
	return cmd.Wait()
}

// Stop ends the program: SIGTERM, again and again, and SIGKILL at last.
func (c *Child) Stop() {
	c.mu.Lock()
	cmd := c.cmd
	c.mu.Unlock()
	if cmd == nil || c.quit == nil {
		return
	}
	select {
	case <-c.quit:
		return
	default:
	}
	close(c.quit)
	for began, running := time.Now(), true; running; {
		if time.Since(began) < grace {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		} else {
			slog.Warn("component does not stop, killing it", "component", c.Name)
			_ = cmd.Process.Kill()
		}
		select {
		case <-c.stopped:
			running = false
		case <-time.After(askAgain):
		}
	}
	_ = os.Remove(c.pidFile())
	slog.Info("component stopped", "component", c.Name)
}

// Restart ends the program so that it is started anew at once, perhaps with other arguments.
func (c *Child) Restart(args []string) error {
	c.Stop()
	c.Args = args
	return c.Start()
}

func (c *Child) pidFile() string { return filepath.Join(c.RunDir, c.Name+".pid") }

func (c *Child) killLeftover() {
	raw, err := os.ReadFile(c.pidFile())
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || pid <= 1 || !isOurs(pid, c.Bin) {
		return
	}
	slog.Info("stopping a leftover of an earlier k0s", "component", c.Name, "pid", pid)
	_ = syscall.Kill(pid, syscall.SIGTERM)
	for deadline := time.Now().Add(grace); isOurs(pid, c.Bin); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			deadline = deadline.Add(grace)
		}
	}
}

func isOurs(pid int, bin string) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil || !strings.Contains(string(env), managed) {
		return false
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && filepath.Base(strings.SplitN(string(cmdline), "\x00", 2)[0]) == filepath.Base(bin)
}

// credential drops to the user if it exists and we may. The group stays ours: components share sockets and keys by it
// (konnectivity's socket is 0770 whatever the umask is).
func credential(name string) *syscall.Credential {
	uid, _, ok := Lookup(name)
	if !ok || os.Getuid() != 0 || uid == 0 {
		return nil
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(os.Getgid())}
}

// Lookup a user's ids.
func Lookup(name string) (uid, gid int, ok bool) {
	if name == "" {
		return 0, 0, false
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, false
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return uid, gid, err1 == nil && err2 == nil
}

// Own gives paths to a user if it exists.
func Own(name string, paths ...string) {
	uid, _, ok := Lookup(name)
	if !ok || os.Getuid() != 0 {
		return
	}
	for _, p := range paths {
		if err := os.Chown(p, uid, -1); err != nil && !os.IsNotExist(err) {
			slog.Warn("cannot change owner", "path", p, "user", name, "err", err)
		}
	}
}

// Until polls ready each interval; after ReadyTimeout the component is given up.
func Until(ctx context.Context, name string, every time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, constants.ReadyTimeout)
	defer cancel()
	var last error
	for {
		if last = ready(ctx); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %w", name, constants.ReadyTimeout, last)
		case <-time.After(every):
		}
	}
}
