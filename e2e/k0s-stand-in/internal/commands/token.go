package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/config"
	"k0smotron.io/e2e/k0s-stand-in/internal/jointoken"
	"k0smotron.io/e2e/k0s-stand-in/internal/kube"
	"k0smotron.io/e2e/k0s-stand-in/internal/pki"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// running gives the effective configuration of the k0s that runs here.
func running(g *global, v version.Version) (*config.ClusterConfig, bool, error) {
	b, err := os.ReadFile(filepath.Join(g.runDir(), "k0s.yaml"))
	if err != nil {
		return nil, false, errors.New("k0s is not running on this host as a controller")
	}
	var r struct {
		Spec struct {
			NodeConfig map[string]any `json:"nodeConfig"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(b, &r); err != nil {
		return nil, false, err
	}
	text, err := yaml.Marshal(r.Spec.NodeConfig)
	if err != nil {
		return nil, false, err
	}
	c, err := config.Parse(text, v)
	if err != nil {
		return nil, false, err
	}
	return c, isSingle(g), nil
}

func isSingle(g *global) bool {
	s, err := statusGet(g)
	return err == nil && s.SingleNode
}

func tokenCommand(g *global, v version.Version) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Manage join tokens", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	cmd.AddCommand(tokenCreate(g, v), tokenList(g), tokenInvalidate(g), tokenPreShared())
	return cmd
}

func tokenCreate(g *global, v version.Version) *cobra.Command {
	var role string
	var expiry time.Duration
	var wait bool
	cmd := &cobra.Command{Use: "create", Short: "Create join token", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		user, err := jointoken.UserOf(role)
		if err != nil {
			return err
		}
		create := func() (string, error) { return createToken(c.Context(), g, v, role, user, expiry) }
		text, err := create()
		for wait && err != nil && c.Context().Err() == nil && !errors.Is(err, errRefused) {
			time.Sleep(time.Second)
			text, err = create()
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), text)
		return nil
	}}
	g.add(cmd)
	cmd.Flags().StringVar(&role, "role", "worker", "Either worker or controller")
	cmd.Flags().DurationVar(&expiry, "expiry", 0, "Expiration time of the token. Format 1.5h, 2h45m or 300ms.")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait forever (default false)")
	return cmd
}

var errRefused = errors.New("refusing to create token")

func createToken(ctx context.Context, g *global, v version.Version, role, user string, expiry time.Duration) (string, error) {
	cfg, single, err := running(g, v)
	if err != nil {
		return "", err
	}
	if single {
		return "", fmt.Errorf("%w: cannot join into a single node cluster", errRefused)
	}
	if role == "controller" && !cfg.Joinable() {
		return "", fmt.Errorf("%w: cannot join controller into current storage", errRefused)
	}
	cluster, err := kube.FromFile(g.adminConf())
	if err != nil {
		return "", err
	}
	ca, err := os.ReadFile(filepath.Join(g.data(), "pki/ca.crt"))
	if err != nil {
		return "", err
	}
	var until time.Time
	if expiry > 0 {
		until = time.Now().Add(expiry)
	}
	id, secret := jointoken.Random(6), jointoken.Random(16)
	if _, err := cluster.Typed.CoreV1().Secrets(metav1.NamespaceSystem).Create(ctx, jointoken.Secret(role, id, secret, until), metav1.CreateOptions{}); err != nil {
		return "", err
	}
	server := cfg.APIURL()
	if role == "controller" {
		server = cfg.JoinURL()
	}
	return jointoken.Encode(jointoken.Kubeconfig(server, ca, user, id, secret))
}

func tokenList(g *global) *cobra.Command {
	var role string
	cmd := &cobra.Command{Use: "list", Short: "List join tokens", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		cluster, err := kube.FromFile(g.adminConf())
		if err != nil {
			return err
		}
		l, err := cluster.Typed.CoreV1().Secrets(metav1.NamespaceSystem).List(c.Context(), metav1.ListOptions{FieldSelector: "type=" + jointoken.SecretType})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 4, ' ', 0)
		fmt.Fprintln(w, "ID\tROLE\tEXPIRES AT")
		for _, s := range l.Items {
			r := roleOf(&s)
			if role != "" && r != role {
				continue
			}
			expires := string(s.Data["expiration"])
			if expires == "" {
				expires = "never"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", s.Data["token-id"], r, expires)
		}
		return w.Flush()
	}}
	g.add(cmd)
	cmd.Flags().StringVar(&role, "role", "", "Either worker, controller or empty for all roles")
	return cmd
}

func roleOf(s *corev1.Secret) string {
	if string(s.Data["usage-controller-join"]) == "true" || string(s.Data["usage-bootstrap-controller-join"]) == "true" {
		return "controller"
	}
	return "worker"
}

func tokenInvalidate(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "invalidate join-token...", Short: "Invalidates existing join token", Args: cobra.MinimumNArgs(1), RunE: func(c *cobra.Command, args []string) error {
		cluster, err := kube.FromFile(g.adminConf())
		if err != nil {
			return err
		}
		for _, id := range args {
			err := cluster.Typed.CoreV1().Secrets(metav1.NamespaceSystem).Delete(c.Context(), "bootstrap-token-"+id, metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "token %s deleted successfully\n", id)
		}
		return nil
	}}
	g.add(cmd)
	return cmd
}

func tokenPreShared() *cobra.Command {
	var cert, url, role, out string
	var valid time.Duration
	cmd := &cobra.Command{Use: "pre-shared", Short: "Generates token and secret and stores them as a files", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		user, err := jointoken.UserOf(role)
		if err != nil {
			return err
		}
		ca, err := os.ReadFile(cert)
		if err != nil {
			return err
		}
		var until time.Time
		if valid > 0 {
			until = time.Now().Add(valid)
		}
		id, secret := jointoken.Random(6), jointoken.Random(16)
		b, err := yaml.Marshal(jointoken.Secret(role, id, secret, until))
		if err != nil {
			return err
		}
		text, err := jointoken.Encode(jointoken.Kubeconfig(strings.TrimSuffix(url, "/"), ca, user, id, secret))
		if err != nil {
			return err
		}
		return errors.Join(pki.WriteFile(filepath.Join(out, "bootstrap-token-"+id+".yaml"), b, 0o640), pki.WriteFile(filepath.Join(out, "token_"+id), []byte(text), 0o640))
	}}
	f := cmd.Flags()
	f.StringVar(&cert, "cert", "", "path to the CA certificate file")
	f.StringVar(&url, "url", "", "url of the api server to join")
	f.StringVar(&role, "role", "worker", "token role. valid values: worker, controller")
	f.DurationVar(&valid, "valid", 0, "how long token is valid, in Go duration format")
	f.StringVar(&out, "out", ".", "path to the output directory")
	_ = cmd.MarkFlagRequired("cert")
	_ = cmd.MarkFlagRequired("url")
	return cmd
}
