// Package parts finds the real programs underneath: carried by the executable itself, beside it, or in PATH.
package parts

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Env names a directory of parts.
const Env = "K0S_STANDIN_PARTS"

// System is where an image keeps the parts.
const System = "/usr/libexec/k0s-stand-in"

// Found holds where to look, in order.
type Found struct {
	given   string // by the environment: before everything
	carried *Index
	bin     string // where carried parts go
	dirs    []string
	mu      sync.Mutex
	gates   map[string]*sync.Mutex
}

// Open collects the places; what the executable carries goes to <data>/bin when it is asked for.
func Open(dataDir string) (*Found, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	carried, err := Carried(exe)
	if err != nil {
		return nil, err
	}
	return &Found{given: os.Getenv(Env), carried: carried, bin: filepath.Join(dataDir, "bin"),
		dirs: []string{filepath.Join(filepath.Dir(exe), "k0s-parts"), System, filepath.Join(dataDir, "bin")}, gates: map[string]*sync.Mutex{}}, nil
}

// Path of a part.
func (f *Found) Path(name string) (string, error) {
	if f.given != "" {
		if p := filepath.Join(f.given, name); runnable(p) {
			return p, nil
		}
	}
	if f.carried != nil {
		if e, ok := f.carried.Entry(name); ok {
			return filepath.Join(f.bin, name), f.extract(e)
		}
	}
	for _, d := range f.dirs {
		if p := filepath.Join(d, name); runnable(p) {
			return p, nil
		}
	}
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	return "", fmt.Errorf("part %q not found in %q, %v or PATH; make a bundle or set %s", name, f.given, f.dirs, Env)
}

func (f *Found) extract(e Entry) error {
	f.mu.Lock()
	gate := f.gates[e.Name]
	if gate == nil {
		gate = &sync.Mutex{}
		f.gates[e.Name] = gate
	}
	f.mu.Unlock()
	gate.Lock()
	defer gate.Unlock()
	if err := f.carried.ExtractTo(f.bin, e); err != nil {
		return fmt.Errorf("failed to extract %s to %s: %w", e.Name, f.bin, err)
	}
	return nil
}

// Fetch parts in the background, in this order: they are there when they are needed.
func (f *Found) Fetch(names ...string) {
	go func() {
		for _, n := range names {
			if _, err := f.Path(n); err != nil {
				slog.Debug("cannot fetch a part", "part", n, "err", err)
			}
		}
	}()
}

// Check that parts can be had, without extracting them.
func (f *Found) Check(names ...string) error {
	for _, n := range names {
		if f.carried != nil {
			if _, ok := f.carried.Entry(n); ok {
				continue
			}
		}
		if _, err := f.Path(n); err != nil {
			return err
		}
	}
	return nil
}

func runnable(p string) bool {
	st, err := os.Stat(p)
	return err == nil && !st.IsDir() && st.Mode()&0o111 != 0
}

// Images that the stand-in brings for workers; nil if it has none.
func (f *Found) Images() (io.ReadCloser, error) {
	const name = "images/k0s-stand-in.tar"
	if f.carried != nil {
		if e, ok := f.carried.Entry(name); ok {
			return f.carried.Open(e)
		}
	}
	for _, d := range append([]string{f.given}, f.dirs...) {
		if r, err := os.Open(filepath.Join(d, name)); err == nil {
			return r, nil
		}
	}
	return nil, nil
}

// ImagesSum tells bundles apart.
func (f *Found) ImagesSum() string {
	if f.carried != nil {
		if e, ok := f.carried.Entry("images/k0s-stand-in.tar"); ok {
			return e.Sum
		}
	}
	for _, d := range append([]string{f.given}, f.dirs...) {
		if st, err := os.Stat(filepath.Join(d, "images/k0s-stand-in.tar")); err == nil {
			return fmt.Sprint(st.Size(), st.ModTime().UnixNano())
		}
	}
	return ""
}

// Libraries that parts bring; empty if none.
func (f *Found) Libraries() string {
	if f.carried != nil {
		for _, e := range f.carried.Entries {
			if strings.HasPrefix(e.Name, "lib/") {
				if err := f.extract(e); err != nil {
					slog.Warn("cannot extract a library", "err", err)
				}
			}
		}
	}
	for _, d := range append([]string{f.given, f.bin}, f.dirs...) {
		p := filepath.Join(d, "lib")
		if st, err := os.Stat(p); err == nil && st.IsDir() && d != "" {
			return p
		}
	}
	return ""
}

// SearchPath for programs that a part starts itself.
func (f *Found) SearchPath() string {
	out := ""
	for _, d := range append([]string{f.given, f.bin}, f.dirs...) {
		if _, err := os.Stat(d); err == nil && d != "" {
			out += d + ":"
		}
	}
	return out + os.Getenv("PATH")
}
