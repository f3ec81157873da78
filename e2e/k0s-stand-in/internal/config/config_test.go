package config

import (
	"encoding/json"
	"strings"
	"testing"

	"k0smotron.io/e2e/k0s-stand-in/internal/version"
)

const head = "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\n"

func at(t *testing.T, v string) version.Version {
	t.Helper()
	out, err := version.Parse(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func effective(t *testing.T, spec, v string, single bool) (*ClusterConfig, error) {
	t.Helper()
	c, err := Parse([]byte(head+spec), at(t, v))
	if err != nil {
		return nil, err
	}
	e, err := c.Effective("/var/lib/k0s", single, at(t, v))
	if err != nil {
		t.Fatal(err)
	}
	return e, e.Validate(single, at(t, v))
}

func TestDefaultsFollowTheStorageAndSingle(t *testing.T) {
	e, err := effective(t, "", "v1.36.3+k0s.0", false)
	if err != nil {
		t.Fatal(err)
	}
	if e.Spec.API.Port != 6443 || e.Spec.API.K0sAPIPort != 9443 || e.Spec.Storage.Type != "etcd" || e.Spec.Network.ServiceCIDR != "10.96.0.0/12" || e.DNSAddress() != "10.96.0.10" {
		t.Errorf("%+v", e.Spec)
	}
	if e, _ := effective(t, "", "v1.36.3+k0s.0", true); e.Spec.Storage.Type != "kine" || e.Joinable() {
		t.Error("--single without storage means sqlite")
	}
	if e, _ := effective(t, "spec: {storage: {}}", "v1.36.3+k0s.0", true); e.Spec.Storage.Type != "etcd" {
		t.Error("spec.storage set: etcd even with --single")
	}
	if e, _ := effective(t, "spec: {storage: {type: kine, kine: {dataSource: 'postgres://u:p@h/d'}}}", "v1.36.3+k0s.0", false); !e.Joinable() {
		t.Error("a SQL database can be shared")
	}
}

func TestWrongConfigurationIsRefusedWithItsField(t *testing.T) {
	for _, c := range []struct{ spec, v, want string }{
		{"spec: {nonsense: 1}", "v1.36.3+k0s.0", `unknown field "nonsense"`},
		{"spec: {api: {rawArgs: [a]}}", "v1.33.13+k0s.0", `unknown field "rawArgs"`},
		{"spec: {konnectivity: {externalAddress: a}}", "v1.32.9+k0s.0", `unknown field "externalAddress"`},
		{"spec: {patches: []}", "v1.35.7+k0s.0", `unknown field "patches"`},
		{"spec: {api: {address: 0.0.0.0}}", "v1.36.3+k0s.0", "spec.api.address"},
		{"spec: {storage: {type: mysql}}", "v1.36.3+k0s.0", "spec.storage.type"},
		{"spec: {storage: {etcd: {externalCluster: {endpoints: [a], etcdPrefix: p, caFile: x}}}}", "v1.36.3+k0s.0", "all set or all empty"},
		{"spec: {network: {provider: cilium}}", "v1.36.3+k0s.0", "spec.network.provider"},
		{"spec: {network: {podCIDR: nowhere}}", "v1.36.3+k0s.0", "spec.network.podCIDR"},
		{"spec: {api: {externalAddress: a.example}, network: {nodeLocalLoadBalancing: {enabled: true}}}", "v1.36.3+k0s.0", "node-local load balancing"},
		{"spec: {workerProfiles: [{name: x, values: {clusterDNS: [a]}}]}", "v1.36.3+k0s.0", "clusterDNS"},
		{"spec: {api: {externalAddress: 'a.example:6443'}}", "v1.32.9+k0s.0", "spec.api.externalAddress"},
	} {
		if _, err := effective(t, c.spec, c.v, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s at %s: %v", c.spec, c.v, err)
		}
	}
	if _, err := effective(t, "spec: {network: {nodeLocalLoadBalancing: {enabled: true}}}", "v1.36.3+k0s.0", true); err == nil {
		t.Error("NLLB with --single passes")
	}
	if _, err := Parse([]byte("apiVersion: v1\nkind: ClusterConfig\n"), at(t, "v1.36.3")); err == nil {
		t.Error("another apiVersion passes")
	}
}

func TestToleratedFieldsPass(t *testing.T) {
	if _, err := effective(t, "spec: {podSecurityPolicy: {defaultPolicy: x}, api: {externalAddress: 'a.example:7443'}, extensions: {storage: {type: external_storage}}}", "v1.32.10+k0s.0", false); err != nil {
		t.Error(err)
	}
}

func TestTheLocalPartStaysOnTheNodeAndComesBack(t *testing.T) {
	c, err := Parse([]byte(head+"spec: {api: {port: 7443}, storage: {type: kine}, network: {serviceCIDR: 10.1.0.0/16, podCIDR: 10.2.0.0/16, kubeProxy: {mode: nftables}}, workerProfiles: [{name: a, values: {x: 1}}]}"), at(t, "v1.36.3"))
	if err != nil {
		t.Fatal(err)
	}
	push := c.Push()
	spec, _ := push["spec"].(map[string]any)
	network, _ := spec["network"].(map[string]any)
	if spec["api"] != nil || spec["storage"] != nil || network["serviceCIDR"] != nil || network["podCIDR"] != "10.2.0.0/16" {
		t.Errorf("%v", push)
	}
	back, err := c.Merge(push)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(c.Spec)
	got, _ := json.Marshal(back.Spec)
	if string(want) != string(got) {
		t.Errorf("%s\n%s", want, got)
	}
}

func TestControllerTokensTakeThePortOfTheExternalAddress(t *testing.T) {
	e, err := effective(t, "spec: {api: {externalAddress: 'a.example:7443'}}", "v1.36.3+k0s.0", false)
	if err != nil {
		t.Fatal(err)
	}
	if e.JoinURL() != "https://a.example:7443" || e.APIURL() != "https://a.example:7443" || e.ExternalHost() != "a.example" {
		t.Error(e.JoinURL(), e.APIURL())
	}
}
