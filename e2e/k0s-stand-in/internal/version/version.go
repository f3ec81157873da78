// Package version knows the syntax and order of k0s versions and which version this process plays.
package version

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Default is played when nothing says otherwise.
const Default = "v1.36.3+k0s.0"

// Env names the variable that chooses the version.
const Env = "K0S_STANDIN_VERSION"

// Version is a k0s version: numbers, prerelease, and the k0s build on that Kubernetes patch.
type Version struct {
	Major, Minor, Patch int
	Pre                 string
	Build               int // -1: no suffix
}

var syntax = regexp.MustCompile(`^v?(\d+)\.(\d+)\.(\d+)(?:-((?:alpha|beta|rc)\.\d+))?(?:[+-]k0s(?:\.(\d+)(?:[.+][0-9A-Za-z.+-]*)?)?)?$`)
var suffix = regexp.MustCompile(`[+-]k0s(\.|$)`)

// Parse reads `v1.36.3-rc.0+k0s.1` and the dash form of image tags.
func Parse(s string) (Version, error) {
	m := syntax.FindStringSubmatch(s)
	if m == nil {
		return Version{}, fmt.Errorf("%q is not a k0s version, expected something like v1.36.3+k0s.0", s)
	}
	n := func(i int) int { v, _ := strconv.Atoi(m[i]); return v }
	v := Version{Major: n(1), Minor: n(2), Patch: n(3), Pre: m[4], Build: -1}
	if suffix.MatchString(s) {
		v.Build = n(5)
	}
	return v, nil
}

// String prints the `+` form.
func (v Version) String() string {
	s := "v" + v.Numbers()
	if v.Pre != "" {
		s += "-" + v.Pre
	}
	if v.Build >= 0 {
		s += fmt.Sprintf("+k0s.%d", v.Build)
	}
	return s
}

// Numbers prints only the Kubernetes version.
func (v Version) Numbers() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// MinorName is how worker configuration names a minor: `1.36`.
func (v Version) MinorName() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Compare orders: numbers, then stable over prerelease, then the build.
func (v Version) Compare(o Version) int {
	for _, p := range [][2]int{{v.Major, o.Major}, {v.Minor, o.Minor}, {v.Patch, o.Patch}} {
		if p[0] != p[1] {
			return sign(p[0] - p[1])
		}
	}
	if v.Pre != o.Pre {
		switch {
		case v.Pre == "":
			return 1
		case o.Pre == "":
			return -1
		}
		return strings.Compare(v.Pre, o.Pre)
	}
	return sign(v.Build - o.Build)
}

func sign(i int) int {
	switch {
	case i < 0:
		return -1
	case i > 0:
		return 1
	}
	return 0
}

// embedded is set by what finds a version in the archive behind the executable.
var embedded string

// SetEmbedded records the version that the archive behind the executable names.
func SetEmbedded(s string) { embedded = strings.TrimSpace(s) }

// Current is the version this process plays: environment, file beside the binary, archive, default.
func Current() Version {
	v, err := Parse(chosen())
	if err != nil {
		fmt.Fprintln(os.Stderr, "k0s stand-in:", err)
		os.Exit(1)
	}
	if v.Build < 0 {
		v.Build = 0
	}
	return v
}

func chosen() string {
	if s := strings.TrimSpace(os.Getenv(Env)); s != "" {
		return s
	}
	if exe, err := os.Executable(); err == nil {
		if b, err := os.ReadFile(exe + ".version"); err == nil && strings.TrimSpace(string(b)) != "" {
			return strings.TrimSpace(string(b))
		}
	}
	if embedded != "" {
		return embedded
	}
	return Default
}
