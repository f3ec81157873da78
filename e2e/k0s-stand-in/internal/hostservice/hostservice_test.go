package hostservice

import (
	"strings"
	"testing"
)

func TestTheUnitRunsExactlyTheGivenWords(t *testing.T) {
	text := Service{Name: "k0sworker", Exe: "/usr/local/bin/k0s", Args: []string{"worker", "--labels=a=b", "--kubelet-extra-args=--v=2 --x=$y 50%"}, Env: []string{"A=b c"}}.Text()
	for _, want := range []string{
		"\nExecStart=/usr/local/bin/k0s worker --labels=a=b \"--kubelet-extra-args=--v=2 --x=$$y 50%%\"\n",
		"\nEnvironment=\"A=b c\"\n", "\nRestart=always\n", "\nRestartSec=10\n", "\nKillMode=process\n", "\nDelegate=yes\n", "\nLimitNOFILE=999999\n",
		"\nTasksMax=infinity\n", "\nTimeoutStartSec=0\n", "\nWants=network-online.target\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
