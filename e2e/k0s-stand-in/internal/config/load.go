package config

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"k0smotron.io/e2e/k0s-stand-in/internal/version"
	"sigs.k8s.io/yaml"
)

// APIVersion and Kind of the file.
const (
	APIVersion = "k0s.k0sproject.io/v1beta1"
	Kind       = "ClusterConfig"
)

// Load reads a file; "-" is standard input; a missing default file means all defaults.
func Load(path string, isDefault bool, v version.Version) (*ClusterConfig, error) {
	var raw []byte
	var err error
	if path == "-" {
		raw, err = readAll(os.Stdin)
	} else {
		raw, err = os.ReadFile(path)
	}
	if os.IsNotExist(err) && isDefault {
		return Parse(nil, v)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to read config %s: %w", path, err)
	}
	c, err := Parse(raw, v)
	if err != nil {
		return nil, fmt.Errorf("failed to parse config %s: %w", path, err)
	}
	return c, nil
}

// Parse reads strictly: an unknown field, or one that came with a later version, is an error.
func Parse(raw []byte, v version.Version) (*ClusterConfig, error) {
	c := &ClusterConfig{}
	if len(strings.TrimSpace(string(raw))) > 0 {
		if err := yaml.UnmarshalStrict(raw, c); err != nil {
			return nil, err
		}
		var tree map[string]any
		if err := yaml.Unmarshal(raw, &tree); err != nil {
			return nil, err
		}
		if err := refuseLater(tree, v); err != nil {
			return nil, err
		}
		if c.APIVersion != APIVersion {
			return nil, fmt.Errorf("apiVersion: got %q, expected %q", c.APIVersion, APIVersion)
		}
		if c.Kind != Kind {
			return nil, fmt.Errorf("kind: got %q, expected %q", c.Kind, Kind)
		}
	}
	return c, nil
}

// later lists fields by path that came with a version. A list step is "[]".
var later = []struct {
	path    string
	feature version.Feature
}{
	{"spec.api.rawArgs", version.RawArgs},
	{"spec.controllerManager.rawArgs", version.RawArgs},
	{"spec.scheduler.rawArgs", version.RawArgs},
	{"spec.storage.etcd.rawArgs", version.RawArgs},
	{"spec.storage.kine.rawArgs", version.RawArgs},
	{"spec.network.kubeProxy.rawArgs", version.RawArgs},
	{"spec.network.kuberouter.rawArgs", version.RawArgs},
	{"spec.network.primaryAddressFamily", version.PrimaryAddressFamily},
	{"spec.api.ca", version.CALifetimes},
	{"spec.storage.etcd.ca", version.CALifetimes},
	{"spec.konnectivity.externalAddress", version.ExternalAddressPort},
	{"spec.network.nodeLocalLoadBalancing.traefik", version.Patches},
	{"spec.patches", version.Patches},
}

func refuseLater(tree map[string]any, v version.Version) error {
	for _, l := range later {
		if _, found := dig(tree, strings.Split(l.path, ".")); found && !v.Has(l.feature) {
			return fmt.Errorf("error unmarshaling JSON: while decoding JSON: json: unknown field %q", last(l.path))
		}
	}
	return nil
}

func last(path string) string { return path[strings.LastIndex(path, ".")+1:] }

func dig(tree map[string]any, path []string) (any, bool) {
	var at any = tree
	for _, p := range path {
		m, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = m[p]; !ok {
			return nil, false
		}
	}
	return at, true
}

// Copy is deep.
func (c *ClusterConfig) Copy() *ClusterConfig {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // plain data
	}
	out := &ClusterConfig{}
	if err := json.Unmarshal(b, out); err != nil {
		panic(err)
	}
	return out
}

// Tree is the configuration as plain JSON values.
func (c *ClusterConfig) Tree() map[string]any {
	b, _ := json.Marshal(c)
	out := map[string]any{}
	_ = json.Unmarshal(b, &out)
	return out
}

func decodeStrict(b []byte) (*ClusterConfig, error) {
	c := &ClusterConfig{}
	return c, yaml.UnmarshalStrict(b, c)
}
