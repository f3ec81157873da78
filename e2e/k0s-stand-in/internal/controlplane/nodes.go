package controlplane

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"time"

	certificates "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// approveOneCSR of a kubelet's serving certificate: one per tick, which is why logs of the n-th worker work after n ticks.
func (c *Controller) approveOneCSR(ctx context.Context) {
	if !c.leader.is() {
		return
	}
	api := c.cluster.Typed.CertificatesV1().CertificateSigningRequests()
	l, err := api.List(ctx, metav1.ListOptions{FieldSelector: "spec.signerName=kubernetes.io/kubelet-serving"})
	if err != nil {
		return
	}
	for _, r := range l.Items {
		if slices.ContainsFunc(r.Status.Conditions, func(x certificates.CertificateSigningRequestCondition) bool {
			return x.Type == certificates.CertificateApproved || x.Type == certificates.CertificateDenied || x.Type == certificates.CertificateFailed
		}) {
			continue
		}
		if !slices.Contains(r.Spec.Groups, "system:nodes") {
			continue
		}
		r.Status.Conditions = append(r.Status.Conditions, certificates.CertificateSigningRequestCondition{Type: certificates.CertificateApproved,
			Status: corev1.ConditionTrue, Reason: "Autoapproved by K0s CSRApprover", Message: "This CSR was approved by K0s CSRApprover"})
		if _, err := api.UpdateApproval(ctx, r.Name, &r, metav1.UpdateOptions{}); err != nil {
			slog.Warn("cannot approve a CSR", "csr", r.Name, "err", err)
		}
		return
	}
}

// labelRoles gives nodes of controllers the role that kubectl prints.
func (c *Controller) labelRoles(ctx context.Context) {
	if !c.leader.is() {
		return
	}
	l, err := c.cluster.Typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "node.k0sproject.io/role=control-plane,!node-role.kubernetes.io/control-plane"})
	if err != nil {
		return
	}
	for _, n := range l.Items {
		_, err := c.cluster.Typed.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType,
			[]byte(`{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":"true"}}}`), metav1.PatchOptions{FieldManager: "k0s"})
		if err != nil {
			slog.Warn("cannot label a node", "node", n.Name, "err", err)
		}
	}
}

// reconcileEndpoints of default/kubernetes: the resolved addresses of externalAddress.
func (c *Controller) reconcileEndpoints(ctx context.Context) {
	if !c.leader.is() {
		return
	}
	lookup, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIPAddr(lookup, c.Config.ExternalHost())
	if err != nil {
		slog.Warn("cannot resolve externalAddress: the kubernetes Service stays without endpoints", "err", err)
		return
	}
	var want []corev1.EndpointAddress
	for _, ip := range ips {
		want = append(want, corev1.EndpointAddress{IP: ip.String()})
	}
	slices.SortFunc(want, func(a, b corev1.EndpointAddress) int {
		if a.IP < b.IP {
			return -1
		}
		return 1
	})
	api := c.cluster.Typed.CoreV1().Endpoints("default")
	subsets := []corev1.EndpointSubset{{Addresses: want, Ports: []corev1.EndpointPort{{Name: "https", Protocol: corev1.ProtocolTCP, Port: int32(c.Config.ExternalPort())}}}}
	e, err := api.Get(ctx, "kubernetes", getOptions)
	switch {
	case apierrors.IsNotFound(err):
		_, err = api.Create(ctx, &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Subsets: subsets}, metav1.CreateOptions{FieldManager: "k0s"})
	case err == nil:
		if len(e.Subsets) == 1 && slices.Equal(e.Subsets[0].Addresses, want) && slices.Equal(e.Subsets[0].Ports, subsets[0].Ports) {
			return
		}
		e.Subsets = subsets
		_, err = api.Update(ctx, e, metav1.UpdateOptions{FieldManager: "k0s"})
	}
	if err != nil && ctx.Err() == nil {
		slog.Warn("cannot write the endpoints of the kubernetes Service", "err", err)
	}
}

func (c *Controller) ensureNamespace(ctx context.Context, name string) {
	for ctx.Err() == nil {
		_, err := c.cluster.Typed.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{FieldManager: "k0s"})
		if err == nil || apierrors.IsAlreadyExists(err) {
			return
		}
		wait(ctx, time.Second)
	}
}
