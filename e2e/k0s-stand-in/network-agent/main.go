// Program network-agent is the agent of the network provider by itself: small, because every worker imports its image.
package main

import (
	"os"

	"k0smotron.io/e2e/k0s-stand-in/internal/network"
)

func main() { os.Exit(network.Run(os.Args[1:])) }
