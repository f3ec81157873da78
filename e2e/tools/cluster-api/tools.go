//go:build tools

// Package tools names the programs of this group, so that go.mod keeps them.
package tools

import (
	_ "sigs.k8s.io/cluster-api/cmd/clusterctl"
	_ "sigs.k8s.io/cluster-api/core"
)
