//go:build tools

// Package tools names the programs of this group, so that go.mod keeps them.
package tools

import (
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
