package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func rawBase64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// command is a short run with everything small.
func command(t *testing.T, url, workload string) *runCmd {
	t.Helper()
	return &runCmd{Workload: workload, URL: url, Timeout: time.Minute, Concurrency: []int{3}, Accounts: 4, Duration: time.Minute, Requests: 60,
		Records: -1, RecordSize: 60, Batch: 7, Limit: 50, BlobSize: 1000, ReadBack: 8, SetupClients: 2, Upstream: "http://" + freeAddr(t), AnswerSizes: []int{1000}, AdminPassword: "secret",
		Out: filepath.Join(t.TempDir(), "out"), AccountsFile: filepath.Join(t.TempDir(), "accounts.json"), Pids: []int{os.Getpid()}}
}

func only(t *testing.T, r *runCmd) *result {
	t.Helper()
	all, err := loadResults(r.Out)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d results, %v", len(all), err)
	}
	return all[0]
}

func TestEveryWorkload(t *testing.T) {
	for _, w := range workloads {
		for _, clients := range []int{1, 3, 9} { // fewer and more than accounts
			m, url := startMemoryPDS(t)
			r := command(t, url, w.name)
			r.Concurrency = []int{clients}
			m.behind = r.Upstream
			if err := r.Run(context.Background()); err != nil {
				t.Fatalf("%s with %d clients: %v", w.name, clients, err)
			}
			got := only(t, r)
			if got.Operations != 60 || got.Errors != 0 || got.Throughput <= 0 || got.Latency.P50 <= 0 || got.Latency.P99 < got.Latency.P50 {
				t.Errorf("%s with %d clients: %+v", w.name, clients, got)
			}
			if got.Server == nil || got.Server.RSSPeak == 0 || got.Clients != clients {
				t.Errorf("%s: no figures of the server: %+v", w.name, got)
			}
			if w.acked != (got.Checked > 0) || got.Lost != 0 {
				t.Errorf("%s: %d checked, %d lost", w.name, got.Checked, got.Lost)
			}
			if w.name == "apply-writes" && got.Writes != 7 {
				t.Errorf("apply-writes counts %d writes", got.Writes)
			}
			if w.proxied != (got.Direct != nil) || w.proxied && (got.Bytes != 60*1000 || got.BlobSize != 1000 || got.Direct.Throughput <= 0) {
				t.Errorf("%s: %d bytes, %+v", w.name, got.Bytes, got.Direct)
			}
		}
	}
}

func TestDeleteEndsWhenNothingIsLeft(t *testing.T) {
	for _, clients := range []int{3, 9} {
		m, url := startMemoryPDS(t)
		r := command(t, url, "delete-record")
		r.Requests, r.Records, r.Concurrency = 0, 10, []int{clients}
		if err := r.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		got := only(t, r)
		if !got.UsedUp || got.Operations != 40 || got.Errors != 0 {
			t.Errorf("%d clients: %+v", clients, got)
		}
		for did, repo := range m.repos {
			if len(repo) != 0 {
				t.Errorf("%s has %d records left", did, len(repo))
			}
		}
	}
}

