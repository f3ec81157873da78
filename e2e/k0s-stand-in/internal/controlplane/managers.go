package controlplane

import (
	"strings"

	"k0smotron.io/e2e/k0s-stand-in/internal/shellwords"
)

func (c *Controller) startControllerManager() error {
	if c.disabled("kube-controller-manager") {
		return nil
	}
	s := c.current.get().Spec
	ours := map[string]string{
		"allocate-node-cidrs":              "true",
		"authentication-kubeconfig":        c.pki("ccm.conf"),
		"authorization-kubeconfig":         c.pki("ccm.conf"),
		"kubeconfig":                       c.pki("ccm.conf"),
		"bind-address":                     "127.0.0.1",
		"client-ca-file":                   c.pki("ca.crt"),
		"cluster-cidr":                     c.Config.PodCIDRs(),
		"cluster-name":                     "k0s",
		"cluster-signing-cert-file":        c.pki("ca.crt"),
		"cluster-signing-key-file":         c.pki("ca.key"),
		"controllers":                      "*,bootstrapsigner,tokencleaner",
		"enable-hostpath-provisioner":      "true",
		"leader-elect":                     map[bool]string{true: "false", false: "true"}[c.Single],
		"profiling":                        "false",
		"requestheader-client-ca-file":     c.pki("front-proxy-ca.crt"),
		"root-ca-file":                     c.pki("ca.crt"),
		"service-account-private-key-file": c.pki("sa.key"),
		"service-cluster-ip-range":         c.Config.ServiceCIDRs(),
		"terminated-pod-gc-threshold":      "12500",
		"use-service-account-credentials":  "true",
		"v":                                c.level("kube-controller-manager"),
	}
	if g := c.featureGates("kube-controller-manager"); g != "" {
		ours["feature-gates"] = g
	}
	extra := map[string]string{}
	for k, v := range s.ControllerManager.ExtraArgs {
		extra[k] = v
	}
	words, err := shellwords.Split(c.ExtraKCMArgs)
	if err != nil {
		return err
	}
	for _, w := range words {
		k, v, _ := strings.Cut(strings.TrimLeft(w, "-"), "=")
		extra[k] = v
	}
	if ours["leader-elect"] == "true" && !c.elects() {
		ours["leader-elect"] = "false" // nobody to share with: the first lease of a restarted pod costs 15 s
	}
	return c.replace("kube-controller-manager", c.Config.Spec.InstallConfig.Users.KubeAPIserverUser, merge(ours, extra, s.ControllerManager.RawArgs))
}

func (c *Controller) startScheduler() error {
	if c.disabled("kube-scheduler") {
		return nil
	}
	s := c.current.get().Spec
	ours := map[string]string{
		"authentication-kubeconfig": c.pki("scheduler.conf"),
		"authorization-kubeconfig":  c.pki("scheduler.conf"),
		"kubeconfig":                c.pki("scheduler.conf"),
		"bind-address":              "127.0.0.1",
		"leader-elect":              "true",
		"profiling":                 "false",
		"v":                         c.level("kube-scheduler"),
	}
	if !c.elects() {
		ours["leader-elect"] = "false"
	}
	if g := c.featureGates("kube-scheduler"); g != "" {
		ours["feature-gates"] = g
	}
	return c.replace("kube-scheduler", c.Config.Spec.InstallConfig.Users.KubeSchedulerUser, merge(ours, s.Scheduler.ExtraArgs, s.Scheduler.RawArgs))
}

// replace starts a component, or restarts it when its arguments changed.
func (c *Controller) replace(name, user string, args []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.children {
		if ch.Name == name {
			if strings.Join(ch.Args, "\x00") == strings.Join(args, "\x00") {
				return nil
			}
			return ch.Restart(args)
		}
	}
	ch, err := c.child(name, user, args)
	if err != nil {
		return err
	}
	if err := ch.Start(); err != nil {
		return err
	}
	c.children = append(c.children, ch)
	return nil
}
