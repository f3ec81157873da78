package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/config"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

// entry of a layer: a file from here, or a link.
type entry struct{ path, from, link string }

type image struct {
	name    string
	entries []entry
	command []string
}

// images that workers run, as one OCI layout with layers uncompressed: the archive around it compresses.
func images(bins []string, to string, v version.Version) error {
	names := config.DefaultImages()
	bin := func(names ...string) (string, error) { return find(bins, names) }
	agent, err := bin("konnectivity-agent", "proxy-agent", "agent")
	if err != nil {
		return err
	}
	proxy, err := bin("kube-proxy")
	if err != nil {
		return err
	}
	// A copy with the version it plays.
	own := filepath.Join(filepath.Dir(to), "kube-proxy")
	if err := copyFile(proxy, own); err != nil {
		return err
	}
	defer os.Remove(own)
	if err := stamp(own, v); err == nil {
		proxy = own
	}
	dns, err := bin("coredns")
	if err != nil {
		return err
	}
	pause, err := bin("pause")
	if err != nil {
		return err
	}
	packet, err := packetTools()
	if err != nil {
		return err
	}
	network, err := networkAgent(bins)
	if err != nil {
		return err
	}
	all := []image{
		{names["pause"], []entry{{path: "pause", from: pause}}, []string{"/pause"}},
		{names["kuberouter"], network, []string{"/usr/local/bin/network-agent"}},
		{names["kubeproxy"], append(packet, entry{path: "usr/local/bin/kube-proxy", from: proxy}), []string{"/usr/local/bin/kube-proxy"}},
		{names["konnectivity"], []entry{{path: "proxy-agent", from: agent}}, []string{"/proxy-agent"}},
		{names["coredns"], []entry{{path: "coredns", from: dns}}, []string{"/coredns"}},
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	l := layout{w: tar.NewWriter(f), seen: map[string]bool{}}
	for _, i := range all {
		if err := l.add(i); err != nil {
			return fmt.Errorf("image %s: %w", i.name, err)
		}
	}
	if err := l.close(); err != nil {
		return err
	}
	return f.Close()
}

// packetTools are what kube-proxy calls, with their libraries.
func packetTools() ([]entry, error) {
	var out []entry
	libs := map[string]bool{}
	for _, name := range []string{"nft", "xtables-nft-multi", "conntrack", "ipset"} {
		from, err := find([]string{"/usr/sbin", "/sbin"}, []string{name})
		if err != nil {
			return nil, err
		}
		out = append(out, entry{path: "usr/sbin/" + name, from: from})
		for _, l := range needed(from) {
			libs[l] = true
		}
	}
	for _, n := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
		out = append(out, entry{path: "usr/sbin/" + n, link: "xtables-nft-multi"})
	}
	modules, _ := filepath.Glob("/usr/lib/*/xtables/*.so")
	for _, m := range modules {
		out = append(out, entry{path: strings.TrimPrefix(m, "/"), from: m})
	}
	for _, m := range modules { // one has libraries of its own
		for _, l := range needed(m) {
			libs[l] = true
		}
	}
	for l := range libs {
		real, err := filepath.EvalSymlinks(l)
		if err != nil {
			return nil, err
		}
		out = append(out, entry{path: strings.TrimPrefix(l, "/"), from: real})
	}
	return append(out, shell()...), nil
}

func shell() []entry {
	busybox, err := find([]string{"/usr/bin", "/bin"}, []string{"busybox"})
	if err != nil {
		return nil
	}
	out := []entry{{path: "usr/bin/busybox", from: busybox}}
	for _, n := range []string{"sh", "ip", "cat", "ls"} {
		out = append(out, entry{path: "usr/bin/" + n, link: "busybox"})
	}
	return append(out, entry{path: "bin/sh", link: "/usr/bin/busybox"})
}

func networkAgent(bins []string) ([]entry, error) {
	agent, err := find(bins, []string{"network-agent"})
	if err != nil { // k0s itself can be it
		if agent, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	out := append([]entry{{path: "usr/local/bin/network-agent", from: agent}}, shell()...)
	for _, p := range []string{"bridge", "host-local", "loopback", "portmap"} {
		from, err := find([]string{"/usr/lib/cni", "/opt/cni/bin"}, []string{p})
		if err != nil {
			return nil, err
		}
		out = append(out, entry{path: "opt/k0s-stand-in/cni/" + p, from: from})
	}
	return out, nil
}

// layout is an OCI image layout being written.
type layout struct {
	w         *tar.Writer
	seen      map[string]bool
	manifests []map[string]any
}

func (l *layout) add(i image) error {
	layer, err := layerOf(i.entries)
	if err != nil {
		return err
	}
	ld, err := l.blob(layer)
	if err != nil {
		return err
	}
	cfg, err := json.Marshal(map[string]any{"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": i.command, "Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{ld}}})
	if err != nil {
		return err
	}
	cd, err := l.blob(cfg)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": cd, "size": len(cfg)},
		"layers": []any{map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": ld, "size": len(layer)}}})
	if err != nil {
		return err
	}
	md, err := l.blob(manifest)
	if err != nil {
		return err
	}
	l.manifests = append(l.manifests, map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": md, "size": len(manifest),
		"platform":    map[string]any{"architecture": runtime.GOARCH, "os": "linux"},
		"annotations": map[string]any{"io.containerd.image.name": i.name, "org.opencontainers.image.ref.name": i.name}})
	return nil
}

func (l *layout) close() error {
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": l.manifests})
	if err != nil {
		return err
	}
	if err := l.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	if err := l.file("index.json", index); err != nil {
		return err
	}
	return l.w.Close()
}

func (l *layout) blob(b []byte) (string, error) {
	s := sha256.Sum256(b)
	name := hex.EncodeToString(s[:])
	if !l.seen[name] {
		l.seen[name] = true
		if err := l.file("blobs/sha256/"+name, b); err != nil {
			return "", err
		}
	}
	return "sha256:" + name, nil
}

func (l *layout) file(name string, b []byte) error {
	if err := l.w.WriteHeader(&tar.Header{Name: name, Size: int64(len(b)), Mode: 0o644, ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	_, err := l.w.Write(b)
	return err
}

// layerOf files as a tar; directories come before what is in them.
func layerOf(entries []entry) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	dirs := map[string]bool{".": true}
	var mkdir func(string) error
	mkdir = func(d string) error {
		if dirs[d] {
			return nil
		}
		dirs[d] = true
		if err := mkdir(filepath.Dir(d)); err != nil {
			return err
		}
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
	}
	for _, d := range []string{"tmp", "etc", "run", "var"} {
		if err := mkdir(d); err != nil {
			return nil, err
		}
	}
	for _, e := range entries {
		if err := mkdir(filepath.Dir(e.path)); err != nil {
			return nil, err
		}
		h := &tar.Header{Name: e.path, Mode: 0o755, ModTime: time.Unix(0, 0)}
		if e.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
			if err := w.WriteHeader(h); err != nil {
				return nil, err
			}
			continue
		}
		f, err := os.Open(e.from)
		if err != nil {
			return nil, err
		}
		st, err := f.Stat()
		if err == nil {
			h.Typeflag, h.Size = tar.TypeReg, st.Size()
			if err = w.WriteHeader(h); err == nil {
				_, err = io.Copy(w, f)
			}
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
