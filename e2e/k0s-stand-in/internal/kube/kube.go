// Package kube speaks to the cluster's API: clients, server-side apply, labelled stacks.
package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// StackLabel names the stack that an object belongs to.
const StackLabel = "k0s.k0sproject.io/stack"

// Manager is our field manager.
const Manager = "k0s"

// Cluster bundles the clients of one API server.
type Cluster struct {
	Config  *rest.Config
	Typed   kubernetes.Interface
	Dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	mu      sync.Mutex
}

// FromFile opens a kubeconfig.
func FromFile(path string) (*Cluster, error) {
	c, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, err
	}
	return From(c)
}

// From a client configuration.
func From(c *rest.Config) (*Cluster, error) {
	c.QPS, c.Burst = 100, 200
	c.WarningHandler = rest.NoWarnings{}
	typed, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, err
	}
	dyn, err := dynamic.NewForConfig(c)
	if err != nil {
		return nil, err
	}
	return &Cluster{Config: c, Typed: typed, Dynamic: dyn, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(typed.Discovery()))}, nil
}

// Resource gives the client for an object's kind.
func (c *Cluster) Resource(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := o.GroupVersionKind()
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		m, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if err != nil {
		return nil, err
	}
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		ns := o.GetNamespace()
		if ns == "" {
			ns = metav1.NamespaceDefault
		}
		return c.Dynamic.Resource(m.Resource).Namespace(ns), nil
	}
	return c.Dynamic.Resource(m.Resource), nil
}

// Apply server-side.
func (c *Cluster) Apply(ctx context.Context, o *unstructured.Unstructured) error {
	r, err := c.Resource(o)
	if err != nil {
		return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
	}
	b, err := json.Marshal(o.Object)
	if err != nil {
		return err
	}
	force := true
	if _, err := r.Patch(ctx, o.GetName(), types.ApplyPatchType, b, metav1.PatchOptions{FieldManager: Manager, Force: &force}); err != nil {
		return fmt.Errorf("%s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
	}
	return nil
}

// Parse YAML documents into objects; lists are taken apart.
func Parse(raw []byte) ([]*unstructured.Unstructured, error) {
	d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096)
	var out []*unstructured.Unstructured
	for {
		o := map[string]any{}
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(o) == 0 {
			continue
		}
		u := &unstructured.Unstructured{Object: o}
		if u.GetKind() == "" || u.GetAPIVersion() == "" {
			return nil, errors.New("object without apiVersion or kind")
		}
		if u.IsList() {
			if err := u.EachListItem(func(i rtObject) error { out = append(out, i.(*unstructured.Unstructured)); return nil }); err != nil {
				return nil, err
			}
			continue
		}
		out = append(out, u)
	}
}

// ApplyStack labels and applies; definitions and namespaces first, so that what needs them finds them.
func (c *Cluster) ApplyStack(ctx context.Context, stack string, objects []*unstructured.Unstructured) error {
	var failed error
	for _, early := range []bool{true, false} {
		for _, o := range objects {
			if isEarly(o) != early {
				continue
			}
			l := o.GetLabels()
			if l == nil {
				l = map[string]string{}
			}
			l[StackLabel] = stack
			o.SetLabels(l)
			failed = errors.Join(failed, c.Apply(ctx, o))
		}
	}
	return failed
}

func isEarly(o *unstructured.Unstructured) bool {
	return o.GetKind() == "CustomResourceDefinition" || o.GetKind() == "Namespace"
}

// Prune deletes what carries the stack's label and is not among keep.
func (c *Cluster) Prune(ctx context.Context, stack string, keep []*unstructured.Unstructured) error {
	wanted := map[string]bool{}
	for _, o := range keep {
		wanted[id(o)] = true
	}
	lists, err := c.Typed.Discovery().ServerPreferredResources()
	if lists == nil && err != nil {
		return err
	}
	var failed error
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range l.APIResources {
			if !has(r.Verbs, "list") || !has(r.Verbs, "delete") || r.Kind == "Event" || r.Name == "endpointslices" || r.Name == "endpoints" {
				continue
			}
			res := c.Dynamic.Resource(gv.WithResource(r.Name))
			found, err := res.List(ctx, metav1.ListOptions{LabelSelector: StackLabel + "=" + stack})
			if err != nil {
				continue
			}
			for i := range found.Items {
				o := &found.Items[i]
				if o.GetKind() == "" {
					o.SetKind(r.Kind)
				}
				if wanted[id(o)] || len(o.GetOwnerReferences()) > 0 {
					continue
				}
				err := res.Namespace(o.GetNamespace()).Delete(ctx, o.GetName(), metav1.DeleteOptions{})
				if err != nil && !apierrors.IsNotFound(err) {
					failed = errors.Join(failed, err)
				}
			}
		}
	}
	return failed
}

func id(o *unstructured.Unstructured) string {
	ns := o.GetNamespace()
	if ns == "default" {
		ns = ""
	}
	return o.GroupVersionKind().Group + "/" + o.GetKind() + "/" + ns + "/" + o.GetName()
}

func has(verbs []string, v string) bool {
	for _, x := range verbs {
		if x == v {
			return true
		}
	}
	return false
}
