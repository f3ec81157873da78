package controlplane

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/kube"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Names that k0s keeps for itself.
var reserved = []string{"autopilot", "api-config", "etcd-member", "helm", "bootstraprbac", "windows"}

// followManifests applies each direct sub-folder of <data>/manifests as a stack, about a second after a change.
func (c *Controller) followManifests(ctx context.Context) {
	root := filepath.Join(c.DataDir, "manifests")
	if err := os.MkdirAll(root, 0o755); err != nil {
		slog.Error("cannot make the manifests folder", "err", err)
		return
	}
	applied := map[string]string{}
	pending := map[string]string{}
	every(ctx, time.Second, nil, func() {
		if !c.leader.is() {
			clear(applied) // the next term applies our folder anew
			return
		}
		now := readStacks(root)
		for name := range applied {
			if _, still := now[name]; !still {
				now[name] = ""
			}
		}
		for name, text := range now {
			if before, was := applied[name]; was && before == text {
				continue
			}
			if last, seen := pending[name]; !seen || last != text {
				pending[name] = text // a half-written file is not applied
				continue
			}
			if c.applyFolder(ctx, name, text) {
				applied[name] = text
				delete(pending, name)
				if text == "" {
					delete(applied, name)
				}
			}
		}
	})
}

func (c *Controller) applyFolder(ctx context.Context, name, text string) bool {
	var objects []*unstructured.Unstructured
	objects, err := kube.Parse([]byte(text))
	if err == nil {
		if err = c.cluster.ApplyStack(ctx, name, objects); err == nil {
			err = c.cluster.Prune(ctx, name, objects)
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			slog.Warn("cannot apply a folder of manifests yet", "stack", name, "err", err)
		}
		return false
	}
	slog.Info("applied a folder of manifests", "stack", name, "objects", len(objects))
	return true
}

func readStacks(root string) map[string]string {
	out := map[string]string{}
	dirs, err := os.ReadDir(root)
	if err != nil {
		return out
	}
	for _, d := range dirs {
		st, err := os.Stat(filepath.Join(root, d.Name())) // a mounted volume may be a link
		if err != nil || !st.IsDir() || slices.Contains(reserved, d.Name()) {
			continue
		}
		files, _ := filepath.Glob(filepath.Join(root, d.Name(), "*.yaml"))
		slices.Sort(files)
		var text strings.Builder
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				continue
			}
			text.Write(b)
			text.WriteString("\n---\n")
		}
		if text.Len() > 0 {
			out[d.Name()] = text.String()
		}
	}
	return out
}
