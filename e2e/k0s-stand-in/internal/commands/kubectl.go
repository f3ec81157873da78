package commands

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/parts"
	"k0smotron.io/e2e/k0s-stand-in/internal/pki"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	"github.com/spf13/cobra"
)

func kubectlCommand(g *global) *cobra.Command {
	return &cobra.Command{Use: "kubectl", Aliases: []string{"kc"}, Short: "kubectl controls the Kubernetes cluster manager", DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error { return kubectl(g, args) }}
}

// kubectl replaces this process by the real one.
func kubectl(g *global, args []string) error {
	found, err := parts.Open(g.data())
	if err != nil {
		return err
	}
	bin, err := found.Path("kubectl")
	if err != nil {
		return err
	}
	env := os.Environ()
	if os.Getenv("KUBECONFIG") == "" {
		env = append(env, "KUBECONFIG="+g.adminConf())
	}
	return syscall.Exec(bin, append([]string{"kubectl"}, args...), env)
}

func kubeconfigCommand(g *global, v version.Version) *cobra.Command {
	cmd := &cobra.Command{Use: "kubeconfig", Short: "Create a kubeconfig file for a specified user", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	admin := &cobra.Command{Use: "admin", Short: "Display Admin's Kubeconfig file", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		server, ca, err := serverAndCA(g, v)
		if err != nil {
			return err
		}
		cert, err := os.ReadFile(filepath.Join(g.data(), "pki/admin.crt"))
		if err != nil {
			return fmt.Errorf("admin config is not available: %w; is k0s running on this host?", err)
		}
		key, err := os.ReadFile(filepath.Join(g.data(), "pki/admin.key"))
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(pki.Kubeconfig(server, "local", "Default", "user", ca, cert, key))
		return err
	}}
	var groups, contextName string
	var life time.Duration
	create := &cobra.Command{Use: "create username", Short: "Create a kubeconfig for a user", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		server, _, err := serverAndCA(g, v)
		if err != nil {
			return err
		}
		ca, err := pki.LoadAuthority(filepath.Join(g.data(), "pki/ca"))
		if err != nil {
			return err
		}
		leaf := pki.Leaf{Name: args[0], CN: args[0]}
		if groups != "" {
			leaf.O = []string{groups}
		}
		cert, key, err := ca.Issue(leaf, life)
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(pki.Kubeconfig(server, "k0s", contextName, args[0], ca.PEM, cert, key))
		return err
	}}
	create.Flags().StringVar(&groups, "groups", "", "Specify groups")
	create.Flags().StringVar(&contextName, "context-name", "k0s", "The context name to be used in kubeconfig")
	create.Flags().DurationVar(&life, "certificate-expires-after", 8760*time.Hour, "The expiration duration of the certificate")
	g.add(admin)
	g.add(create)
	cmd.AddCommand(admin, create)
	return cmd
}

func serverAndCA(g *global, v version.Version) (string, []byte, error) {
	ca, err := os.ReadFile(filepath.Join(g.data(), "pki/ca.crt"))
	if err != nil {
		return "", nil, err
	}
	cfg, _, err := running(g, v)
	if err != nil {
		return "", nil, err
	}
	return cfg.APIURL(), ca, nil
}