func TestAccountsAreKept(t *testing.T) {
	m, url := startMemoryPDS(t)
	m.invites = true
	r := command(t, url, "get-record")
	for range 2 {
		if err := r.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if m.calls["com.atproto.server.createAccount"] != 4 || m.calls["com.atproto.repo.applyWrites"] != 4 {
		t.Errorf("the second run made things again: %v", m.calls)
	}
	// Tokens that run out soon are replaced; more records and accounts are added to what is there.
	all, err := loadAccounts(r.AccountsFile, url, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		a.AccessJWT = "e30." + rawBase64(`{"exp":1}`) + ".x"
	}
	if err := saveAccounts(r.AccountsFile, url, "", all); err != nil {
		t.Fatal(err)
	}
	r.Records, r.Accounts = 450, 5
	if err := r.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if m.calls["com.atproto.server.createAccount"] != 5 || m.calls["com.atproto.server.createSession"] != 4 || m.calls["com.atproto.repo.applyWrites"] != 4+4*2+3 {
		t.Errorf("%v", m.calls)
	}
	r.Host = "other.test"
	if err := r.Run(context.Background()); err == nil {
		t.Error("accounts of another host were used")
	}
}

func TestHostHeader(t *testing.T) {
	m, url := startMemoryPDS(t)
	r := command(t, strings.Replace(url, "127.0.0.1", "beta.localhost", 1), "health")
	r.Host = "pds.test"
	if err := r.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(m.hosts) != 1 || !m.hosts["pds.test"] {
		t.Errorf("hosts %v", m.hosts)
	}
}

func TestLostWritesFail(t *testing.T) {
	m, url := startMemoryPDS(t)
	m.lossy = true
	r := command(t, url, "create-record")
	err := r.Run(context.Background())
	if got := only(t, r); err == nil || got.Lost == 0 || got.Lost != got.Checked {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestErrorsAreCountedByName(t *testing.T) {
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++ // one client: no race
		switch {
		case n%4 == 0:
			w.WriteHeader(429)
			json.NewEncoder(w).Encode(map[string]any{"error": "RateLimitExceeded", "message": "message " + strings.Repeat("!", n)})
		case n%10 == 5:
			w.WriteHeader(502)
			w.Write([]byte("<html>"))
		}
	}))
	defer s.Close()
	r := command(t, s.URL, "health")
	r.Concurrency, r.Requests = []int{1}, 40
	if err := r.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := only(t, r)
	if got.Operations != 26 || got.Errors != 14 || len(got.ErrorKinds) != 2 {
		t.Fatalf("%+v", got)
	}
	if k := got.ErrorKinds[0]; k.Name != "429 RateLimitExceeded" || k.Count != 10 || len(k.Messages) != 3 {
		t.Errorf("%+v", k)
	}
	if k := got.ErrorKinds[1]; k.Name != "502 NotXRPC" || k.Count != 4 || len(k.Messages) != 1 {
		t.Errorf("%+v", k)
	}
}

func TestAServerThatDiesEndsTheRun(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := command(t, s.URL, "health")
	r.Requests, r.Duration, r.Timeout = 0, time.Minute, time.Second
	time.AfterFunc(300*time.Millisecond, func() { s.CloseClientConnections(); s.Listener.Close() })
	begin := time.Now()
	err := r.Run(context.Background())
	got := only(t, r)
	if err == nil || !got.Deserted || got.Operations == 0 || got.ErrorKinds[0].Name != "connection" || time.Since(begin) > 50*time.Second {
		t.Errorf("%v after %v: %+v", err, time.Since(begin), got)
	}
}

func TestDurationAndWarmup(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(100 * time.Millisecond) }))
	defer s.Close()
	r := command(t, s.URL, "health")
	r.Requests, r.Duration, r.Warmup, r.Concurrency = 0, time.Second, 250*time.Millisecond, []int{8}
	if err := r.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	// 8 clients at 10 a second each: what is under way at both ends cancels out. A busy machine does fewer, in a part
	// whose ends come late; with the warm-up counted, it would be 1.25 s and 100 operations.
	if got := only(t, r); got.Throughput > 96 || got.Operations > 96 || got.Operations < 8 || got.Seconds < 0.8 {
		t.Errorf("%+v", got)
	}
}

func TestRunRefusesUnreasonableFlags(t *testing.T) {
	for name, spoil := range map[string]func(*runCmd){
		"no clients":    func(r *runCmd) { r.Concurrency = nil },
		"0 clients":     func(r *runCmd) { r.Concurrency = []int{0} },
		"many clients":  func(r *runCmd) { r.Concurrency = []int{1000} },
		"no accounts":   func(r *runCmd) { r.Accounts = 0 },
		"large batch":   func(r *runCmd) { r.Batch = 201 },
		"large page":    func(r *runCmd) { r.Limit = 101 },
		"no time":       func(r *runCmd) { r.Duration = 0 },
		"remote target": func(r *runCmd) { r.URL = "http://192.0.2.1" },
		"dead process":  func(r *runCmd) { r.Pids = []int{1 << 30} },
		"dead server":   func(r *runCmd) { r.URL = "http://127.0.0.1:1" },
	} {
		r := command(t, "http://127.0.0.1:1", "create-record")
		spoil(r)
		if err := r.Run(context.Background()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestInvitesAreNeededOrNot(t *testing.T) {
	m, url := startMemoryPDS(t)
	m.invites = true
	r := command(t, url, "create-account")
	r.AdminPassword = ""
	if err := r.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "--invite-code") {
		t.Errorf("%v", err)
	}
	r.InviteCode = "inv-ite"
	if err := r.Run(context.Background()); err != nil {
		t.Error(err)
	}
}
