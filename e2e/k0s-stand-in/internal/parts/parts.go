// Package parts finds the real programs underneath: carried by the executable itself, beside it, or in PATH.
package parts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Env names a directory of parts.
const Env = "K0S_STANDIN_PARTS"

// System is where an image keeps the parts.
const System = "/usr/libexec/k0s-stand-in"

// Found holds where to look, in order.
type Found struct{ dirs []string }

// Open extracts what the executable carries into <data>/bin, once, and collects the other places.
func Open(dataDir string) (*Found, error) {
	f := &Found{}
	if d := os.Getenv(Env); d != "" {
		f.dirs = append(f.dirs, d)
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	carried, err := Carried(exe)
	if err != nil {
		return nil, err
	}
	if carried != nil && dataDir != "" {
		bin := filepath.Join(dataDir, "bin")
		if err := carried.ExtractTo(bin); err != nil {
			return nil, fmt.Errorf("failed to extract the parts to %s: %w", bin, err)
		}
		f.dirs = append(f.dirs, bin)
	}
	f.dirs = append(f.dirs, filepath.Join(filepath.Dir(exe), "k0s-parts"), System)
	return f, nil
}

// Path of a part. A part that cannot run here (another C library) gives way to the machine's own.
func (f *Found) Path(name string) (string, error) {
	for _, d := range f.dirs {
		p := filepath.Join(d, name)
		if st, err := os.Stat(p); err == nil && !st.IsDir() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	return "", fmt.Errorf("part %q not found in %v or PATH; make a bundle or set %s", name, f.dirs, Env)
}

// Dir is the first directory that holds an entry of this name, be it file or folder.
func (f *Found) Dir(name string) string {
	for _, d := range f.dirs {
		p := filepath.Join(d, name)
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return ""
}

// SearchPath for programs that a part starts itself.
func (f *Found) SearchPath() string {
	out := ""
	for _, d := range f.dirs {
		if _, err := os.Stat(d); err == nil {
			out += d + ":"
		}
	}
	return out + os.Getenv("PATH")
}

// Add a directory to look in, before all others.
func (f *Found) Add(dir string) { f.dirs = append([]string{dir}, f.dirs...) }
