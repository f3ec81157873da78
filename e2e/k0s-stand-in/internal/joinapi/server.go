package joinapi

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k0smotron.io/e2e/k0s-stand-in/internal/etcd"
	"k0smotron.io/e2e/k0s-stand-in/internal/jointoken"
	"k0smotron.io/e2e/k0s-stand-in/internal/kube"
	"k0smotron.io/e2e/k0s-stand-in/internal/version"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Server of the join API.
type Server struct {
	Listen   string
	PKI      string
	Cluster  *kube.Cluster
	Version  version.Version
	Joinable bool // mounts the CA
	Etcd     bool // mounts etcd
	EtcdTLS  etcd.TLS
}

// Serve until the context ends.
func (s *Server) Serve(ctx context.Context) error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(s.PKI, "k0s-api.crt"), filepath.Join(s.PKI, "k0s-api.key"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	if s.Joinable {
		mux.HandleFunc("/v1beta1/ca", s.admit(http.MethodGet, s.ca))
	}
	if s.Etcd {
		mux.HandleFunc("/v1beta1/etcd/members", s.admit(http.MethodPost, s.member))
	}
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)}
	go func() {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = srv.Shutdown(stop)
	}()
	go func() {
		if err := srv.ServeTLS(l, "", ""); err != nil && !errors.Is(err, http.ErrServerClosed) {
			slog.Error("join API ended", "err", err)
		}
	}()
	return nil
}

func (s *Server) admit(method string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		if code := forced("401"); code {
			http.Error(w, "go away", http.StatusUnauthorized)
			return
		}
		if code := forced("500"); code {
			http.Error(w, "internal error forced by a test", http.StatusInternalServerError)
			return
		}
		text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		id, secret, dotted := strings.Cut(text, ".")
		if !ok || !dotted || !s.valid(r.Context(), id, secret) {
			http.Error(w, "go away", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// forced answers are a test's: K0S_STANDIN_JOIN_ANSWER=401|500.
func forced(code string) bool { return os.Getenv("K0S_STANDIN_JOIN_ANSWER") == code }

func (s *Server) valid(ctx context.Context, id, secret string) bool {
	got, err := s.Cluster.Typed.CoreV1().Secrets(metav1.NamespaceSystem).Get(ctx, "bootstrap-token-"+id, metav1.GetOptions{})
	if err != nil {
		if !apierrors.IsNotFound(err) {
			slog.Error("cannot check a join token", "err", err)
		}
		return false
	}
	return jointoken.AdmitsController(got, id, secret, s.Version.Has(version.StrictTokens), time.Now())
}

func (s *Server) ca(w http.ResponseWriter, _ *http.Request) {
	var a CAAnswer
	for name, to := range map[string]*[]byte{"ca.key": &a.Key, "ca.crt": &a.Cert, "sa.key": &a.SAKey, "sa.pub": &a.SAPub} {
		b, err := os.ReadFile(filepath.Join(s.PKI, name))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		*to = b
	}
	answer(w, a)
}

func (s *Server) member(w http.ResponseWriter, r *http.Request) {
	var req EtcdRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	u, err := url.Parse(req.PeerAddress)
	if err != nil || u.Host == "" || req.Node == "" {
		http.Error(w, "node and peerAddress must be set, peerAddress as a URL", http.StatusBadRequest)
		return
	}
	var out EtcdAnswer
	for name, to := range map[string]*[]byte{"etcd/ca.key": &out.CA.Key, "etcd/ca.crt": &out.CA.Cert} {
		b, err := os.ReadFile(filepath.Join(s.PKI, name))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		*to = b
	}
	err = etcd.With(s.EtcdTLS, func(c *clientv3.Client) error {
		out.InitialCluster, err = etcd.Add(r.Context(), c, req.Node, req.PeerAddress, s.Version.Has(version.LearnerJoin))
		return err
	})
	if err != nil {
		slog.Error("cannot add an etcd member", "node", req.Node, "err", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, out)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
