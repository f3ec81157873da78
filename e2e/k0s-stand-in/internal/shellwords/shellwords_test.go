package shellwords

import (
	"slices"
	"testing"
)

func TestWordsAreSplitAsAShellDoes(t *testing.T) {
	for in, want := range map[string][]string{
		`--v=2  --hostname-override=m1`: {"--v=2", "--hostname-override=m1"},
		`--a='x y' --b="z \"q\" $h"`:    {"--a=x y", `--b=z "q" $h`},
		`a\ b ''`:                       {"a b", ""},
		``:                              nil,
	} {
		got, err := Split(in)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q %v", in, got, err)
		}
	}
	if _, err := Split(`a "b`); err == nil {
		t.Error("unbalanced quotes pass")
	}
}
