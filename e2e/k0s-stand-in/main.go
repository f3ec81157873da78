// Program k0s is a stand-in for k0s in tests: its contract, with the real Kubernetes programs underneath.
package main

import (
	"os"

	"k0smotron.io/e2e/k0s-stand-in/internal/commands"
)

func main() { os.Exit(commands.Run()) }
