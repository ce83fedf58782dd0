package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db/dbtest"
)

// realRelay is indigo's relay, as the network runs it, on loopback and with a database of its own.
type realRelay struct {
	*testing.T
	program, url string
	env          []string
	conn         *pgx.Conn
	cmd          *exec.Cmd
	said         *lockedBuffer
}

// newRealRelay starts it. plc is the URL of the directory that it asks.
func newRealRelay(t *testing.T, plc string) *realRelay {
	t.Helper()
	build := exec.Command("go", "tool", "-modfile="+filepath.Join("..", "..", "internal", "doctor", "relay", "go.mod"), "-n", "relay")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // its SQLite is not used
	out, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("build the relay: %v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	bind, at := "127.0.0.1:"+freePort(t), dbtest.EmptyURL(t)
	r := &realRelay{T: t, program: lines[len(lines)-1], url: "http://" + bind, said: new(lockedBuffer)}
	r.env = append(os.Environ(), "DATABASE_URL="+at, "RELAY_API_BIND="+bind, "RELAY_METRICS_LISTEN=127.0.0.1:"+freePort(t), "RELAY_PLC_HOST="+plc,
		"RELAY_PERSIST_DIR="+t.TempDir(), "RELAY_ADMIN_PASSWORD=hunter2", "RELAY_IDENT_CACHE_SIZE=1000", "RELAY_LOG_LEVEL=info", "MAX_DB_CONNECTIONS=4")
	if r.conn, err = pgx.Connect(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	r.start()
	t.Cleanup(func() {
		r.stop()
		_ = r.conn.Close(context.Background())
	})
	return r
}

func (r *realRelay) start() {
	r.Helper()
	r.cmd = exec.Command(r.program, "serve")
	r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr = r.env, r.said, r.said
	must(r.T, r.cmd.Start())
	comes(r.T, "the relay", func() (struct{}, bool) {
		res, err := http.Get(r.url + "/xrpc/_health")
		if err == nil {
			_ = res.Body.Close()
		}
		return struct{}{}, err == nil && res.StatusCode == http.StatusOK
	})
}

func (r *realRelay) stop() {
	if r.cmd != nil {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

func (r *realRelay) sql(text string, args ...any) {
	r.Helper()
	_, err := r.conn.Exec(r.Context(), text, args...)
	must(r.T, err)
}

// follows has it follow a host of loopback, which it takes from nobody over its API, with so many accounts at most.
func (r *realRelay) follows(host string, accounts int) {
	r.Helper()
	r.stop()
	r.sql("INSERT INTO host (created_at, updated_at, hostname, no_ssl, account_limit, status) VALUES (now(), now(), $1, true, $2, 'active')", host, accounts)
	r.start()
}

// admin does what its operator does.
func (r *realRelay) admin(path, body string) {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.url+"/admin/"+path, strings.NewReader(body))
	must(r.T, err)
	req.SetBasicAuth("admin", "hunter2")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	must(r.T, err)
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		r.Errorf("%s: %d %s", path, res.StatusCode, text)
	}
}

// person is an account of the development server, signed in.
type person struct{ Did, AccessJwt string }

func (s *served) person(handle, password string) (p person) {
	s.t.Helper()
	code, body := s.post("localhost", "com.atproto.server.createSession", "", map[string]string{"identifier": handle, "password": password})
	if code != http.StatusOK {
		code, body = s.post("localhost", "com.atproto.server.createAccount", "", map[string]string{"handle": handle, "password": password, "email": handle + "@example.com"})
	}
	if code != http.StatusOK || json.Unmarshal([]byte(body), &p) != nil {
		s.t.Fatalf("%s: %d %s", handle, code, body)
	}
	return p
}

func (s *served) wants(p person, method string, in any) {
	s.t.Helper()
	if code, body := s.post("localhost", method, p.AccessJwt, in); code != http.StatusOK {
		s.t.Fatalf("%s: %d %s", method, code, body)
	}
}

// TestDoctorRelay: what the doctor makes of what indigo's own relay says of a host and of accounts.
func TestDoctorRelay(t *testing.T) {
	t.Parallel()
	dir, at, plc := filepath.Join(t.TempDir(), "data"), dbtest.EmptyURL(t), "127.0.0.1:"+freePort(t)
	s := serveAs(t, dir, func(cmd *exec.Cmd) {
		cmd.Args[slices.Index(cmd.Args, "127.0.0.1:0")] = plc
		cmd.Env = append(cmd.Env, "LOCUS_DATABASE_URL="+at)
	})
	r := newRealRelay(t, "http://"+plc)
	ok, _ := on(t, at, dir)
	ok("tenant", "set", "localhost", "crawlers="+r.url)
	alice, bob := s.person("alice.test", devPassword), s.person("bob.test", "hunter2-hunter2")
	post := func(p person) {
		t.Helper()
		s.wants(p, "com.atproto.repo.createRecord", map[string]any{
			"repo": p.Did, "collection": "com.example.note", "record": map[string]any{"$type": "com.example.note", "text": "hello"},
		})
	}

	// look is what is found of relays: of the host, and of an account.
	look := func(account string) (names []string, text string) {
		t.Helper()
		out, errs, err := runWith(t, []string{"LOCUS_DATABASE_URL=" + at}, "doctor", "--tenant", "localhost", "--account", account, "--json", "--data-dir", dir)
		var said doctorJSON
		if jsonErr := json.Unmarshal([]byte(out), &said); jsonErr != nil {
			t.Fatalf("%v, %v: %s%s", err, jsonErr, out, errs)
		}
		for _, c := range said.Checks {
			if c.Name != "relay" && c.Name != "account-relay" {
				continue
			}
			for _, f := range c.Findings {
				if f.Wrong == "" || f.Seen == "" || f.Do == "" {
					t.Errorf("%+v", f)
				}
				names = append(names, f.Name)
				text += fmt.Sprintf("%+v\n", f)
			}
		}
		return names, text
	}
	finds := func(what, account string, want ...string) {
		t.Helper()
		var names []string
		var text string
		for range 60 { // the relay writes down where it is every four seconds
			if names, text = look(account); slices.Equal(names, want) {
				t.Logf("%s:\n%s", what, text)
				return
			}
			time.Sleep(500 * time.Millisecond)
		}
		t.Errorf("%s: %q, want %q\n%s", what, names, want, text)
	}
	host := "localhost:" + s.port
	finds("never heard of", alice.Did, "relay-unknown", "relay-no-account")
	r.follows(host, 2)
	post(alice)
	post(bob)
	finds("followed", alice.Did)
	finds("followed", bob.Did)

	r.admin("repo/takeDown", `{"did": "`+alice.Did+`"}`)
	finds("taken down there", alice.Did, "relay-account-takendown")
	r.admin("repo/reverseTakedown", `{"did": "`+alice.Did+`"}`)
	finds("brought back there", alice.Did)
	carol := s.person("carol.test", "hunter2-hunter2")
	finds("one account too many", carol.Did, "relay-account-throttled")
}
