//go:build integration

// Package integration drives `k0s` alone, from outside, with assertions that hold for the genuine program too.
package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const kine = "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nspec: {storage: {type: kine}}\n"

func TestAControllerOnSqliteServesRefusesAndKeepsItsState(t *testing.T) {
	bridge(t)
	h := newHost(t, 1)
	h.write("k0s.yaml", kine)
	h.start("--enable-dynamic-config")
	t.Logf("serving after %s", h.ready(time.Minute))

	for _, path := range []string{"/readyz", "/livez", "/healthz", "/version"} {
		if code, _ := h.get(6443, path); code != 401 {
			t.Errorf("%s without credentials: %d, want 401", path, code)
		}
	}
	if out := h.must("kubectl", "get", "--raw", "/readyz"); out != "ok" {
		t.Error(out)
	}
	var status map[string]any
	if err := json.Unmarshal([]byte(h.must("status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"Version", "Pid", "PPid", "Role", "SysInit", "StubFile", "Output", "Workloads", "SingleNode", "Args", "WorkerToAPIConnectionStatus", "ClusterConfig", "K0sVars"} {
		if _, ok := status[key]; !ok {
			t.Errorf("status has no %s", key)
		}
	}
	if out, err := h.run("controller"); err == nil {
		t.Error("a second k0s in the same /run starts:", out)
	}
	if out, err := h.run("token", "create", "--role", "controller"); err == nil || !strings.Contains(out, "refusing to create token") {
		t.Error("a controller's token for sqlite:", out, err)
	}
	if out, err := h.run("etcd", "member-list"); err == nil || !strings.Contains(out, "wrong storage type: kine") {
		t.Error(out, err)
	}
	if out, err := h.run("reset"); err == nil || !strings.Contains(out, "stop k0s") {
		t.Error("reset of a running k0s:", out)
	}
	if st, err := os.Stat(filepath.Join(h.dir, "data/pki/admin.conf")); err != nil || st.Mode().Perm() != 0o600 {
		t.Error("admin.conf:", st, err)
	}

	h.eventually(time.Minute, "the event of dynamic configuration", func() bool {
		out, _ := h.run("kubectl", "-n", "kube-system", "get", "events", "-o", "jsonpath={.items[?(@.involvedObject.kind==\"ClusterConfig\")].reason}")
		return strings.Contains(out, "SuccessfulReconcile")
	})
	if out := h.must("kubectl", "-n", "kube-system", "get", "clusterconfig", "k0s", "-o", "jsonpath={.spec}"); strings.Contains(out, "storage") {
		t.Error("the node-local part is in the object:", out)
	}
	manifest := filepath.Join(h.dir, "data/manifests/mine")
	if err := os.MkdirAll(manifest, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(manifest, "a.yaml"), []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine, namespace: default}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.eventually(30*time.Second, "the manifest", func() bool { _, err := h.run("kubectl", "get", "cm", "mine"); return err == nil })

	h.must("kubectl", "create", "configmap", "kept", "--from-literal=a=b")
	t.Logf("stopped after %s", h.stop())
	if err := os.RemoveAll(manifest); err != nil {
		t.Fatal(err)
	}
	h.start("--enable-dynamic-config")
	h.ready(time.Minute)
	if out := h.must("kubectl", "get", "cm", "kept", "-o", "jsonpath={.data.a}"); out != "b" {
		t.Error("state is lost:", out)
	}
	h.stop()
}

func TestControllersJoinByTokenAndLeaveThroughTheirEtcdMember(t *testing.T) {
	bridge(t)
	first, second := newHost(t, 1), newHost(t, 2)
	flags := []string{"--disable-components=konnectivity-server,kube-scheduler,kube-controller-manager"}
	first.start(flags...)
	t.Logf("first serving after %s", first.ready(time.Minute))

	if code, body := first.get(9443, "/v1beta1/ca"); code != 401 || strings.TrimSpace(body) != "go away" {
		t.Error("the join API without a token:", code, body)
	}
	worker := first.must("token", "create")
	second.write("token", worker)
	if out, err := second.run(append([]string{"controller", "--token-file=/etc/k0s/token"}, flags...)...); err == nil || !strings.Contains(out, "wrong token type kubelet-bootstrap, expected type: controller-bootstrap") {
		t.Error("a worker's token lets a controller join:", out, err)
	}
	if err := os.RemoveAll(filepath.Join(second.dir, "data")); err == nil {
		_ = os.MkdirAll(filepath.Join(second.dir, "data"), 0o755)
	}
	second.write("token", first.must("token", "create", "--role", "controller"))
	if list := first.must("token", "list"); !strings.Contains(list, "controller") || !strings.Contains(list, "worker") {
		t.Error(list)
	}
	second.start(append(flags, "--token-file=/etc/k0s/token")...)
	t.Logf("second serving after %s", second.ready(2*time.Minute))
	first.must("kubectl", "create", "configmap", "shared", "--from-literal=a=b")
	if out := second.must("kubectl", "get", "cm", "shared", "-o", "jsonpath={.data.a}"); out != "b" {
		t.Error("two clusters:", out)
	}
	var list struct{ Members map[string]string }
	if err := json.Unmarshal([]byte(first.must("etcd", "member-list")), &list); err != nil || list.Members["it1"] != "https://"+first.ip()+":2380" || list.Members["it2"] == "" {
		t.Error(list, err)
	}
	joined := func(on *host, member string) string {
		out, _ := on.run("kubectl", "get", "etcdmember", member, "-o", "jsonpath={.status.conditions[0].status} {.status.conditions[0].message}")
		return out
	}
	first.eventually(30*time.Second, "both EtcdMembers", func() bool {
		return joined(first, "it1") == "True Member joined" && joined(first, "it2") == "True Member joined"
	})

	second.must("kubectl", "patch", "etcdmember", "it1", "--type=merge", "-p", `{"spec":{"leave":true}}`)
	began := time.Now()
	second.eventually(90*time.Second, "it1 has left", func() bool { return strings.HasPrefix(joined(second, "it1"), "False") })
	t.Logf("the leader left after %s: %s", time.Since(began), joined(second, "it1"))
	if out := second.must("etcd", "member-list"); strings.Contains(out, "it1") {
		t.Error(out)
	}
	if pids := first.pids(); !strings.Contains(pids, "k0s") {
		t.Error("the process of a member that left must idle, not end:", pids)
	}
	first.stop()

	// The last one cannot leave.
	second.must("kubectl", "patch", "etcdmember", "it2", "--type=merge", "-p", `{"spec":{"leave":true}}`)
	second.eventually(60*time.Second, "the refusal", func() bool {
		out, _ := second.run("kubectl", "get", "etcdmember", "it2", "-o", "jsonpath={.status.message}")
		return strings.HasPrefix(out, "The only active controller cannot leave the etcd cluster")
	})
	second.stop()

	// An emptied etcd folder and no token file is a failing service, not a second cluster.
	_ = os.RemoveAll(filepath.Join(first.dir, "data/etcd"))
	if out, err := first.run("controller", "--token-file=/etc/k0s/none"); err == nil || !strings.Contains(out, "token file") {
		t.Error(out, err)
	}
}
