package version

// Feature is something that not every k0s version has.
type Feature string

// The features whose absence a user can notice, with the versions that brought them.
const (
	StrictTokens            Feature = "strict token secrets"
	KubeletRootDir          Feature = "--kubelet-root-dir"
	InitOnly                Feature = "--init-only"
	CALifetimes             Feature = "ca lifetimes"
	TelemetryOff            Feature = "telemetry off by default"
	ExternalAddressPort     Feature = "externalAddress with port"
	UpdateProber            Feature = "component update-prober"
	RawArgs                 Feature = "rawArgs"
	PrimaryAddressFamily    Feature = "primaryAddressFamily"
	FeatureGatesFlag        Feature = "--feature-gates"
	TokenEnv                Feature = "K0S_TOKEN"
	InstallStart            Feature = "install --start"
	RejectCgroupV1          Feature = "cgroup v1 rejected"
	LearnerJoin             Feature = "learner joins"
	Patches                 Feature = "patches"
	StopTimeout             Feature = "--api-server-stop-timeout"
	AnonymousByFile         Feature = "anonymous access by authentication-config"
	MemberNameFromExtraArgs Feature = "etcd member named by extraArgs"
	EtcdMembers             Feature = "EtcdMember"
	ShutdownLabel           Feature = "label shutdown-on-leave"
	LeaseLabel              Feature = "label controller-lease"
	SelfRemoval             Feature = "leave by self removal"
	ForeignEtcdCARenewal    Feature = "renewal under a foreign etcd CA"
)

// From each entry in its own minor, and from the last entry in every later minor.
var since = map[Feature][]string{
	MemberNameFromExtraArgs: {"1.31.1"},
	EtcdMembers:             {"1.31.6"},
	StrictTokens:            {"1.32.0"},
	KubeletRootDir:          {"1.32.0"},
	InitOnly:                {"1.33.0"},
	CALifetimes:             {"1.33.0"},
	TelemetryOff:            {"1.33.0"},
	ExternalAddressPort:     {"1.31.13", "1.32.10", "1.33.6", "1.34.0"},
	UpdateProber:            {"1.32.10", "1.33.6", "1.34.0"},
	RawArgs:                 {"1.34.0"},
	PrimaryAddressFamily:    {"1.34.0"},
	FeatureGatesFlag:        {"1.34.0"},
	ShutdownLabel:           {"1.34.4", "1.35.1"},
	LeaseLabel:              {"1.34.5", "1.35.2"},
	TokenEnv:                {"1.35.0"},
	InstallStart:            {"1.35.0"},
	RejectCgroupV1:          {"1.35.4", "1.36.1"},
	LearnerJoin:             {"1.35.5", "1.36.1"},
	SelfRemoval:             {"1.35.5", "1.36.1"},
	Patches:                 {"1.36.0"},
	StopTimeout:             {"1.36.0"},
	AnonymousByFile:         {"1.36.3+k0s.1"},
	ForeignEtcdCARenewal:    {"1.37.0"},
}

// Has tells whether v has the feature. A prerelease of a minor's first version counts as that minor.
func (v Version) Has(f Feature) bool {
	entries := since[f]
	at := v
	at.Pre = ""
	var last Version
	for _, e := range entries {
		from, err := Parse(e)
		if err != nil {
			return false
		}
		last = from
		if from.Major == v.Major && from.Minor == v.Minor {
			return at.Compare(from) >= 0
		}
	}
	return len(entries) > 0 && (v.Major > last.Major || (v.Major == last.Major && v.Minor > last.Minor))
}

// LeaveLevel says how an etcd member leaves: who removes whom, and when.
type LeaveLevel int

// The levels, from "none" to "the member removes itself".
const (
	L0 LeaveLevel = iota
	L1
	L2
	L3
)

// Level of a version.
func (v Version) Level() LeaveLevel {
	switch {
	case v.Has(SelfRemoval):
		return L3
	case v.Has(ShutdownLabel):
		return L2
	case v.Has(EtcdMembers):
		return L1
	}
	return L0
}
