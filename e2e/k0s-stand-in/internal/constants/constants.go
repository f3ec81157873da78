// Package constants holds the paths and times of k0s that more than one package needs.
package constants

import "time"

// Paths.
const (
	DataDir       = "/var/lib/k0s"
	ConfigFile    = "/etc/k0s/k0s.yaml"
	ContainerdEtc = "/etc/k0s/containerd.toml"
)

// Times that genuine k0s uses.
const (
	LeaseDuration   = 60 * time.Second
	RenewDeadline   = 15 * time.Second
	RetryPeriod     = 5 * time.Second
	ReadyTimeout    = 2 * time.Minute // a component that is not ready then ends k0s
	RestartDelay    = 5 * time.Second // of a child
	Tick            = 10 * time.Second
	Yield           = 30 * time.Second
	DeadMember      = 5 * time.Minute
	WorkerConfigTry = 4 * time.Minute
)
