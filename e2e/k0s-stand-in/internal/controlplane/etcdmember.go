package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/constants"
	"k0smotron.io/e2e/k0s-stand-in/internal/etcd"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var etcdMembers = schema.GroupVersionResource{Group: "etcd.k0sproject.io", Version: "v1beta1", Resource: "etcdmembers"}

const (
	labelOnLeave  = "k0s.k0sproject.io/shutdown-on-leave"
	labelLease    = "k0s.k0sproject.io/controller-lease"
	labelShutdown = "k0s.k0sproject.io/shutdown"
)

// keepEtcdMember writes this controller's own object and obeys the label that asks it to stop.
func (c *Controller) keepEtcdMember(ctx context.Context) {
	if !c.Version.Has(version.EtcdMembers) {
		return
	}
	name := strings.ToLower(c.memberName())
	for {
		err := c.announceMember(ctx, name)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		slog.Debug("cannot write the EtcdMember yet", "err", err)
		wait(ctx, time.Second)
	}
	if c.Version.Level() < version.L2 {
		return
	}
	api := c.cluster.Dynamic.Resource(etcdMembers)
	for ctx.Err() == nil {
		w, err := api.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err != nil {
			wait(ctx, time.Second)
			continue
		}
		for e := range w.ResultChan() {
			o, ok := e.Object.(*unstructured.Unstructured)
			if ok && o.GetLabels()[labelShutdown] == c.Invocation {
				w.Stop()
				c.leaveAndIdle(ctx)
				return
			}
		}
		w.Stop()
	}
}

func (c *Controller) announceMember(ctx context.Context, name string) error {
	var me *etcd.Member
	err := etcd.With(c.etcdTLS(), func(cl *clientv3.Client) error {
		all, err := etcd.Members(ctx, cl)
		if err != nil {
			return err
		}
		for _, m := range all {
			if m.PeerURL == c.peerURL() {
				me = &m
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if me == nil {
		return errors.New("no member has our peer address " + c.peerURL())
	}
	labels := map[string]any{labelShutdown: nil}
	if c.Version.Has(version.ShutdownLabel) {
		labels[labelOnLeave] = c.Invocation
	}
	if c.Version.Has(version.LeaseLabel) {
		labels[labelLease] = c.ctrlLease()
	}
	api := c.cluster.Dynamic.Resource(etcdMembers)
	o, err := api.Get(ctx, name, getOptions)
	if err != nil {
		created := map[string]any{}
		for k, v := range labels {
			if v != nil {
				created[k] = v
			}
		}
		o, err = api.Create(ctx, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "etcd.k0sproject.io/v1beta1", "kind": "EtcdMember",
			"metadata": map[string]any{"name": name, "labels": created}, "spec": map[string]any{"leave": false}}}, metav1.CreateOptions{FieldManager: "k0s"})
	} else {
		b, _ := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"leave": false}})
		o, err = api.Patch(ctx, name, types.MergePatchType, b, metav1.PatchOptions{FieldManager: "k0s"})
	}
	if err != nil {
		return err
	}
	return c.setMemberStatus(ctx, o, "Success", "", joined("True", "Member joined"), map[string]any{"peerAddress": me.Address(), "memberID": me.Hex()})
}

func joined(status, message string) map[string]any {
	return map[string]any{"type": "Joined", "status": status, "message": message}
}

// setMemberStatus writes what changed, and the time of a transition.
func (c *Controller) setMemberStatus(ctx context.Context, o *unstructured.Unstructured, reconcile, message string, condition, more map[string]any) error {
	status, _, _ := unstructured.NestedMap(o.Object, "status")
	if status == nil {
		status = map[string]any{}
	}
	before, _ := json.Marshal(status)
	status["reconcileStatus"], status["message"] = reconcile, message
	for k, v := range more {
		status[k] = v
	}
	if condition != nil {
		condition["lastTransitionTime"] = time.Now().UTC().Format(time.RFC3339)
		if old, ok := joinedOf(o); ok && old["status"] == condition["status"] {
			condition["lastTransitionTime"] = old["lastTransitionTime"]
		}
		status["conditions"] = []any{condition}
	}
	after, _ := json.Marshal(status)
	if string(before) == string(after) {
		return nil
	}
	b, _ := json.Marshal(map[string]any{"status": status})
	_, err := c.cluster.Dynamic.Resource(etcdMembers).Patch(ctx, o.GetName(), types.MergePatchType, b, metav1.PatchOptions{FieldManager: "k0s"}, "status")
	return err
}

func joinedOf(o *unstructured.Unstructured) (map[string]any, bool) {
	l, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, i := range l {
		if m, ok := i.(map[string]any); ok && m["type"] == "Joined" {
			return m, true
		}
	}
	return nil, false
}

// leaveAndIdle is the target's part: on L3 it removes itself first, on L2 it stops while still a member.
func (c *Controller) leaveAndIdle(ctx context.Context) {
	slog.Info("asked to leave the etcd cluster")
	if c.Version.Level() >= version.L3 {
		// About a minute; then etcd stops all the same and the leader's five minutes begin.
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		err := etcd.With(c.etcdTLS(), func(cl *clientv3.Client) error {
			all, err := etcd.Members(limited, cl)
			if err != nil {
				return err
			}
			for _, m := range all {
				if m.PeerURL == c.peerURL() {
					c.releaseOwnLease(limited)
					return etcd.Remove(limited, cl, m.ID)
				}
			}
			return nil
		})
		cancel()
		if err != nil {
			slog.Error("cannot remove this member from etcd", "err", err)
		}
	}
	close(c.idle)
}

// releaseOwnLease while our API still answers: without our member it does not.
func (c *Controller) releaseOwnLease(ctx context.Context) {
	released := make(chan struct{})
	go func() { c.leases.release(); close(released) }()
	select {
	case <-ctx.Done():
	case <-released:
	}
}

// leadEtcdMembers is the leader's part, each tick and on change.
func (c *Controller) leadEtcdMembers(ctx context.Context) {
	changed := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			w, err := c.cluster.Dynamic.Resource(etcdMembers).Watch(ctx, metav1.ListOptions{})
			if err != nil {
				wait(ctx, time.Second)
				continue
			}
			for range w.ResultChan() {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		}
	}()
	go every(ctx, constants.Tick, nil, func() {
		if c.leader.is() && c.Version.Has(version.LearnerJoin) {
			if err := etcd.With(c.etcdTLS(), func(cl *clientv3.Client) error { return etcd.PromoteOne(ctx, cl) }); err != nil && ctx.Err() == nil {
				slog.Info("cannot promote a learner yet", "err", err)
			}
		}
	})
	if !c.Version.Has(version.EtcdMembers) {
		return
	}
	every(ctx, constants.Tick, changed, func() {
		if !c.leader.is() {
			return
		}
		l, err := c.cluster.Dynamic.Resource(etcdMembers).List(ctx, metav1.ListOptions{})
		if err != nil {
			return
		}
		for i := range l.Items {
			c.reconcileMember(ctx, &l.Items[i])
		}
	})
}
