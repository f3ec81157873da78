package commands

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"k0smotron.io/e2e/k0s-stand-in/internal/config"
	"k0smotron.io/e2e/k0s-stand-in/internal/etcd"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func etcdCommand(g *global, v version.Version) *cobra.Command {
	cmd := &cobra.Command{Use: "etcd", Short: "Manage etcd cluster", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	list := &cobra.Command{Use: "member-list", Short: "List etcd cluster members (JSON encoded)", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		_, tls, err := ownEtcd(g, v)
		if err != nil {
			return err
		}
		return etcd.With(tls, func(cl *clientv3.Client) error {
			all, err := etcd.Members(c.Context(), cl)
			if err != nil {
				return err
			}
			out := map[string]string{}
			for _, m := range all {
				out[m.Name] = m.PeerURL
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{"members": out})
		})
	}}
	var peer string
	leave := &cobra.Command{Use: "leave", Short: "Leave the etcd cluster, or remove a specific peer", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		cfg, tls, err := ownEtcd(g, v)
		if err != nil {
			return err
		}
		address := peer
		if address == "" {
			address = cfg.Spec.Storage.Etcd.PeerAddress
		}
		if net.ParseIP(address) == nil && address == "" {
			return errors.New("can't leave etcd cluster: this node doesn't have an etcd peer address, check the k0s configuration or use --peer-address")
		}
		return etcd.With(tls, func(cl *clientv3.Client) error {
			all, err := etcd.Members(c.Context(), cl)
			if err != nil {
				return err
			}
			for _, m := range all {
				if m.HasAddress(address) {
					if err := etcd.Remove(c.Context(), cl, m.ID); err != nil {
						return fmt.Errorf("failed to delete node from cluster: %w", err)
					}
					return nil
				}
			}
			return fmt.Errorf("peer not found: %s", etcd.PeerURL(address))
		})
	}}
	leave.Flags().StringVar(&peer, "peer-address", "", "etcd peer address to remove (default <this node's peer address>)")
	for _, c := range []*cobra.Command{list, leave} {
		g.add(c)
	}
	cmd.AddCommand(list, leave)
	return cmd
}

func ownEtcd(g *global, v version.Version) (*config.ClusterConfig, etcd.TLS, error) {
	cfg, _, err := running(g, v)
	if err != nil {
		return nil, etcd.TLS{}, err
	}
	if cfg.Spec.Storage.Type != "etcd" {
		return nil, etcd.TLS{}, fmt.Errorf("wrong storage type: %s", cfg.Spec.Storage.Type)
	}
	if !cfg.EmbeddedEtcd() {
		return nil, etcd.TLS{}, errors.New("command 'k0s etcd' does not support external etcd cluster")
	}
	dir := filepath.Join(g.data(), "pki")
	return cfg, etcd.TLS{CA: filepath.Join(dir, "etcd/ca.crt"), Cert: filepath.Join(dir, "apiserver-etcd-client.crt"), Key: filepath.Join(dir, "apiserver-etcd-client.key")}, nil
}
