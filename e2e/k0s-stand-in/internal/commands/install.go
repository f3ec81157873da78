package commands

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"k0smotron.io/e2e/k0s-stand-in/internal/hostservice"
	"k0smotron.io/e2e/k0s-stand-in/internal/parts"
	"k0smotron.io/e2e/k0s-stand-in/internal/supervise"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Flags whose values are paths: the service gets them absolute.
var pathFlags = map[string]bool{"config": true, "token-file": true, "data-dir": true, "kubelet-root-dir": true, "status-socket": true}

func installCommand(g *global, v version.Version) *cobra.Command {
	cmd := &cobra.Command{Use: "install", Short: "Install k0s on a brand-new system. Must be run as root (or with sudo)", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return errors.New("expected controller or worker") }}
	kf := &controllerFlags{}
	controller := &cobra.Command{Use: "controller", Short: "Install k0s controller on a brand-new system", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			if err := kf.check(v); err != nil {
				return err
			}
			if kf.config == "-" {
				return errors.New("invalid flag: --config does not accept stdin here")
			}
			_, effective, err := kf.load(c, g.data(), v)
			if err != nil {
				return err
			}
			u := effective.Spec.InstallConfig.Users
			createUsers(u.EtcdUser, u.KineUser, u.KubeAPIserverUser, u.KubeSchedulerUser, u.KonnectivityUser)
			return install(c, "controller", v)
		}}
	wf := &workerFlags{}
	worker := &cobra.Command{Use: "worker", Short: "Install k0s worker on a brand-new system", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			if err := wf.check(); err != nil {
				return err
			}
			return install(c, "worker", v)
		}}
	for _, c := range []*cobra.Command{controller, worker} {
		g.add(c)
		c.Flags().Bool("force", false, "force init script creation")
		c.Flags().StringArrayP("env", "e", nil, "set environment variable, NAME=VALUE")
		if v.Has(version.InstallStart) {
			c.Flags().Bool("start", false, "start the service after installing it")
		}
	}
	kf.add(controller, v)
	wf.add(worker, v)
	cmd.AddCommand(controller, worker)
	return cmd
}

func install(c *cobra.Command, role string, v version.Version) error {
	env, err := c.Flags().GetStringArray("env")
	if err != nil {
		return err
	}
	for _, e := range env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return fmt.Errorf("invalid environment variable %q: expected NAME=VALUE", e)
		}
	}
	// What chooses version and parts of the stand-in must hold for its service too.
	for _, name := range []string{version.Env, parts.Env} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	force, _ := c.Flags().GetBool("force")
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	s := hostservice.Service{Name: "k0s" + role, Exe: exe, Args: append([]string{role}, given(c)...), Env: env}
	if err := s.Install(force); err != nil {
		return fmt.Errorf("failed to install %s service: %w", s.Name, err)
	}
	if v.Has(version.InstallStart) {
		if start, _ := c.Flags().GetBool("start"); start {
			return s.Start()
		}
	}
	return nil
}

// given flags as they go into the service's command line.
func given(c *cobra.Command) []string {
	var out []string
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "force" || f.Name == "env" || f.Name == "start" {
			return
		}
		value := f.Value.String()
		switch x := f.Value.(type) {
		case pflag.SliceValue:
			value = strings.Join(x.GetSlice(), ",")
		default:
			if f.Value.Type() == "stringToString" {
				value = strings.Trim(value, "[]")
			}
		}
		if pathFlags[f.Name] && value != "" {
			value = absolute(value)
		}
		out = append(out, "--"+f.Name+"="+value)
	})
	return out
}

// createUsers; without a tool for it components run as root, with a warning, as on genuine k0s.
func createUsers(names ...string) {
	for _, n := range names {
		if _, _, ok := supervise.Lookup(n); ok {
			continue
		}
		if err := exec.Command("useradd", "--system", "--no-create-home", "--home", "/var/lib/k0s", "--shell", "/usr/sbin/nologin", n).Run(); err != nil {
			fmt.Fprintf(os.Stderr, "warning: cannot create user %s: %v\n", n, err)
		}
	}
}

func startCommand() *cobra.Command {
	return &cobra.Command{Use: "start", Short: "Start the k0s service configured on this host. Must be run as root (or with sudo)", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			s, err := hostservice.Installed()
			if err != nil {
				return err
			}
			if s.Running() {
				return errors.New("already running")
			}
			return s.Start()
		}}
}

func stopCommand() *cobra.Command {
	return &cobra.Command{Use: "stop", Short: "Stop the k0s service configured on this host. Must be run as root (or with sudo)", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			s, err := hostservice.Installed()
			if err != nil {
				return err
			}
			if !s.Running() {
				return errors.New("already stopped")
			}
			return s.Stop()
		}}
}
