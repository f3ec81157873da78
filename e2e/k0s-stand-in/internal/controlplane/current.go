package controlplane

import (
	"sync"

	"k0smotron.io/e2e/k0s-stand-in/internal/config"
)

// current is the effective configuration of now; dynamic configuration changes it.
type current struct {
	mu sync.RWMutex
	c  *config.ClusterConfig
}

func newCurrent(c *config.ClusterConfig) *current { return &current{c: c} }

func (c *current) get() *config.ClusterConfig {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.c
}

func (c *current) set(n *config.ClusterConfig) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.c = n
}
