// Package hostservice installs and drives k0s' service. Only systemd: the machines of the test bed have nothing else.
package hostservice

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Service of k0s.
type Service struct {
	Name string
	Exe  string
	Args []string
	Env  []string
}

func (s Service) unit() string { return "/etc/systemd/system/" + s.Name + ".service" }

// Text of the unit.
func (s Service) Text() string {
	line := quote(s.Exe)
	for _, a := range s.Args {
		line += " " + quote(a)
	}
	env := ""
	for _, e := range s.Env {
		env += "Environment=" + quote(e) + "\n"
	}
	return fmt.Sprintf(`[Unit]
Description=k0s - Zero Friction Kubernetes
Documentation=https://docs.k0sproject.io
ConditionFileIsExecutable=%s
After=network-online.target
Wants=network-online.target

[Service]
StartLimitInterval=5
StartLimitBurst=10
ExecStart=%s
%sRestartSec=10
Delegate=yes
KillMode=process
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
LimitNOFILE=999999
Restart=always

[Install]
WantedBy=multi-user.target
`, s.Exe, line, env)
}

// quote a word for systemd: no specifiers, no variables, no splitting.
func quote(w string) string {
	w = strings.NewReplacer("%", "%%", "$", "$$").Replace(w)
	if w != "" && !strings.ContainsAny(w, " \t\n\"'\\;") {
		return w
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(w) + `"`
}

// Install writes and enables the unit; an existing one is an error unless forced.
func (s Service) Install(force bool) error {
	if st, err := os.Stat("/run/systemd/system"); err != nil || !st.IsDir() {
		return errors.New("unsupported init system: the stand-in knows systemd only")
	}
	if _, err := os.Stat(s.unit()); err == nil && !force {
		return fmt.Errorf("Init already exists: %s", s.unit()) //nolint:staticcheck // k0s' words
	}
	if err := os.WriteFile(s.unit(), []byte(s.Text()), 0o644); err != nil {
		return err
	}
	if err := systemctl("daemon-reload"); err != nil {
		return err
	}
	return systemctl("enable", s.Name+".service")
}

// Installed gives the controller's service, else the worker's.
func Installed() (Service, error) {
	for _, n := range []string{"k0scontroller", "k0sworker"} {
		s := Service{Name: n}
		if _, err := os.Stat(s.unit()); err == nil {
			return s, nil
		}
	}
	return Service{}, errors.New("k0s has not been installed as a service")
}

// Running tells whether it is active or starting.
func (s Service) Running() bool {
	out, _ := exec.Command("systemctl", "is-active", s.Name+".service").Output()
	state := strings.TrimSpace(string(out))
	return state == "active" || state == "activating"
}

// Start the service.
func (s Service) Start() error { return systemctl("start", s.Name+".service") }

// Stop the service.
func (s Service) Stop() error { return systemctl("stop", s.Name+".service") }

// Uninstall stops, disables and removes it.
func (s Service) Uninstall() error {
	_ = systemctl("stop", s.Name+".service")
	_ = systemctl("disable", s.Name+".service")
	if err := os.Remove(s.unit()); err != nil {
		return err
	}
	return systemctl("daemon-reload")
}

func systemctl(args ...string) error {
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
