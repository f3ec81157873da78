package controlplane

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/config"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var controlNodes = schema.GroupVersionResource{Group: "autopilot.k0sproject.io", Version: "v1beta2", Resource: "controlnodes"}

// keepControlNode writes this controller's object; nobody deletes it.
func (c *Controller) keepControlNode(ctx context.Context) {
	name := strings.ToLower(os.Getenv("AUTOPILOT_HOSTNAME"))
	if name == "" {
		name = config.Hostname()
	}
	label, mode := name, "controller"
	if c.EnableWorker {
		label, mode = c.NodeName, "controller+worker"
	}
	o := map[string]any{"apiVersion": "autopilot.k0sproject.io/v1beta2", "kind": "ControlNode", "metadata": map[string]any{
		"name":        name,
		"labels":      map[string]any{"kubernetes.io/hostname": label, "kubernetes.io/os": "linux", "kubernetes.io/arch": runtime.GOARCH},
		"annotations": map[string]any{"autopilot.k0sproject.io/mode": mode}}}
	status := map[string]any{"k0sVersion": c.Version.String(), "addresses": []any{
		map[string]any{"type": "InternalIP", "address": c.Config.Spec.API.Address}, map[string]any{"type": "Hostname", "address": name}}}
	for ctx.Err() == nil {
		err := c.cluster.Apply(ctx, &unstructured.Unstructured{Object: o})
		if err == nil {
			withStatus := &unstructured.Unstructured{Object: map[string]any{"apiVersion": o["apiVersion"], "kind": o["kind"], "metadata": map[string]any{"name": name}, "status": status}}
			if _, err = c.cluster.Dynamic.Resource(controlNodes).ApplyStatus(ctx, name, withStatus, metav1.ApplyOptions{FieldManager: "k0s", Force: true}); err == nil {
				return
			}
		}
		slog.Debug("cannot write the ControlNode yet", "err", err)
		wait(ctx, time.Second)
	}
}
