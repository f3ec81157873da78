package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"

	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

// preFlight refuses hosts that cannot run pods; --ignore-pre-flight-checks turns rejections into warnings.
func preFlight(o Options) error {
	var rejected []error
	if o.CRISocket == "" || os.Getuid() == 0 {
		for _, tool := range []string{"mount", "umount"} {
			if _, err := exec.LookPath(tool); err != nil {
				rejected = append(rejected, fmt.Errorf("executable in PATH: %s: %w", tool, err))
			}
		}
	}
	if _, err := exec.LookPath("modprobe"); err != nil {
		slog.Warn("pre-flight check: modprobe is not in PATH")
	}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil && o.Version.Has(version.RejectCgroupV1) {
		rejected = append(rejected, errors.New("cgroups: version 1 (rejected: cgroup v1 is not supported anymore, use cgroup v2)"))
	}
	if len(rejected) == 0 {
		return nil
	}
	err := errors.Join(rejected...)
	if o.IgnorePreFlight {
		slog.Warn("pre-flight checks failed, going on as asked", "err", err)
		return nil
	}
	return fmt.Errorf("pre-flight checks failed: %w", err)
}
