package commands

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/config"
	"k0smotron.io/e2e/k0s-stand-in/internal/parts"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// What a backup holds besides the snapshot.
var backedUp = []string{"pki", "manifests", "images", "helmhome"}

func backupCommand(g *global, v version.Version) *cobra.Command {
	var to string
	cmd := &cobra.Command{Use: "backup", Short: "Back-Up k0s configuration. Must be run as root (or with sudo)", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		if err := needRoot(); err != nil {
			return err
		}
		cfg, _, err := running(g, v)
		if err != nil {
			return err
		}
		if to == "-" {
			return backup(c.OutOrStdout(), g, cfg)
		}
		path := filepath.Join(to, "k0s_backup_"+time.Now().UTC().Format("2006-01-02T15_04_05_000Z")+".tar.gz")
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := backup(f, g, cfg); err != nil {
			return errors.Join(err, os.Remove(path))
		}
		fmt.Fprintf(c.ErrOrStderr(), "archive %s created successfully\n", path)
		return f.Close()
	}}
	g.add(cmd)
	cmd.Flags().StringVar(&to, "save-path", "", "destination directory path for backup assets, use '-' for stdout")
	_ = cmd.MarkFlagRequired("save-path")
	return cmd
}

func backup(w io.Writer, g *global, cfg *config.ClusterConfig) error {
	tmp, err := os.MkdirTemp("", "k0s-backup")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	var snapshot string
	switch {
	case cfg.EmbeddedEtcd():
		snapshot = "etcd-snapshot.db"
		err = etcdctlSnapshot(g, filepath.Join(tmp, snapshot))
	case cfg.Spec.Storage.Type == "kine" && strings.HasPrefix(cfg.Spec.Storage.Kine.DataSource, "sqlite://"):
		snapshot = "kine-state-backup.db"
		err = copySqlite(sqlitePath(cfg), tmp, snapshot)
	default:
		err = errors.New("backup is not supported for external etcd or kine with another database: use their own tools")
	}
	if err != nil {
		return err
	}
	gz := gzip.NewWriter(w)
	t := tar.NewWriter(gz)
	files, _ := filepath.Glob(filepath.Join(tmp, snapshot+"*"))
	for _, f := range files {
		if err := addFile(t, f, filepath.Base(f)); err != nil {
			return err
		}
	}
	tree := cfg.Tree()
	b, err := yaml.Marshal(tree)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "k0s.yaml"), b, 0o600); err != nil {
		return err
	}
	if err := addFile(t, filepath.Join(tmp, "k0s.yaml"), "k0s.yaml"); err != nil {
		return err
	}
	for _, d := range backedUp {
		root := filepath.Join(g.data(), d)
		err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			}
			rel, err := filepath.Rel(g.data(), p)
			if err != nil {
				return err
			}
			return addFile(t, p, rel)
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), gz.Close())
}

func addFile(t *tar.Writer, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	h, err := tar.FileInfoHeader(st, "")
	if err != nil {
		return err
	}
	h.Name = name
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(t, f, st.Size())
	return err
}

func etcdctlSnapshot(g *global, to string) error {
	ctl, err := partFor(g, "etcdctl")
	if err != nil {
		return err
	}
	dir := filepath.Join(g.data(), "pki")
	return quiet(exec.Command(ctl, "--endpoints=https://127.0.0.1:2379", "--cacert="+dir+"/etcd/ca.crt", "--cert="+dir+"/apiserver-etcd-client.crt",
		"--key="+dir+"/apiserver-etcd-client.key", "snapshot", "save", to))
}

func partFor(g *global, name string) (string, error) {
	found, err := parts.Open(g.data())
	if err != nil {
		return "", err
	}
	return found.Path(name)
}

func quiet(c *exec.Cmd) error {
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(c.Path), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func sqlitePath(cfg *config.ClusterConfig) string {
	return strings.SplitN(strings.TrimPrefix(cfg.Spec.Storage.Kine.DataSource, "sqlite://"), "?", 2)[0]
}

// copySqlite with its write-ahead log, which together are a consistent state if nothing writes meanwhile.
func copySqlite(db, dir, name string) error {
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(db + suffix)
		if errors.Is(err, fs.ErrNotExist) && suffix != "" {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+suffix), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func restoreCommand(g *global, v version.Version) *cobra.Command {
	var out string
	cmd := &cobra.Command{Use: "restore filename", Short: "restore k0s state from given backup archive. Use '-' as filename to read from stdin", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		if err := needRoot(); err != nil {
			return err
		}
		if _, err := statusGet(g); err == nil || locked(g.runDir()) {
			return errors.New("k0s seems to be running! k0s must be down during the restore operation")
		}
		if entries, err := os.ReadDir(g.data()); err == nil {
			for _, e := range entries {
				if e.Name() != "bin" {
					return fmt.Errorf("the data directory %s is not empty (%s): k0s reset first", g.data(), e.Name())
				}
			}
		}
		var in io.Reader = c.InOrStdin()
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		if out == "" {
			wd, err := os.Getwd()
			if err != nil {
				return err
			}
			out = filepath.Join(wd, "k0s_"+time.Now().UTC().Format("2006-01-02T15_04_05_000Z")+".yaml")
		}
		return restore(in, g, v, out)
	}}
	g.add(cmd)
	cmd.Flags().StringVar(&out, "config-out", "", "Specify desired name and full path for the restored k0s.yaml file")
	return cmd
}

func restore(in io.Reader, g *global, v version.Version, configOut string) error {
	if err := os.MkdirAll(g.data(), 0o755); err != nil {
		return err
	}
	found, err := parts.Open(g.data())
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "k0s-restore")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := untar(in, tmp); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(tmp, "k0s.yaml"))
	if err != nil {
		return fmt.Errorf("the archive is not a k0s backup: %w", err)
	}
	cfg, err := config.Parse(raw, v)
	if err != nil {
		return err
	}
	for _, d := range backedUp {
		if err := os.CopyFS(filepath.Join(g.data(), d), os.DirFS(filepath.Join(tmp, d))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if cfg.EmbeddedEtcd() {
		utl, err := found.Path("etcdutl")
		if err != nil {
			return err
		}
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		if n := cfg.Spec.Storage.Etcd.ExtraArgs["name"]; n != "" {
			host = n
		}
		peer := "https://" + net.JoinHostPort(cfg.Spec.Storage.Etcd.PeerAddress, "2380")
		if err := quiet(exec.Command(utl, "snapshot", "restore", filepath.Join(tmp, "etcd-snapshot.db"), "--data-dir", filepath.Join(g.data(), "etcd"),
			"--name", host, "--initial-cluster", host+"="+peer, "--initial-advertise-peer-urls", peer)); err != nil {
			return err
		}
	} else {
		db := sqlitePath(cfg)
		if err := os.MkdirAll(filepath.Dir(db), 0o750); err != nil {
			return err
		}
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(filepath.Join(tmp, "kine-state-backup.db"+suffix))
			if err == nil {
				err = os.WriteFile(db+suffix, b, 0o600)
			}
			if err != nil && !(suffix != "" && errors.Is(err, fs.ErrNotExist)) {
				return err
			}
		}
	}
	return os.WriteFile(configOut, raw, 0o600)
}

func untar(in io.Reader, dir string) error {
	gz, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	t := tar.NewReader(gz)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(h.Name) {
			return fmt.Errorf("the archive holds a path outside itself: %s", h.Name)
		}
		to := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, h.FileInfo().Mode().Perm())
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, t); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
}
