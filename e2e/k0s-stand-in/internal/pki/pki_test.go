package pki

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHalfAPairIsLost(t *testing.T) {
	base := filepath.Join(t.TempDir(), "ca")
	if err := EnsureAuthority(base, ClusterCA, time.Hour); err != nil {
		t.Fatal(err)
	}
	first := read(t, base+".crt")
	if err := EnsureAuthority(base, ClusterCA, time.Hour); err != nil || !bytes.Equal(first, read(t, base+".crt")) {
		t.Error("a whole pair is not kept", err)
	}
	if err := os.Remove(base + ".key"); err != nil {
		t.Fatal(err)
	}
	if err := EnsureAuthority(base, ClusterCA, time.Hour); err != nil || bytes.Equal(first, read(t, base+".crt")) {
		t.Error("half a pair is kept", err)
	}
}

func TestLeavesUnderOurNamesAreRenewedAndOthersStay(t *testing.T) {
	for cn, renewed := range map[string]bool{ClusterCA: true, "somebody else": true} {
		dir := t.TempDir()
		if err := EnsureAuthority(filepath.Join(dir, "ca"), cn, time.Hour); err != nil {
			t.Fatal(err)
		}
		n := Node{Dir: dir, ClusterDomain: "cluster.local", CALife: time.Hour, Life: time.Hour}
		if err := n.Ensure(); err != nil {
			t.Fatal(err)
		}
		before := read(t, filepath.Join(dir, "server.crt"))
		if err := n.Ensure(); err != nil {
			t.Fatal(err)
		}
		// The cluster CA with its key counts as ours whatever its name is.
		if got := !bytes.Equal(before, read(t, filepath.Join(dir, "server.crt"))); got != renewed {
			t.Errorf("%s: renewed %v", cn, got)
		}
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "etcd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := EnsureAuthority(filepath.Join(dir, "etcd/ca"), "my etcd", time.Hour); err != nil {
		t.Fatal(err)
	}
	n := Node{Dir: dir, CALife: time.Hour, Life: time.Hour}
	if err := n.EnsureEtcd("10.0.0.1", nil); err != nil {
		t.Fatal(err)
	}
	before := read(t, filepath.Join(dir, "etcd/peer.crt"))
	if err := n.EnsureEtcd("10.0.0.1", nil); err != nil || !bytes.Equal(before, read(t, filepath.Join(dir, "etcd/peer.crt"))) {
		t.Error("a leaf of a foreign etcd authority is renewed", err)
	}
}

func TestFilesHaveTheirModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	n := Node{Dir: dir, ClusterDomain: "cluster.local", CALife: time.Hour, Life: time.Hour}
	if err := n.Ensure(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"": 0o751, "ca.key": 0o640, "ca.crt": 0o644, "sa.key": 0o640, "server.key": 0o640} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v %v", name, st.Mode(), err)
		}
	}
}
