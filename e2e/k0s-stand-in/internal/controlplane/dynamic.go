package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

var clusterConfigs = schema.GroupVersionResource{Group: "k0s.k0sproject.io", Version: "v1beta1", Resource: "clusterconfigs"}
var getOptions = metav1.GetOptions{}

// followClusterConfig creates the object once, and makes what it says effective.
func (c *Controller) followClusterConfig(ctx context.Context) {
	api := c.cluster.Dynamic.Resource(clusterConfigs).Namespace("kube-system")
	last := ""
	for ctx.Err() == nil {
		o, err := api.Get(ctx, "k0s", getOptions)
		if apierrors.IsNotFound(err) && c.leader.is() {
			push := c.File.Push()
			push["apiVersion"], push["kind"] = "k0s.k0sproject.io/v1beta1", "ClusterConfig"
			if push["spec"] == nil {
				push["spec"] = map[string]any{}
			}
			o, err = api.Create(ctx, &unstructured.Unstructured{Object: push}, metav1.CreateOptions{FieldManager: "k0s"})
		}
		if err != nil {
			wait(ctx, time.Second) // the definition, the leader or the API is not there yet
			continue
		}
		last = c.useClusterConfig(ctx, o, last)
		w, err := api.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=k0s", ResourceVersion: o.GetResourceVersion()})
		if err != nil {
			wait(ctx, time.Second)
			continue
		}
		retry := time.After(time.Hour)
	events:
		for {
			select {
			case <-ctx.Done():
				w.Stop()
				return
			case <-retry:
				break events
			case e, ok := <-w.ResultChan():
				if !ok || e.Type == watch.Error || e.Type == watch.Deleted {
					break events
				}
				if u, isObject := e.Object.(*unstructured.Unstructured); isObject {
					last = c.useClusterConfig(ctx, u, last)
				}
			}
		}
		w.Stop()
	}
}

// useClusterConfig returns the generation it has dealt with.
func (c *Controller) useClusterConfig(ctx context.Context, o *unstructured.Unstructured, last string) string {
	generation := fmt.Sprintf("%s/%d", o.GetUID(), o.GetGeneration())
	if generation == last {
		return last
	}
	merged, err := c.File.Merge(o.DeepCopy().Object)
	if err == nil {
		merged, err = merged.Effective(c.DataDir, c.Single, c.Version)
	}
	if err == nil {
		err = merged.Validate(c.Single, c.Version)
	}
	if err == nil {
		c.current.set(merged)
		c.wake()
		c.applyWorkerConfigsSoon(ctx)
		if e := c.startControllerManager(); e != nil {
			err = e
		}
		if e := c.startScheduler(); e != nil {
			err = e
		}
	}
	if c.leader.is() {
		c.configEvent(ctx, o, err)
	}
	if err != nil {
		slog.Error("cannot use the cluster configuration", "err", err)
	}
	return generation
}

func (c *Controller) applyWorkerConfigsSoon(ctx context.Context) {
	c.profilesMu.Lock()
	defer c.profilesMu.Unlock()
	c.applyWorkerConfigs(ctx)
}

func (c *Controller) configEvent(ctx context.Context, o *unstructured.Unstructured, failure error) {
	reason, message, kind := "SuccessfulReconcile", "Succesfully reconciler cluster config", corev1.EventTypeNormal
	if failure != nil {
		reason, message, kind = "FailedReconciling", failure.Error(), corev1.EventTypeWarning
	}
	now := metav1.Now()
	host := c.NodeName
	e := &corev1.Event{ObjectMeta: metav1.ObjectMeta{GenerateName: "k0s.", Namespace: "kube-system"},
		InvolvedObject: corev1.ObjectReference{APIVersion: "k0s.k0sproject.io/v1beta1", Kind: "ClusterConfig", Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion()},
		Reason:         reason, Message: message, Type: kind, FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: "k0s-controller", Host: host}, ReportingController: "k0s-controller", ReportingInstance: host}
	if _, err := c.cluster.Typed.CoreV1().Events("kube-system").Create(ctx, e, metav1.CreateOptions{}); err != nil {
		slog.Warn("cannot write an event", "err", err)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
