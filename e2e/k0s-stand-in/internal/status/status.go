// Package status answers on k0s' status socket, and asks it.
package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Status of a running k0s, with the keys that others parse.
type Status struct {
	Version                     string
	Pid                         int
	PPid                        int
	Role                        string
	SysInit                     string
	StubFile                    string
	Output                      string
	Workloads                   bool
	SingleNode                  bool
	Args                        []string
	WorkerToAPIConnectionStatus Connection
	ClusterConfig               any
	K0sVars                     map[string]any
}

// Connection of a worker to the API.
type Connection struct {
	Message string
	Success bool
}

// Serve the socket until the context ends.
func Serve(ctx context.Context, socket string, get func() Status) error {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return err
	}
	_ = os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(get())
	})
	mux.HandleFunc("/components", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"healthProbes":{},"events":{}}`))
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
		_ = os.Remove(socket)
	}()
	go func() { _ = srv.Serve(l) }()
	return nil
}

// Get asks a running k0s.
func Get(socket string) (*Status, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	resp, err := client.Get("http://localhost/status")
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, errors.New("status: can't get \"status\" via socket: k0s is not running")
		}
		return nil, fmt.Errorf("status: can't get \"status\" via socket: %w", err)
	}
	defer resp.Body.Close()
	s := &Status{}
	return s, json.NewDecoder(resp.Body).Decode(s)
}

// ServiceManager of this host, in the words of `k0s status`.
func ServiceManager() string {
	if st, err := os.Stat("/run/systemd/system"); err == nil && st.IsDir() {
		return "linux-systemd"
	}
	return ""
}

// StubFile is the unit of a service, if it is there.
func StubFile(service string) string {
	p := "/etc/systemd/system/" + service + ".service"
	if _, err := os.Stat(p); err == nil {
		return p
	}
	return ""
}
