package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "github.com/auroralocus/locus/openapi/clients/go/operator"
)

// The operator API of a real process: on its listener and under its hostname, never under a tenant's. A tenant that it
// makes is served, what it was asked is exported after the process has ended, and the log has both ways of changing
// things.
func TestOperatorAPI(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	port := freePort(t)
	s := serveAs(t, dir, func(c *exec.Cmd) {
		c.Args = append(c.Args, "--operator-listen", port, "--operator-hostname", "operators.example.com")
	})
	ok, refused := commandsIn(t, dir)
	var made struct{ ID, Secret string }
	if err := json.Unmarshal([]byte(ok("token", "create", "owner", "--label", "the test", "--life", "24h", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	refused("role tenant needs a tenant", "token", "create", "tenant", "--label", "x")
	refused("locus tenant list", "token", "create", "tenant", "--label", "x", "--tenant", "nowhere.example.com")

	api, err := sdk.New("http://127.0.0.1:"+port, made.Secret)
	if err != nil {
		t.Fatal(err)
	}
	const host = "pds.example.com"
	created, err := api.CreateTenantWithResponse(t.Context(), nil, sdk.CreateTenantInputBody{Hostname: host}, sdk.Once("first"))
	if err := sdk.Check(created, err); err != nil {
		t.Fatal(err)
	}
	if status, body := s.get(host, "/xrpc/com.atproto.server.describeServer"); status != http.StatusOK || !strings.Contains(body, "did:web:"+host) {
		t.Errorf("the new tenant: %d %s", status, body)
	}
	reserved, err := api.CreateTenantWithResponse(t.Context(), nil, sdk.CreateTenantInputBody{Hostname: "operators.example.com"})
	if err := sdk.Check(reserved, err); !sdk.IsCode(err, "name_taken") {
		t.Errorf("a tenant takes the API's hostname: %v", err)
	}
	for _, name := range []string{host, "localhost", "nowhere.example.com"} {
		if status, body := s.get(name, "/v1/me"); status != http.StatusNotFound && status != http.StatusMisdirectedRequest || strings.Contains(body, "locusdep") {
			t.Errorf("/v1/me under %s: %d %s", name, status, body)
		}
	}
	if status, body := s.get("operators.example.com", "/v1/me"); status != http.StatusUnauthorized || !strings.Contains(body, "locus token create") {
		t.Errorf("without a token: %d %s", status, body)
	}
	if list := ok("token", "list"); !strings.Contains(list, "the test") || strings.Contains(list, made.Secret) || strings.Contains(list, "never") {
		t.Errorf("list: %s", list)
	}
	ok("token", "revoke", made.ID)
	refused("locus token list", "token", "revoke", made.ID)
	me, err := api.WhoAmIWithResponse(t.Context())
	if err := sdk.Check(me, err); !sdk.IsCode(err, "unauthenticated") {
		t.Errorf("after revoking: %v", err)
	}
	log := ok("audit", "deployment")
	for _, want := range []string{"tenant create " + host, "token create " + made.ID, "token revoke " + made.ID, "token:" + made.ID + " the test"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
	}
	s.stop()

	day := time.Now().UTC().Format(time.DateOnly)
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly) // the test may run at midnight
	lines := strings.Split(strings.TrimSpace(ok("usage", "export", "--from", yesterday, "--to", day, "--tenant", host)), "\n")
	var requests, bytes int64
	for _, line := range lines[1:] {
		f := strings.Split(line, ",")
		var r, b int64
		if _, err := fmt.Sscan(f[3], &r); err != nil {
			t.Fatal(line, err)
		}
		if _, err := fmt.Sscan(f[4], &b); err != nil {
			t.Fatal(line, err)
		}
		requests, bytes = requests+r, bytes+b
	}
	if !strings.HasPrefix(lines[0], "day,tenant_id,hostname,requests") || requests != 2 || bytes < 100 {
		t.Errorf("%d requests and %d bytes were metered:\n%s", requests, bytes, strings.Join(lines, "\n"))
	}
	var one struct{ Hostname string }
	if text := ok("usage", "export", "--from", yesterday, "--to", day, "--tenant", host, "--format", "json"); json.Unmarshal([]byte(strings.Split(text, "\n")[0]), &one) != nil || one.Hostname != host {
		t.Errorf("%s", text)
	}
	refused("ends before it begins", "usage", "export", "--from", day, "--to", yesterday)
	refused("no day like", "usage", "export", "--from", "soon")
}

// A hostname that leads to a tenant, or could be a handle's, is not the operator API's.
func TestOperatorHostname(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	s.stop()
	_, refused := commandsIn(t, dir)
	for _, name := range []string{"localhost", "someone.test"} {
		refused("leads to the tenant", "serve", "--dev", "--listen", "127.0.0.1:"+s.port, "--plc-listen", "127.0.0.1:0", "--operator-hostname", name)
	}
	refused("lower case", "serve", "--dev", "--operator-hostname", "https://operators.example.com")
}

func TestOfLoopback(t *testing.T) {
	for in, want := range map[string]string{"2584": "127.0.0.1:2584", ":2584": "127.0.0.1:2584", "10.0.0.5:2584": "10.0.0.5:2584", "[::1]:1": "[::1]:1", "0.0.0.0:1": "0.0.0.0:1"} {
		if got := ofLoopback(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
