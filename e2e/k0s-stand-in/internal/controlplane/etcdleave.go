package controlplane

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/constants"
	"k0smotron.io/e2e/k0s-stand-in/internal/etcd"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// reconcileMember moves one member's wish to leave on by one step. The messages are those of k0s.
func (c *Controller) reconcileMember(ctx context.Context, o *unstructured.Unstructured) {
	leave, _, _ := unstructured.NestedBool(o.Object, "spec", "leave")
	if !leave {
		return
	}
	if j, ok := joinedOf(o); ok && j["status"] == "False" {
		return
	}
	say := func(reconcile, message string) {
		if err := c.setMemberStatus(ctx, o, reconcile, message, nil, nil); err != nil && ctx.Err() == nil {
			slog.Warn("cannot write an EtcdMember's status", "member", o.GetName(), "err", err)
		}
	}
	if forced := os.Getenv("K0S_STANDIN_LEAVE"); forced != "" {
		say("Failed", forced) // a refusal that a test asks for
		return
	}
	members, err := c.members(ctx)
	if err != nil {
		say("Failed", "Failed to get member list: "+err.Error())
		return
	}
	level := c.Version.Level()
	m, found := find(members, o, level)
	if !found {
		message := ""
		if level >= version.L3 {
			message = "No such member ID"
		}
		c.left(ctx, o, message)
		return
	}
	if level == version.L1 || o.GetLabels()[labelOnLeave] == "" {
		c.remove(ctx, o, m, say)
		return
	}
	c.leaveByLease(ctx, o, m, say)
}

// leaveByLease asks a living member to stop and removes a dead one.
func (c *Controller) leaveByLease(ctx context.Context, o *unstructured.Unstructured, m etcd.Member, say func(string, string)) {
	level := c.Version.Level()
	name := o.GetLabels()[labelLease]
	if name == "" {
		name = "k0s-ctrl-" + o.GetName()
	}
	lease, err := c.cluster.Typed.CoordinationV1().Leases(leaseNamespace).Get(ctx, name, getOptions)
	if apierrors.IsNotFound(err) {
		say("Failed", "No k0s controller lease found")
		return
	}
	if err != nil {
		say("Failed", "Failed to get controller lease: "+err.Error())
		return
	}
	if fresh(lease, time.Now()) {
		alive, err := c.freshControllers(ctx)
		if err != nil {
			say("Failed", "Failed to list controller leases: "+err.Error())
			return
		}
		if len(alive) < 2 {
			say("Failed", "The only active controller cannot leave the etcd cluster; join another controller first")
			return
		}
		holder := *lease.Spec.HolderIdentity
		if holder == c.Invocation {
			if !c.leader.yield() {
				say("Failed", "Requested to leave the etcd cluster, but cannot yield the lease")
				return
			}
			say("", "Waiting for another controller to take over")
			return
		}
		if level >= version.L3 && holder != o.GetLabels()[labelOnLeave] {
			say("Failed", "Unexpected lease holder")
			return
		}
		if o.GetLabels()[labelShutdown] != holder {
			b, _ := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{labelShutdown: holder}}})
			if _, err := c.cluster.Dynamic.Resource(etcdMembers).Patch(ctx, o.GetName(), types.MergePatchType, b, metav1.PatchOptions{FieldManager: "k0s"}); err != nil {
				say("Failed", "Failed to request shutdown: "+err.Error())
				return
			}
		}
		say("", "Member is still active; waiting for it to shutdown")
		return
	}
	if level >= version.L3 && lease.Spec.RenewTime != nil && time.Since(lease.Spec.RenewTime.Time) < constants.DeadMember {
		say("", "Member is offline; waiting for it to leave")
		return
	}
	c.remove(ctx, o, m, say)
}

func (c *Controller) remove(ctx context.Context, o *unstructured.Unstructured, m etcd.Member, say func(string, string)) {
	err := etcd.With(c.etcdTLS(), func(cl *clientv3.Client) error { return etcd.Remove(ctx, cl, m.ID) })
	if err != nil {
		say("Failed", "Failed to delete member from cluster: "+err.Error())
		return
	}
	c.left(ctx, o, "Member removed from cluster")
}

func (c *Controller) left(ctx context.Context, o *unstructured.Unstructured, message string) {
	if err := c.setMemberStatus(ctx, o, "Success", message, joined("False", message), nil); err != nil {
		slog.Warn("cannot write an EtcdMember's status", "member", o.GetName(), "err", err)
	}
}

func (c *Controller) members(ctx context.Context) ([]etcd.Member, error) {
	var out []etcd.Member
	err := etcd.With(c.etcdTLS(), func(cl *clientv3.Client) error {
		var err error
		out, err = etcd.Members(ctx, cl)
		return err
	})
	return out, err
}

// find the member of an object: up to L2 by name, afterwards by its recorded id.
func find(members []etcd.Member, o *unstructured.Unstructured, level version.LeaveLevel) (etcd.Member, bool) {
	id, _, _ := unstructured.NestedString(o.Object, "status", "memberID")
	for _, m := range members {
		if level >= version.L3 && id != "" {
			if strings.EqualFold(m.Hex(), id) {
				return m, true
			}
		} else if m.Name == o.GetName() {
			return m, true
		}
	}
	return etcd.Member{}, false
}
