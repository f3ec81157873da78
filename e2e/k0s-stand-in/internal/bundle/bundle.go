// Package bundle puts the stand-in together: a program with its parts beside it, the same as one file, and the images of workers.
package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/parts"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

// Options of a bundle.
type Options struct {
	Bins     []string
	Out      string
	Version  string
	NoImages bool
}

// A part's name, and the names its build may have.
var controlPlane = map[string][]string{
	"kube-apiserver": nil, "kube-controller-manager": nil, "kube-scheduler": nil, "kubectl": nil, "etcd": nil, "kine": nil,
	"konnectivity-server": {"proxy-server", "server"},
}
var optional = map[string][]string{"etcdctl": nil, "etcdutl": nil}
var node = map[string][]string{"kubelet": nil, "containerd": nil, "containerd-shim-runc-v2": nil, "runc": nil, "ctr": nil}

// Make the bundle.
func Make(o Options, log io.Writer) error {
	began := time.Now()
	v, err := version.Parse(o.Version)
	if err != nil {
		return err
	}
	if v.Build < 0 {
		v.Build = 0
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	dir := filepath.Join(o.Out, "k0s-parts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	slim := filepath.Join(o.Out, "k0s")
	if err := copyFile(exe, slim); err != nil {
		return err
	}
	if err := os.WriteFile(slim+".version", []byte(v.String()+"\n"), 0o644); err != nil {
		return err
	}
	files := map[string]string{}
	var missing []error
	add := func(set map[string][]string, must bool) {
		for name, also := range set {
			from, err := find(o.Bins, append([]string{name}, also...))
			if err != nil {
				if must {
					missing = append(missing, err)
				}
				continue
			}
			to := filepath.Join(dir, name)
			if err := copyFile(from, to); err != nil {
				missing = append(missing, err)
				continue
			}
			if strings.HasPrefix(name, "kube") {
				if err := stamp(to, v); err != nil {
					fmt.Fprintf(log, "%s keeps its own version: %v\n", name, err)
				}
			}
			files[name] = to
		}
	}
	add(controlPlane, true)
	add(optional, false)
	add(node, true)
	if err := errors.Join(missing...); err != nil {
		return err
	}
	if err := libraries(files["runc"], dir, files); err != nil {
		return err
	}
	if !o.NoImages {
		to := filepath.Join(dir, "images", "k0s-stand-in.tar")
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := images(append(o.Bins, filepath.Dir(exe)), to, v); err != nil {
			return err
		}
		files["images/k0s-stand-in.tar"] = to
	}
	order := make([]string, 0, len(files))
	for n := range files {
		order = append(order, n)
	}
	slices.SortFunc(order, func(a, b string) int { return int(size(files[b]) - size(files[a])) }) // the longest first: it decides when extraction ends
	single := filepath.Join(o.Out, "k0s-"+v.String()+"-"+runtime.GOARCH)
	if err := parts.Append(slim, single, v.String(), files, order, sum); err != nil {
		return err
	}
	if err := podList(o.Out, v); err != nil {
		return err
	}
	fmt.Fprintf(log, "%s: %d MB, %d parts, made in %s\n", single, size(single)>>20, len(files), time.Since(began).Round(time.Millisecond))
	return nil
}

// podList tells an image builder what a pod needs, one `<source> <target>` a line.
func podList(out string, v version.Version) error {
	var b strings.Builder
	b.WriteString("# " + v.String() + ": copy each source to its target; mode 0755. Users: see README.\n")
	fmt.Fprintf(&b, "%s /usr/local/bin/k0s\n%s /usr/local/bin/k0s.version\n", filepath.Join(out, "k0s"), filepath.Join(out, "k0s.version"))
	var names []string
	for _, set := range []map[string][]string{controlPlane, optional} {
		for n := range set {
			if _, err := os.Stat(filepath.Join(out, "k0s-parts", n)); err == nil {
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&b, "%s %s/%s\n", filepath.Join(out, "k0s-parts", n), parts.System, n)
	}
	return os.WriteFile(filepath.Join(out, "pod-files.txt"), []byte(b.String()), 0o644)
}

func find(dirs, names []string) (string, error) {
	for _, n := range names {
		for _, d := range dirs {
			if st, err := os.Stat(filepath.Join(d, n)); err == nil && !st.IsDir() {
				return filepath.Join(d, n), nil
			}
		}
	}
	for _, n := range names {
		if n == "server" || n == "agent" {
			continue // too common a name for PATH
		}
		if p, err := exec.LookPath(n); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s: not in %v nor in PATH", names[0], dirs)
}

// libraries that a dynamically linked runc needs besides the C library.
func libraries(bin, dir string, files map[string]string) error {
	for _, l := range needed(bin) {
		if !strings.Contains(l, "libseccomp") {
			continue
		}
		to := filepath.Join(dir, "lib", filepath.Base(l))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := copyFile(l, to); err != nil {
			return err
		}
		files["lib/"+filepath.Base(l)] = to
	}
	return nil
}

// needed libraries as ldd finds them; none for a static program.
func needed(bin string) []string {
	out, err := exec.Command("ldd", bin).Output()
	if err != nil {
		return nil
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		for _, f := range strings.Fields(line) {
			if strings.HasPrefix(f, "/") {
				found = append(found, f)
			}
		}
	}
	return found
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	tmp := to + ".new"
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	_ = os.Chmod(tmp, st.Mode().Perm()|0o755)
	return os.Rename(tmp, to)
}

func size(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
