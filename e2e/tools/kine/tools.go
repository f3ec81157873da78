//go:build tools

// Package tools names the programs of this group, so that go.mod keeps them.
package tools

import (
	_ "github.com/k3s-io/kine"
)
