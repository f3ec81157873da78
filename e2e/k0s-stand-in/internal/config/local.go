package config

import "encoding/json"

// Local lists the paths under spec that stay with the node's file and never enter the object kube-system/k0s.
var Local = [][]string{
	{"api"}, {"storage"}, {"installConfig"},
	{"network", "serviceCIDR"}, {"network", "clusterDomain"},
	{"network", "primaryAddressFamily"}, {"network", "controlPlaneLoadBalancing"},
}

// Push is the part of a configuration that the object carries.
func (c *ClusterConfig) Push() map[string]any {
	tree := c.Tree()
	delete(tree, "status")
	spec, _ := tree["spec"].(map[string]any)
	for _, p := range Local {
		at := spec
		for _, step := range p[:len(p)-1] {
			at, _ = at[step].(map[string]any)
		}
		if at != nil {
			delete(at, p[len(p)-1])
		}
	}
	tree["metadata"] = map[string]any{"name": "k0s", "namespace": "kube-system"}
	return tree
}

// Merge lays the node-local part of c over an object from the API.
func (c *ClusterConfig) Merge(object map[string]any) (*ClusterConfig, error) {
	mine, _ := c.Tree()["spec"].(map[string]any)
	theirs, _ := object["spec"].(map[string]any)
	if theirs == nil {
		theirs = map[string]any{}
	}
	for _, p := range Local {
		from, to := mine, theirs
		for _, step := range p[:len(p)-1] {
			from, _ = from[step].(map[string]any)
			next, ok := to[step].(map[string]any)
			if !ok {
				next = map[string]any{}
				to[step] = next
			}
			to = next
		}
		key := p[len(p)-1]
		delete(to, key)
		if v, ok := from[key]; ok {
			to[key] = v
		}
	}
	b, err := json.Marshal(map[string]any{"apiVersion": APIVersion, "kind": Kind, "metadata": map[string]any{"name": "k0s"}, "spec": theirs})
	if err != nil {
		return nil, err
	}
	return decodeStrict(b)
}
