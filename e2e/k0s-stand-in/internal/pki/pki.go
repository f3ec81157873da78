// Package pki makes the authorities and leaves that a controller needs, and keeps those it finds.
package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The subject names of authorities that k0s makes; leaves under them are renewed at each start.
const (
	ClusterCA    = "kubernetes-ca"
	EtcdCA       = "etcd-ca"
	FrontProxyCA = "kubernetes-front-proxy-ca"
)

const backdate = 5 * time.Minute

// Authority signs leaves. Key is nil when only its certificate is here.
type Authority struct {
	Cert *x509.Certificate
	Key  crypto.Signer
	PEM  []byte
}

// EnsureAuthority keeps the pair <base>.crt/.key, and makes a new one if either half is missing: half a pair is lost.
func EnsureAuthority(base, cn string, life time.Duration) error {
	if exists(base+".crt") && exists(base+".key") {
		return nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: cn},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return err
	}
	return writePair(base, der, key)
}

// LoadAuthority reads <base>.crt and, if it is there, <base>.key.
func LoadAuthority(base string) (*Authority, error) {
	raw, err := os.ReadFile(base + ".crt")
	if err != nil {
		return nil, err
	}
	cert, err := parseCert(raw)
	if err != nil {
		return nil, fmt.Errorf("%s.crt: %w", base, err)
	}
	a := &Authority{Cert: cert, PEM: raw}
	if raw, err := os.ReadFile(base + ".key"); err == nil {
		if a.Key, err = parseKey(raw); err != nil {
			return nil, fmt.Errorf("%s.key: %w", base, err)
		}
	}
	return a, nil
}

// Leaf describes a certificate to issue.
type Leaf struct {
	Name   string // file name without extension, relative to the pki directory
	CN     string
	O      []string
	SANs   []string
	Server bool
	Owner  string // user that must read the key
}

// Issue makes a key and certificate signed by a.
func (a *Authority) Issue(l Leaf, life time.Duration) (certPEM, keyPEM []byte, err error) {
	if a.Key == nil {
		return nil, nil, fmt.Errorf("cannot sign %s: the key of %q is missing", l.Name, a.Cert.Subject.CommonName)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	der, err := a.sign(l, key.Public(), life)
	if err != nil {
		return nil, nil, err
	}
	return encodeCert(der), encodeKey(key), nil
}

func (a *Authority) sign(l Leaf, pub crypto.PublicKey, life time.Duration) ([]byte, error) {
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: l.CN, Organization: l.O},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, s := range l.SANs {
		if ip := net.ParseIP(s); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, s)
		}
	}
	if tmpl.NotAfter.After(a.Cert.NotAfter) {
		tmpl.NotAfter = a.Cert.NotAfter
	}
	return x509.CreateCertificate(rand.Reader, tmpl, a.Cert, pub, a.Key)
}

// Ensure keeps a leaf that is valid and whose issuer is not ours to renew, and issues it otherwise.
func (a *Authority) Ensure(dir string, l Leaf, life time.Duration, renew bool) error {
	base := filepath.Join(dir, l.Name)
	if raw, err := os.ReadFile(base + ".crt"); err == nil && exists(base+".key") && !renew {
		if cert, err := parseCert(raw); err == nil && time.Now().Before(cert.NotAfter) {
			return nil
		}
	}
	certPEM, keyPEM, err := a.Issue(l, life)
	if err != nil {
		return err
	}
	return WritePairPEM(base, certPEM, keyPEM)
}

// EnsureServiceAccountKey makes sa.key (PKCS#1) and sa.pub (PKIX) unless both are there.
func EnsureServiceAccountKey(dir, private, public string) error {
	priv, pub := filepath.Join(dir, private), filepath.Join(dir, public)
	if exists(priv) && exists(pub) {
		return nil
	}
	var key *rsa.PrivateKey
	if raw, err := os.ReadFile(priv); err == nil {
		signer, err := parseKey(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", priv, err)
		}
		k, ok := signer.(*rsa.PrivateKey)
		if !ok {
			return fmt.Errorf("%s: not an RSA key", priv)
		}
		key = k
	} else if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	if err := os.WriteFile(priv, encodeKey(key), 0o640); err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return os.WriteFile(pub, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // no randomness, no certificates
	}
	return n.Add(n, big.NewInt(1))
}

func writePair(base string, der []byte, key *rsa.PrivateKey) error {
	return WritePairPEM(base, encodeCert(der), encodeKey(key))
}

// WritePairPEM writes the key first: a certificate without key counts as lost.
func WritePairPEM(base string, certPEM, keyPEM []byte) error {
	if err := WriteFile(base+".key", keyPEM, 0o640); err != nil {
		return err
	}
	return WriteFile(base+".crt", certPEM, 0o644)
}

// WriteFile replaces a file and sets its mode whatever the umask is.
func WriteFile(path string, b []byte, mode os.FileMode) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, mode); err != nil {
		return err
	}
	if err := os.Chmod(tmp, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

func parseCert(raw []byte) (*x509.Certificate, error) {
	b, _ := pem.Decode(raw)
	if b == nil {
		return nil, errors.New("no PEM block")
	}
	return x509.ParseCertificate(b.Bytes)
}

func parseKey(raw []byte) (crypto.Signer, error) {
	b, _ := pem.Decode(raw)
	if b == nil {
		return nil, errors.New("no PEM block")
	}
	if k, err := x509.ParsePKCS1PrivateKey(b.Bytes); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(b.Bytes); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, err
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, errors.New("key cannot sign")
	}
	return s, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
