// Package jointoken makes and reads join tokens: base64 of gzip of a kubeconfig.
package jointoken

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// The users that tell a token's role.
const (
	WorkerUser     = "kubelet-bootstrap"
	ControllerUser = "controller-bootstrap"
)

// Token is a decoded join token.
type Token struct {
	Server     string
	CA         []byte
	User       string
	ID, Secret string
	Kubeconfig []byte
}

var parts = regexp.MustCompile(`^([a-z0-9]{6})\.([a-z0-9]{16})$`)

type kubeconfig struct {
	Clusters []struct {
		Name    string `json:"name"`
		Cluster struct {
			Server string `json:"server"`
			CA     string `json:"certificate-authority-data"`
		} `json:"cluster"`
	} `json:"clusters"`
	Contexts []struct {
		Name    string `json:"name"`
		Context struct {
			Cluster string `json:"cluster"`
			User    string `json:"user"`
		} `json:"context"`
	} `json:"contexts"`
	CurrentContext string `json:"current-context"`
	Users          []struct {
		Name string `json:"name"`
		User struct {
			Token string `json:"token"`
		} `json:"user"`
	} `json:"users"`
}

// UserOf gives the user name for a role.
func UserOf(role string) (string, error) {
	switch role {
	case "worker":
		return WorkerUser, nil
	case "controller":
		return ControllerUser, nil
	}
	return "", fmt.Errorf("unsupported role %q, supported roles are \"controller\" and \"worker\"", role)
}

// Kubeconfig inside a token.
func Kubeconfig(server string, ca []byte, user, id, secret string) []byte {
	doc := map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "k0s",
		"clusters": []any{map[string]any{"name": "k0s", "cluster": map[string]any{"server": server, "certificate-authority-data": base64.StdEncoding.EncodeToString(ca)}}},
		"contexts": []any{map[string]any{"name": "k0s", "context": map[string]any{"cluster": "k0s", "user": user}}},
		"users":    []any{map[string]any{"name": user, "user": map[string]any{"token": id + "." + secret}}},
	}
	out, err := yaml.Marshal(doc)
	if err != nil {
		panic(err) // plain data
	}
	return out
}

// Encode a kubeconfig as token text.
func Encode(kubeconfig []byte) (string, error) {
	var buf bytes.Buffer
	gz, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := gz.Write(kubeconfig); err != nil {
		return "", err
	}
	if err := gz.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(buf.Bytes()), nil
}

// Decode token text; each kind of damage has its own error.
func Decode(text string) (*Token, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("join token: not base64: %w", err)
	}
	gz, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("join token: not gzip: %w", err)
	}
	doc, err := io.ReadAll(gz)
	if err != nil {
		return nil, fmt.Errorf("join token: not gzip: %w", err)
	}
	var kc kubeconfig
	if err := yaml.Unmarshal(doc, &kc); err != nil {
		return nil, fmt.Errorf("join token: not a kubeconfig: %w", err)
	}
	t := &Token{Kubeconfig: doc}
	var cluster string
	for _, c := range kc.Contexts {
		if c.Name == kc.CurrentContext {
			t.User, cluster = c.Context.User, c.Context.Cluster
		}
	}
	for _, c := range kc.Clusters {
		if c.Name == cluster {
			t.Server = c.Cluster.Server
			if t.CA, err = base64.StdEncoding.DecodeString(c.Cluster.CA); err != nil {
				return nil, fmt.Errorf("join token: certificate-authority-data: %w", err)
			}
		}
	}
	if t.Server == "" {
		return nil, errors.New("join token: no server in the current context")
	}
	for _, u := range kc.Users {
		if u.Name == t.User {
			m := parts.FindStringSubmatch(u.User.Token)
			if m == nil {
				return nil, errors.New("join token: the user's token is not <6>.<16> of [a-z0-9]")
			}
			t.ID, t.Secret = m[1], m[2]
		}
	}
	if t.ID == "" {
		return nil, errors.New("join token: no token in the current context")
	}
	return t, nil
}

// Expect refuses a token of another role.
func (t *Token) Expect(user string) error {
	if t.User != user {
		return fmt.Errorf("wrong token type %s, expected type: %s", t.User, user)
	}
	return nil
}

// Random text of n characters of [a-z0-9], unbiased.
func Random(n int) string {
	const set = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		k, err := rand.Int(rand.Reader, big.NewInt(int64(len(set))))
		if err != nil {
			panic(err) // no randomness, no tokens
		}
		b[i] = set[k.Int64()]
	}
	return string(b)
}
