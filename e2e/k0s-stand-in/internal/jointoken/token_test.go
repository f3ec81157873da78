package jointoken

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func secretOf(role string, expires time.Time) *corev1.Secret {
	s := Secret(role, "abcdef", "0123456789abcdef", expires)
	s.Data = map[string][]byte{}
	for k, v := range s.StringData {
		s.Data[k] = []byte(v)
	}
	return s
}

func TestATokenComesBackAsItWentIn(t *testing.T) {
	text, err := Encode(Kubeconfig("https://[fd00::1]:9443", []byte("ca"), ControllerUser, "abcdef", "0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if got.Server != "https://[fd00::1]:9443" || string(got.CA) != "ca" || got.ID != "abcdef" || got.Secret != "0123456789abcdef" {
		t.Errorf("%+v", got)
	}
	if err := got.Expect(ControllerUser); err != nil {
		t.Error(err)
	}
	if err := got.Expect(WorkerUser); err == nil || err.Error() != "wrong token type controller-bootstrap, expected type: kubelet-bootstrap" {
		t.Error(err)
	}
}

func TestEachDamageHasItsOwnError(t *testing.T) {
	var zip bytes.Buffer
	w := gzip.NewWriter(&zip)
	_, _ = w.Write([]byte("{["))
	_ = w.Close()
	wrong, _ := Encode(Kubeconfig("https://a:1", nil, WorkerUser, "ABC", "x"))
	for want, text := range map[string]string{"not base64": "%%%", "not gzip": base64.StdEncoding.EncodeToString([]byte("hello")),
		"not a kubeconfig": base64.StdEncoding.EncodeToString(zip.Bytes()), "<6>.<16>": wrong} {
		if _, err := Decode(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestAControllersTokenNeverAuthenticatesToTheAPI(t *testing.T) {
	s := secretOf("controller", time.Time{})
	if string(s.Data["usage-bootstrap-authentication"]) == "true" {
		t.Error("it would act as a worker")
	}
	if string(secretOf("worker", time.Time{}).Data["usage-bootstrap-authentication"]) != "true" {
		t.Error("a worker could not authenticate")
	}
}

func TestOnlyAValidControllersTokenAdmitsAController(t *testing.T) {
	now := time.Now()
	if !AdmitsController(secretOf("controller", now.Add(time.Minute)), "abcdef", "0123456789abcdef", true, now) {
		t.Error("a valid token is refused")
	}
	for name, ok := range map[string]bool{
		"worker":  AdmitsController(secretOf("worker", time.Time{}), "abcdef", "0123456789abcdef", true, now),
		"expired": AdmitsController(secretOf("controller", now.Add(-time.Second)), "abcdef", "0123456789abcdef", true, now),
		"secret":  AdmitsController(secretOf("controller", time.Time{}), "abcdef", "0123456789abcdeX", true, now),
	} {
		if ok {
			t.Errorf("%s: admitted", name)
		}
	}
	old := secretOf("controller", time.Time{})
	delete(old.Data, "usage-controller-join")
	if AdmitsController(old, "abcdef", "0123456789abcdef", false, now) {
		t.Error("before 1.32 only usage-controller-join counts")
	}
	if !AdmitsController(old, "abcdef", "0123456789abcdef", true, now) {
		t.Error("from 1.32 the other key counts")
	}
}
