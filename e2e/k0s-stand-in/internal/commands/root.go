// Package commands is the command line of k0s.
package commands

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k0smotron.io/e2e/k0s-stand-in/internal/constants"
	"k0smotron.io/e2e/k0s-stand-in/internal/parts"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	"github.com/spf13/cobra"
)

// global flags.
type global struct {
	dataDir, statusSocket string
	debug, verbose        bool
}

// Run the command line; the result is the exit code.
func Run() int {
	if exe, err := os.Executable(); err == nil {
		if idx, err := parts.Carried(exe); err == nil && idx != nil {
			version.SetEmbedded(idx.Version)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		return 1
	}
	return 0
}

func root() *cobra.Command {
	g := &global{}
	v := version.Current()
	cmd := &cobra.Command{Use: "k0s", Short: "k0s - Zero Friction Kubernetes (stand-in for tests)", SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              cobra.NoArgs,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRun:  func(*cobra.Command, []string) { g.logs() }}
	cmd.AddCommand(controllerCommand(g, v), workerCommand(g, v), installCommand(g, v), startCommand(), stopCommand(), resetCommand(g, v), statusCommand(g),
		tokenCommand(g, v), etcdCommand(g, v), kubectlCommand(g), kubeconfigCommand(g, v), configCommand(g, v), versionCommand(v), sysinfoCommand(),
		airgapCommand(v), backupCommand(g, v), restoreCommand(g, v), apiCommand(), bundleCommand())
	return cmd
}

func (g *global) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&g.dataDir, "data-dir", constants.DataDir, "Data Directory for k0s. DO NOT CHANGE for an existing setup, things will break!")
	f.StringVar(&g.statusSocket, "status-socket", "", "Full file path to the socket file. (default: <rundir>/status.sock)")
	f.BoolVarP(&g.debug, "debug", "d", false, "Debug logging")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "Verbose logging")
}

func (g *global) logs() {
	level := slog.LevelInfo
	if g.debug {
		level = slog.LevelDebug
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
}

func (g *global) data() string {
	if g.dataDir == "" {
		return constants.DataDir
	}
	p, err := filepath.Abs(g.dataDir)
	if err != nil {
		return g.dataDir
	}
	return p
}

// runDir is fixed for root: one k0s per /run.
func (g *global) runDir() string {
	if os.Getuid() == 0 {
		return "/run/k0s"
	}
	return filepath.Join(g.data(), "run")
}

func (g *global) socket() string {
	if g.statusSocket != "" {
		return g.statusSocket
	}
	return filepath.Join(g.runDir(), "status.sock")
}

func (g *global) adminConf() string { return filepath.Join(g.data(), "pki", "admin.conf") }

func needRoot() error {
	if os.Getuid() != 0 {
		return fmt.Errorf("this command must be run as root")
	}
	return nil
}
