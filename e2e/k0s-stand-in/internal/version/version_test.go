package version

import "testing"

func must(t *testing.T, s string) Version {
	t.Helper()
	v, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBothFormsOfAVersionAreTheSame(t *testing.T) {
	for _, s := range []string{"v1.36.3+k0s.2", "v1.36.3-k0s.2", "1.36.3+k0s.2"} {
		if got := must(t, s).String(); got != "v1.36.3+k0s.2" {
			t.Errorf("%s prints as %s", s, got)
		}
	}
	if got := must(t, "v1.36.3-rc.0+k0s.1").String(); got != "v1.36.3-rc.0+k0s.1" {
		t.Error(got)
	}
	for _, bad := range []string{"", "1.36", "v1.36.3 ", "v1.36.x", "latest", "v1.36.3-k0s.x"} {
		if v, err := Parse(bad); err == nil {
			t.Errorf("%q parses as %s", bad, v)
		}
	}
}

func TestVersionsAreOrderedAsGoOrdersThem(t *testing.T) {
	ascending := []string{"v1.35.7+k0s.0", "v1.36.3-rc.0+k0s.1", "v1.36.3-rc.10+k0s.0", "v1.36.3-rc.9+k0s.0", "v1.36.3", "v1.36.3+k0s.0", "v1.36.3+k0s.2", "v1.37.0-alpha.1+k0s.0"}
	for i := range ascending {
		for j := range ascending {
			if got := must(t, ascending[i]).Compare(must(t, ascending[j])); got != sign(i-j) {
				t.Errorf("%s against %s: %d", ascending[i], ascending[j], got)
			}
		}
	}
}

func TestAFeatureBeginsInEachMinorWhereItWasBroughtIn(t *testing.T) {
	for _, c := range []struct {
		f    Feature
		v    string
		want bool
	}{
		{RawArgs, "v1.33.13+k0s.0", false}, {RawArgs, "v1.34.0+k0s.0", true}, {RawArgs, "v1.37.1+k0s.0", true},
		{ExternalAddressPort, "v1.32.9+k0s.0", false}, {ExternalAddressPort, "v1.32.10+k0s.0", true}, {ExternalAddressPort, "v1.31.13+k0s.0", true}, {ExternalAddressPort, "v1.33.5+k0s.0", false},
		{AnonymousByFile, "v1.36.3+k0s.0", false}, {AnonymousByFile, "v1.36.3+k0s.1", true}, {AnonymousByFile, "v1.36.4+k0s.0", true}, {AnonymousByFile, "v1.35.9+k0s.0", false},
		{UpdateProber, "v1.31.14+k0s.0", false}, {TokenEnv, "v1.34.9+k0s.0", false}, {TokenEnv, "v1.35.1+k0s.0", true},
		{RejectCgroupV1, "v1.35.3+k0s.0", false}, {RejectCgroupV1, "v1.35.4+k0s.0", true}, {RejectCgroupV1, "v1.36.0+k0s.0", false}, {RejectCgroupV1, "v1.36.1+k0s.0", true},
	} {
		if got := must(t, c.v).Has(c.f); got != c.want {
			t.Errorf("%s has %s: %v", c.v, c.f, got)
		}
	}
}

func TestTheLeaveLevelFollowsTheVersion(t *testing.T) {
	for v, want := range map[string]LeaveLevel{"v1.31.5": L0, "v1.31.6": L1, "v1.33.13": L1, "v1.34.3": L1, "v1.35.0": L1, "v1.34.4": L2, "v1.34.10": L2, "v1.35.1": L2,
		"v1.35.4": L2, "v1.35.5": L3, "v1.36.1": L3, "v1.37.0-alpha.1": L3} {
		if got := must(t, v).Level(); got != want {
			t.Errorf("%s: L%d, want L%d", v, got, want)
		}
	}
}
