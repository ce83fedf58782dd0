package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rotatesSecrets: new secrets are made beside a server, which knows them soon and signs nobody out.
func rotatesSecrets(t *testing.T, s *served, dir string) {
	t.Helper()
	ok, refused := commandsIn(t, dir)
	var session struct{ AccessJWT string }
	status, body := s.post("localhost", "com.atproto.server.createSession", "", map[string]string{"identifier": "robert.test", "password": "robert-password"})
	if err := json.Unmarshal([]byte(body), &session); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	keys := func() int {
		_, body := s.get("localhost", "/oauth/jwks")
		return strings.Count(body, `"kid"`)
	}
	if n := keys(); n != 1 {
		t.Fatalf("%d public keys", n)
	}
	refused("--yes", "tenant", "rotate-secrets", "localhost", "--end-sessions")
	refused("--all", "tenant", "rotate-secrets")
	if out := ok("tenant", "rotate-secrets", "localhost", "--json"); !strings.Contains(out, `"signsFrom"`) {
		t.Error(out)
	}
	refused("a moment ago", "tenant", "rotate-secrets", "localhost")
	for deadline := time.Now().Add(time.Minute); keys() != 2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server does not come to know the new secrets")
		}
	}
	r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+s.port+"/xrpc/com.atproto.server.getSession", nil)
	must(t, err)
	r.Host = "localhost"
	r.Header.Set("Authorization", "Bearer "+session.AccessJWT)
	if status, body := s.do(r); status != http.StatusOK {
		t.Errorf("a session of before: %d %s", status, body)
	}
}
