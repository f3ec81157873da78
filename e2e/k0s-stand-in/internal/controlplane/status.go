package controlplane

import (
	"os"

	"k0smotron.io/e2e/k0s-stand-in/internal/status"
)

func (c *Controller) status() status.Status {
	return status.Status{Version: c.Version.String(), Pid: os.Getpid(), PPid: os.Getppid(), Role: "controller",
		SysInit: status.ServiceManager(), StubFile: status.StubFile("k0scontroller"), Workloads: c.EnableWorker || c.Single, SingleNode: c.Single, Args: c.Argv,
		ClusterConfig: c.current.get().Tree(),
		K0sVars: map[string]any{"DataDir": c.DataDir, "RunDir": c.RunDir, "AdminKubeConfigPath": c.pki("admin.conf"), "CertRootDir": c.pki(""),
			"BinDir": c.DataDir + "/bin", "ManifestsDir": c.DataDir + "/manifests", "StatusSocketPath": c.StatusSocket}}
}
