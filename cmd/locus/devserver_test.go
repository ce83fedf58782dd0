package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/tenant"
)

// TestCommandsFollowDevServer: what a command makes beside a development server is reached where that listens, and its
// DIDs are in the server's own directory, without a word about either on the command line.
func TestCommandsFollowDevServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	endpoint := func(handle string) string {
		t.Helper()
		status, body := s.get("localhost", "/xrpc/com.atproto.repo.describeRepo?repo="+handle)
		var repo struct {
			DIDDoc struct {
				Service []struct{ ServiceEndpoint string }
			}
		}
		if err := json.Unmarshal([]byte(body), &repo); err != nil || status != http.StatusOK || len(repo.DIDDoc.Service) != 1 {
			t.Fatalf("%d %s %v", status, body, err)
		}
		return repo.DIDDoc.Service[0].ServiceEndpoint
	}
	ok, _ := commandsIn(t, dir)
	ok("account", "create", "localhost", "robert.test", "--email", "robert@example.com", "--password", "robert-password")
	if got, want := endpoint("robert.test"), "http://localhost:"+s.port; got != want {
		t.Errorf("the account's DID leads to %s, want %s", got, want)
	}
	ok("account", "rotate-key", "localhost", "robert.test")
	if got, want := endpoint("robert.test"), "http://localhost:"+s.port; got != want {
		t.Errorf("after a new key the account's DID leads to %s, want %s", got, want)
	}
	if out := ok("tenant", "create", "third.localhost", "--json"); !strings.Contains(out, "http://third.localhost:"+s.port) || !strings.Contains(out, "did:web:third.localhost%3A"+s.port) {
		t.Errorf("a tenant made beside it: %s", out)
	}
	s.stop()
	if out := ok("tenant", "show", "localhost"); !strings.Contains(out, "http://localhost:"+s.port) {
		t.Errorf("when it has stopped: %s", out)
	}

	// Served otherwise, the folder is no development server's any more.
	s = &served{t: t, cmd: locus(t, "serve", "--data-dir", dir, "--listen", "127.0.0.1:"+freePort(t)), done: make(chan error, 1)}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "development.json")); os.IsNotExist(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Error("the note about the development server stays")
			break
		}
	}
	s.stop()
}

// TestDevServerElsewhere: a database that is not the folder's has nothing to do with the folder's development server,
// and --dev speaks of one elsewhere.
func TestDevServerElsewhere(t *testing.T) {
	data := dataFlags{DataDir: t.TempDir()}
	if err := data.writeDevServer(devServer{Port: 4001}); err != nil {
		t.Fatal(err)
	}
	elsewhere := data
	elsewhere.DatabaseURL = "postgres://db.example.com/locus"
	https := originFlags{PublicScheme: "https"}
	for _, test := range []struct {
		name   string
		flags  appFlags
		want   tenant.Config
		server devServer
	}{
		{"in the folder", appFlags{dataFlags: data, originFlags: https}, tenant.Config{Scheme: "http", Port: 4001, Dev: true}, devServer{Port: 4001}},
		{"in the folder, behind a proxy", appFlags{dataFlags: data, originFlags: originFlags{PublicScheme: "https", PublicPort: 8443}}, tenant.Config{Scheme: "https", Port: 8443, Dev: true}, devServer{Port: 4001}},
		{"elsewhere", appFlags{dataFlags: elsewhere, originFlags: https}, tenant.Config{Scheme: "https"}, devServer{}},
		{"elsewhere, --dev", appFlags{dataFlags: elsewhere, originFlags: https, Dev: true}, tenant.Config{Scheme: "http", Port: devPort, Dev: true}, devServer{Port: devPort}},
		{"elsewhere, --dev at a port", appFlags{dataFlags: elsewhere, originFlags: originFlags{PublicScheme: "https", PublicPort: 4002}, Dev: true}, tenant.Config{Scheme: "http", Port: 4002, Dev: true}, devServer{Port: 4002}},
	} {
		t.Run(test.name, func(t *testing.T) {
			origin, server, err := test.flags.origin()
			if err != nil || origin != test.want || server != test.server {
				t.Errorf("%+v %+v %v, want %+v %+v", origin, server, err, test.want, test.server)
			}
		})
	}
	if err := data.writeDevServer(devServer{}); err != nil {
		t.Fatal(err)
	}
	if d, err := data.devServer(); err != nil || d != (devServer{}) {
		t.Errorf("after it is taken away: %+v %v", d, err)
	}
}
