package pki

import (
	"encoding/base64"
	"os"

	"sigs.k8s.io/yaml"
)

// Kubeconfig with one cluster, one user, one context, all inlined.
func Kubeconfig(server, cluster, context, user string, caPEM, certPEM, keyPEM []byte) []byte {
	b64 := base64.StdEncoding.EncodeToString
	doc := map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": context,
		"clusters": []any{map[string]any{"name": cluster, "cluster": map[string]any{"server": server, "certificate-authority-data": b64(caPEM)}}},
		"contexts": []any{map[string]any{"name": context, "context": map[string]any{"cluster": cluster, "user": user}}},
		"users":    []any{map[string]any{"name": user, "user": map[string]any{"client-certificate-data": b64(certPEM), "client-key-data": b64(keyPEM)}}},
	}
	out, err := yaml.Marshal(doc)
	if err != nil {
		panic(err) // plain data
	}
	return out
}

// WriteKubeconfig for the leaf <dir>/<leaf>.
func WriteKubeconfig(path, server, dir, leaf, user string) error {
	ca, err := os.ReadFile(dir + "/ca.crt")
	if err != nil {
		return err
	}
	cert, err := os.ReadFile(dir + "/" + leaf + ".crt")
	if err != nil {
		return err
	}
	key, err := os.ReadFile(dir + "/" + leaf + ".key")
	if err != nil {
		return err
	}
	return WriteFile(path, Kubeconfig(server, "local", "Default", user, ca, cert, key), 0o600)
}
