package controlplane

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/constants"

	coordination "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const leaseNamespace = "kube-node-lease"

// leader tells whether this process leads, and lets it yield.
type leader struct {
	leads   atomic.Bool
	yielded chan struct{} // asks the holder to step back
	always  bool
}

func (l *leader) is() bool { return l.always || l.leads.Load() }

// yield the leader's lease for a while; false if there is nobody to yield to.
func (l *leader) yield() bool {
	if l.always || !l.leads.Load() {
		return false
	}
	select {
	case l.yielded <- struct{}{}:
	default:
	}
	return true
}

type leases struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// release all leases, once: holder empty, duration one second.
func (l *leases) release() {
	l.cancel()
	l.wg.Wait()
}

func (c *Controller) ctrlLease() string { return "k0s-ctrl-" + c.NodeName }

func (c *Controller) startLeases(ctx context.Context) *leases {
	// Their own context: a stop of everything else must not hinder the release.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &leases{cancel: cancel}
	c.leader = &leader{yielded: make(chan struct{}, 1), always: !c.elects()}
	c.workerConfigLeader = &leader{yielded: make(chan struct{}, 1), always: !c.elects()}
	if !c.elects() {
		return l
	}
	l.wg.Go(func() { c.hold(own, leaseNamespace, c.ctrlLease(), nil) })
	l.wg.Go(func() { c.hold(own, leaseNamespace, "k0s-endpoint-reconciler", c.leader) })
	l.wg.Go(func() {
		c.hold(own, leaseNamespace, "k0s-worker-config-"+c.Version.MinorName(), c.workerConfigLeader)
	})
	if !c.disabled("autopilot") {
		l.wg.Go(func() {
			c.ensureNamespace(own, "k0s-autopilot")
			c.hold(own, "k0s-autopilot", "k0s-autopilot-controller", &leader{yielded: make(chan struct{}, 1)})
		})
	}
	return l
}

// hold a lease, for ever trying; state follows.
func (c *Controller) hold(ctx context.Context, namespace, name string, state *leader) {
	for ctx.Err() == nil {
		term, step := context.WithCancel(ctx)
		yielding := false
		if state != nil {
			go func() {
				select {
				case <-term.Done():
				case <-state.yielded:
					yielding = true
					step()
				}
			}()
		}
		lock := &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Client: c.cluster.Typed.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: c.Invocation}}
		e, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: constants.LeaseDuration, RenewDeadline: constants.RenewDeadline, RetryPeriod: constants.RetryPeriod,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) {
					if state != nil {
						state.leads.Store(true)
						slog.Info("acquired a lease", "lease", name)
						c.wake()
					}
				},
				OnStoppedLeading: func() {
					if state != nil && state.leads.Swap(false) {
						slog.Info("lost a lease", "lease", name)
					}
				},
			},
		})
		if err != nil {
			slog.Error("cannot elect", "lease", name, "err", err)
			step()
			return
		}
		e.Run(term)
		step()
		wait := time.Second
		if yielding {
			wait = constants.Yield
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// fresh: somebody holds it and it has not run out.
func fresh(l *coordination.Lease, now time.Time) bool {
	return l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity != "" && l.Spec.RenewTime != nil && l.Spec.LeaseDurationSeconds != nil &&
		now.Before(l.Spec.RenewTime.Add(time.Duration(*l.Spec.LeaseDurationSeconds)*time.Second))
}

// freshControllers are the leases of controllers that run.
func (c *Controller) freshControllers(ctx context.Context) ([]coordination.Lease, error) {
	l, err := c.cluster.Typed.CoordinationV1().Leases(leaseNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var out []coordination.Lease
	for _, i := range l.Items {
		if strings.HasPrefix(i.Name, "k0s-ctrl-") && fresh(&i, time.Now()) {
			out = append(out, i)
		}
	}
	return out, nil
}
