package config

import (
	"sort"
	"strings"
)

// The images the stand-in's system components run. Names follow genuine k0s where its bundle has them;
// the versions are those of the tools that e2e/tools builds.
var defaults = map[string]Image{
	"konnectivity": {"quay.io/k0sproject/apiserver-network-proxy-agent", "v0.36.0"},
	"kubeproxy":    {"quay.io/k0sproject/kube-proxy", "v1.36.3"},
	"coredns":      {"quay.io/k0sproject/coredns", "1.15.0"},
	"pause":        {"quay.io/k0sproject/pause", "3.10.1"},
	"kuberouter":   {"quay.io/k0sproject/kube-router", "v2.6.1-standin"},
}

func (i *Images) fill() {
	i.Konnectivity = i.one(i.Konnectivity, "konnectivity")
	i.KubeProxy = i.one(i.KubeProxy, "kubeproxy")
	i.CoreDNS = i.one(i.CoreDNS, "coredns")
	i.Pause = i.one(i.Pause, "pause")
	if i.KubeRouter == nil {
		i.KubeRouter = map[string]*Image{}
	}
	i.KubeRouter["cni"] = i.one(i.KubeRouter["cni"], "kuberouter")
}

func (i *Images) one(given *Image, name string) *Image {
	d := defaults[name]
	out := Image{}
	if given != nil {
		out = *given
	}
	if out.Image == "" {
		out.Image = d.Image
		if i.Repository != "" {
			_, path, _ := strings.Cut(d.Image, "/")
			out.Image = i.Repository + "/" + path
		}
	}
	out.Version = or(out.Version, d.Version)
	return &out
}

// URI is what a container runtime pulls.
func (i *Image) URI() string {
	if strings.HasPrefix(i.Version, "sha256:") {
		return i.Image + "@" + i.Version
	}
	return i.Image + ":" + i.Version
}

// DefaultImages lists what the bundle must carry, by part name.
func DefaultImages() map[string]string {
	out := map[string]string{}
	for k, v := range defaults {
		out[k] = v.URI()
	}
	return out
}

// List of the images that an effective configuration uses, sorted.
func (c *ClusterConfig) List() []string {
	i := c.Spec.Images
	out := []string{i.Konnectivity.URI(), i.KubeProxy.URI(), i.CoreDNS.URI(), i.Pause.URI(), i.KubeRouter["cni"].URI()}
	sort.Strings(out)
	return out
}
