//go:build tools

// Package tools names a package of the module, so that go.mod keeps it; only the module's folder deploy/crds is used.
package tools

import (
	_ "github.com/cert-manager/cert-manager/pkg/apis/meta"
)
