// Program k0s is a stand-in for k0s in tests: its contract, with the real Kubernetes programs underneath.
package main

import (
	"os"
	"path/filepath"

	"k0smotron.io/e2e/k0s-stand-in/internal/commands"
	"k0smotron.io/e2e/k0s-stand-in/internal/network"
)

func main() {
	// In the image of the network provider, if no smaller program was built for it.
	if filepath.Base(os.Args[0]) == "network-agent" {
		os.Exit(network.Run(os.Args[1:]))
	}
	os.Exit(commands.Run())
}
