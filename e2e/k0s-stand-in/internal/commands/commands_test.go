package commands

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

// run the command line in this process, as a version.
func run(t *testing.T, v string, args ...string) (string, error) {
	t.Helper()
	t.Setenv(version.Env, v)
	cmd := root()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func TestTheVersionIsTheOneItPlays(t *testing.T) {
	out, err := run(t, "v1.35.7-k0s.1", "version")
	if err != nil || out != "v1.35.7+k0s.1\n" {
		t.Error(out, err)
	}
	if out, _ := run(t, "v1.36.3+k0s.0", "version", "--all"); !strings.Contains(out, "stand-in") {
		t.Error("it does not say what it is:", out)
	}
}

func TestWhatAVersionDoesNotKnowIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		v, want string
		args    []string
	}{
		{"v1.36.3+k0s.0", "unknown command", []string{"frobnicate"}},
		{"v1.36.3+k0s.0", "unknown flag: --dynamic-config", []string{"controller", "--dynamic-config"}},
		{"v1.31.9+k0s.0", "unknown flag: --kubelet-root-dir", []string{"worker", "--kubelet-root-dir", "/x"}},
		{"v1.32.1+k0s.0", "unknown flag: --init-only", []string{"controller", "--init-only"}},
		{"v1.33.1+k0s.0", "unknown flag: --feature-gates", []string{"controller", "--feature-gates", "x=true"}},
		{"v1.34.9+k0s.0", "unknown flag: --start", []string{"install", "worker", "--start"}},
		{"v1.35.7+k0s.0", "unknown flag: --api-server-stop-timeout", []string{"controller", "--api-server-stop-timeout", "1s"}},
		{"v1.36.3+k0s.0", "unknown component nonsense", []string{"controller", "--disable-components", "nonsense", "--data-dir", dir}},
		{"v1.31.14+k0s.0", "unknown component update-prober", []string{"controller", "--disable-components", "update-prober", "--data-dir", dir}},
		{"v1.36.3+k0s.0", "unknown component in --logging", []string{"worker", "--logging", "foo=1"}},
		{"v1.36.3+k0s.0", "invalid taint", []string{"worker", "--taints", "a=b"}},
		{"v1.36.3+k0s.0", "one token source", []string{"worker", "abc", "--token-file", "/x"}},
		{"v1.36.3+k0s.0", "--iptables-mode", []string{"worker", "--iptables-mode", "maybe"}},
		{"v1.36.3+k0s.0", "unsupported role", []string{"token", "create", "--role", "king"}},
		{"v1.36.3+k0s.0", "not running", []string{"status", "--status-socket", filepath.Join(dir, "none")}},
	} {
		if _, err := run(t, c.v, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v", c.v, c.args, err)
		}
	}
}

func TestTwoTokenSourcesIncludeTheEnvironmentFrom135(t *testing.T) {
	t.Setenv("K0S_TOKEN", "abc")
	f := &workerFlags{tokenFile: "/x"}
	v, _ := version.Parse("v1.35.1+k0s.0")
	if _, _, err := f.token(nil, v); err == nil {
		t.Error("K0S_TOKEN and --token-file pass")
	}
	v, _ = version.Parse("v1.34.9+k0s.0")
	if given, _, err := f.token(nil, v); err != nil || !given {
		t.Error("before 1.35 K0S_TOKEN is nothing:", err)
	}
}

func TestAMissingOrEmptyTokenFileIsAnErrorWhenRead(t *testing.T) {
	v, _ := version.Parse("v1.36.3+k0s.0")
	path := filepath.Join(t.TempDir(), "token")
	f := &workerFlags{tokenFile: path}
	_, read, err := f.token(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(); err == nil {
		t.Error("a missing file passes")
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(); err == nil {
		t.Error("an empty file passes")
	}
}

func TestTheNodeIsNamedByTheOverride(t *testing.T) {
	f := &workerFlags{kubeletArgs: "--v=2 --hostname-override=M1"}
	if f.nodeName() != "m1" || strings.Join(f.kubeletWords(), " ") != "--v=2" {
		t.Error(f.nodeName(), f.kubeletWords())
	}
}

func TestConfigValidateNamesTheFault(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k0s.yaml")
	if err := os.WriteFile(path, []byte("apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nspec: {storage: {type: x}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "v1.36.3+k0s.0", "config", "validate", "--config", path); err == nil || !strings.Contains(err.Error(), "spec.storage.type") {
		t.Error(err)
	}
	if _, err := run(t, "v1.36.3+k0s.0", "config", "validate", "--config", path+".none"); err == nil {
		t.Error("a named file that is missing passes")
	}
	out, err := run(t, "v1.36.3+k0s.0", "config", "create")
	if err != nil || !strings.Contains(out, "kind: ClusterConfig") {
		t.Error(out, err)
	}
}

func TestAPreSharedTokenNeedsNoCluster(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, []byte("pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "v1.36.3+k0s.0", "token", "pre-shared", "--cert", ca, "--url", "https://a:6443/", "--out", dir); err != nil {
		t.Fatal(err)
	}
	tokens, _ := filepath.Glob(filepath.Join(dir, "token_*"))
	secrets, _ := filepath.Glob(filepath.Join(dir, "bootstrap-token-*.yaml"))
	if len(tokens) != 1 || len(secrets) != 1 {
		t.Error(tokens, secrets)
	}
}
