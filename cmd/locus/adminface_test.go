package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
)

// TestAdminFace: a process says that it lives, that it is ready while Postgres answers, and its numbers.
func TestAdminFace(t *testing.T) {
	p := dbtest.NewProxy(t, dbtest.EmptyURL(t))
	face := "127.0.0.1:" + freePort(t)
	s := serveAs(t, t.TempDir(), func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "LOCUS_DATABASE_URL="+p.URL())
		cmd.Args = append(cmd.Args, "--admin-listen", face, "--metrics-tenants", "busiest:3")
	})
	defer s.stop()
	ask := func(path string) (int, string) {
		r, err := http.Get("http://" + face + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(body)
	}
	status, body := s.post("localhost", "com.atproto.server.createSession", "", map[string]string{"identifier": "alice.test", "password": devPassword})
	var session struct{ AccessJwt, DID string }
	if err := json.Unmarshal([]byte(body), &session); err != nil || status != http.StatusOK {
		t.Fatal(status, body, err)
	}
	record := map[string]any{"repo": session.DID, "collection": "app.bsky.feed.post", "record": map[string]any{"$type": "app.bsky.feed.post", "text": "x", "createdAt": "2026-01-01T00:00:00Z"}}
	before := number(t, ask, `locus_commits_total`)
	if status, body := s.post("localhost", "com.atproto.repo.createRecord", session.AccessJwt, record); status != http.StatusOK {
		t.Fatal(status, body)
	}
	s.get("localhost", "/xrpc/com.example.nothing")
	s.get("localhost", "/xrpc/com.example.else")
	s.get("elsewhere.example", "/a-page")
	for name, least := range map[string]float64{
		`locus_commits_total`: before + 1,
		`locus_requests_total{class="account",code="200",method="com.atproto.repo.createRecord"}`:   1,
		`locus_requests_total{class="public",code="200",method="com.atproto.server.createSession"}`: 1,
		`locus_request_seconds_count{method="com.atproto.repo.createRecord"}`:                       1,
		`locus_request_seconds_bucket{method="com.atproto.repo.createRecord",le="+Inf"}`:            1,
		`locus_request_seconds_count{method="other"}`:                                               2,
		`locus_request_seconds_count{method="page"}`:                                                1,
		`locus_postgres_up`: 1,
		`locus_postgres_connections{node="1",pool="tenants"}`: 1,
		`locus_password_hashes_total`:                         1,
		`locus_mail_attempts_total{outcome="sent"}`:           0,
		`locus_stream_subscribers`:                            0,
		`go_goroutines`:                                       1,
	} {
		if n := number(t, ask, name); n < least {
			t.Errorf("%s is %v, wanted %v or more", name, n, least)
		}
	}
	if _, body := ask("/metrics"); strings.Contains(body, "com.example") || strings.Contains(body, "elsewhere") {
		t.Error("a label is what a stranger asked for")
	}
	_, body = ask("/metrics")
	holdMetrics(t, body)
	becomes(t, ask, "/readyz", http.StatusOK)
	p.Down(true)
	becomes(t, ask, "/readyz", http.StatusServiceUnavailable)
	if status, body := ask("/livez"); status != http.StatusOK || !strings.Contains(body, "ok") {
		t.Errorf("without a database: %d %s", status, body)
	}
	p.Down(false)
	becomes(t, ask, "/readyz", http.StatusOK)
	if status, _ := ask("/xrpc/_health"); status != http.StatusNotFound {
		t.Errorf("the server itself is there, too: %d", status)
	}
}

// number is what the metrics say now.
func number(t *testing.T, ask func(string) (int, string), name string) float64 {
	t.Helper()
	_, body := ask("/metrics")
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(body)
	if found == nil {
		t.Errorf("there is no %s", name)
		return -1
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Error(name, err)
	}
	return n
}

// becomes waits for a status.
func becomes(t *testing.T, ask func(string) (int, string), path string, want int) {
	t.Helper()
	got := 0
	for range 100 {
		if got, _ = ask(path); got == want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%s: %d, not %d", path, got, want)
}

var update = flag.Bool("update", false, "write docs/monitoring.md anew")

// holdMetrics holds the table of the documentation against what a server shows.
func holdMetrics(t *testing.T, shown string) {
	t.Helper()
	const file = "../../docs/monitoring.md"
	types := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (locus_\S+) (\S+)$`).FindAllStringSubmatch(shown, -1) {
		types[m[1]] = m[2]
	}
	var table strings.Builder
	table.WriteString("\n| name | labels | kind | what it says |\n| --- | --- | --- | --- |\n")
	for _, m := range regexp.MustCompile(`(?m)^# HELP (locus_\S+) (.*)$`).FindAllStringSubmatch(shown, -1) {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", m[1], strings.Join(labelsOf(shown, m[1]), ", "), types[m[1]], strings.ReplaceAll(m[2], `\"`, `"`))
	}
	table.WriteString("\n")
	text, err := os.ReadFile(file)
	must(t, err)
	const begin, end = "writes it -->\n", "<!-- end of metrics -->"
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("the page has no place for the table")
	}
	if have == table.String() {
		return
	}
	if !*update {
		t.Errorf("%s says something else of the metrics: go test ./cmd/locus -run TestAdminFace -update", file)
		return
	}
	must(t, os.WriteFile(file, []byte(before+begin+table.String()+end+after), 0o644))
}

// labelsOf are the labels that a metric has, but for a histogram's le.
func labelsOf(shown, name string) []string {
	var names []string
	found := regexp.MustCompile(`(?m)^` + name + `(?:_bucket|_count|_sum)?\{([^}]*)\}`).FindStringSubmatch(shown)
	if found == nil {
		return nil
	}
	for _, m := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(found[1], -1) {
		if m[1] != "le" {
			names = append(names, "`"+m[1]+"`")
		}
	}
	return names
}
