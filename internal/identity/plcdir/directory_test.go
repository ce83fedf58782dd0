package plcdir

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	indigo "github.com/bluesky-social/indigo/atproto/identity"
	"github.com/bluesky-social/indigo/atproto/syntax"
	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/vectors"
)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

// serve starts a directory with its HTTP face on loopback, and the client of
// package identity for it.
func serve(t *testing.T, limits bool) (*Directory, *identity.PLCClient, string, *clock) {
	t.Helper()
	c := &clock{t: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	d := New(dbtest.New(t), c.now, limits)
	srv := httptest.NewServer(d.Handler("test", slog.New(slog.NewTextHandler(t.Output(), nil))))
	t.Cleanup(srv.Close)
	hc := outbound.New(outbound.Policy{AllowLoopback: true})
	t.Cleanup(hc.CloseIdleConnections)
	return d, identity.NewPLCClient(srv.URL, hc), srv.URL, c
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// Both implementations of identity.Directory lead the same life.
func TestLifeOfADID(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	d, remote, url, clk := serve(t, false)
	for name, dir := range map[string]identity.Directory{"built-in": d, "remote": remote} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			keys, didKeys := newKeys(t, 2)
			did, g := genesis(t, didKeys, keys[1], "a.test")
			if _, err := dir.Resolve(ctx, did); !errors.Is(err, identity.ErrDIDNotFound) {
				t.Fatalf("before it exists: %v", err)
			}
			if _, err := dir.Resolve(ctx, "did:plc:nonsense"); !errors.Is(err, identity.ErrDIDSyntax) {
				t.Fatalf("nonsense: %v", err)
			}
			for range 2 { // an answer got lost, and it is sent again
				if err := dir.Submit(ctx, did, g); err != nil {
					t.Fatal(err)
				}
			}
			last, err := dir.Last(ctx, did)
			if err != nil || last.CID() != g.CID() {
				t.Fatal(last, err)
			}
			doc, err := dir.Resolve(ctx, did)
			if err != nil || doc.Handle() != "a.test" || doc.PDS() != "https://pds.test" {
				t.Fatal(doc, err)
			}
			if key, err := doc.SigningKey(); err != nil || key != didKeys[1] {
				t.Fatal(key, err)
			}

			up := update(t, last, keys[1], "b.test")
			if err := dir.Submit(ctx, did, up); err != nil {
				t.Fatal(err)
			}
			if err := dir.Submit(ctx, did, update(t, g, keys[1], "c.test")); !errors.Is(err, identity.ErrOperation) && !errors.Is(err, identity.ErrOperationConflict) {
				t.Fatalf("a second successor: %v", err)
			}
			if err := dir.Submit(ctx, did, g); !errors.Is(err, identity.ErrOperationConflict) {
				t.Fatalf("genesis once more: %v", err)
			}
			stranger, _ := newKeys(t, 1)
			if err := dir.Submit(ctx, did, update(t, up, stranger[0], "c.test")); !errors.Is(err, identity.ErrOperation) {
				t.Fatalf("a stranger's: %v", err)
			}

			clk.set(clk.now().Add(time.Hour))
			recovery := update(t, g, keys[0], "d.test")
			if err := dir.Submit(ctx, did, recovery); err != nil {
				t.Fatal(err)
			}
			if err := dir.Submit(ctx, did, up); !errors.Is(err, identity.ErrOperation) && !errors.Is(err, identity.ErrOperationConflict) {
				t.Fatalf("the nullified one again: %v", err)
			}
			tomb, err := identity.NewTombstone(recovery, keys[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := dir.Submit(ctx, did, tomb); err != nil {
				t.Fatal(err)
			}
			if _, err := dir.Resolve(ctx, did); !errors.Is(err, identity.ErrDIDTombstoned) {
				t.Fatalf("tombstoned: %v", err)
			}
			if op, err := dir.Last(ctx, did); err != nil || op.CID() != tomb.CID() {
				t.Fatal(op, err)
			}
			// go-didplc verifies the whole log from scratch.
			client := didplc.Client{DirectoryURL: url}
			audit, err := client.AuditLog(ctx, did)
			if err != nil || len(audit) != 4 {
				t.Fatal(len(audit), err)
			}
			if err := didplc.VerifyOpLog(audit); err != nil {
				t.Error(err)
			}
			if ops, err := client.OpLog(ctx, did); err != nil || len(ops) != 3 {
				t.Error(len(ops), err)
			}
		})
	}
}

// indigo and go-didplc read what the HTTP face says.
func TestForeignReaders(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	d, _, url, _ := serve(t, false)
	ctx := t.Context()
	keys, didKeys := newKeys(t, 1)
	did, g := genesis(t, didKeys, keys[0], "a.test")
	client := didplc.Client{DirectoryURL: url}
	if err := client.Submit(ctx, did, g); err != nil {
		t.Fatal(err)
	}
	base := indigo.BaseDirectory{PLCURL: url, HTTPClient: http.Client{Timeout: 5 * time.Second}, SkipHandleVerification: true}
	id, err := base.LookupDID(ctx, syntax.DID(did))
	if err != nil {
		t.Fatal(err)
	}
	if key, err := id.PublicKey(); err != nil || key.DIDKey() != didKeys[0] {
		t.Error(key, err)
	}
	if h, err := id.DeclaredHandle(); err != nil || h != "a.test" || id.PDSEndpoint() != "https://pds.test" {
		t.Error(h, id.PDSEndpoint(), err)
	}
	if _, err := base.LookupDID(ctx, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"); !errors.Is(err, indigo.ErrDIDNotFound) {
		t.Error(err)
	}
	// And the other way round: what their tools make is taken here.
	ring, _ := newKeys(t, 1)
	other, op := genesis(t, []string{ring[0].PublicDIDKey()}, ring[0], "b.test")
	if err := d.Submit(ctx, other, op); err != nil {
		t.Fatal(err)
	}
	if doc, err := client.Resolve(ctx, other); err != nil || doc.ID != other || doc.AlsoKnownAs[0] != "at://b.test" {
		t.Error(doc, err)
	}
}

func TestHTTPFace(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	d, _, url, clk := serve(t, false)
	keys, didKeys := newKeys(t, 2)
	did, g := genesis(t, didKeys, keys[0], "a.test")
	if err := d.Submit(t.Context(), did, g); err != nil {
		t.Fatal(err)
	}
	clk.set(clk.now().Add(1500 * time.Microsecond))
	up := update(t, g, keys[0], "b&<c>.test") // not a handle, and the directory does not mind
	if err := d.Submit(t.Context(), did, up); err != nil {
		t.Fatal(err)
	}

	resp, body := get(t, url+"/"+did)
	key := strings.TrimPrefix(didKeys[0], "did:key:")
	want := `{"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1","https://w3id.org/security/suites/secp256k1-2019/v1"],` +
		`"id":"` + did + `","alsoKnownAs":["at://b&<c>.test"],` +
		`"verificationMethod":[{"id":"` + did + `#atproto","type":"Multikey","controller":"` + did + `","publicKeyMultibase":"` + key + `"}],` +
		`"service":[{"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":"https://pds.test"}]}` + "\n"
	if body != want || resp.StatusCode != 200 {
		t.Errorf("document:\n%s\nwant\n%s", body, want)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/did+ld+json; charset=utf-8" || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error(resp.Header)
	}
	for path, want := range map[string]string{
		"/" + did + "/data":                      `{"did":"` + did + `","verificationMethods":{"atproto":"` + didKeys[0] + `"},"rotationKeys":["` + didKeys[0] + `","` + didKeys[1] + `"],"alsoKnownAs":["at://b&<c>.test"],"services":{"atproto_pds":{"type":"AtprotoPersonalDataServer","endpoint":"https://pds.test"}}}`,
		"/_health":                               `{"version":"test"}`,
		"/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa":      `{"message":"DID not registered: did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}`,
		"/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/data": `{"message":"DID not registered: did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}`,
		"/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/log":  `{"message":"DID not registered: did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}`,
		"/export?count=0":                        `{"message":"Invalid count parameter"}`,
		"/export?after=yesterday":                `{"message":"Invalid after parameter"}`,
		"/export?after=99999999999999999999":     `{"message":"Invalid after parameter"}`,
		"/a/b/c/d":                               `{"message":"Not Found"}`,
	} {
		if resp, body := get(t, url+path); strings.TrimSpace(body) != want || resp.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}

	_, body = get(t, url+"/"+did+"/log/audit")
	var audit []auditLine
	if err := json.Unmarshal([]byte(body), &audit); err != nil || len(audit) != 2 || replay(audit) != nil {
		t.Errorf("audit: %s", body)
	}
	if audit[0].CreatedAt != "2026-01-01T00:00:00.000Z" || audit[1].CreatedAt != "2026-01-01T00:00:00.001Z" {
		t.Error(audit[0].CreatedAt, audit[1].CreatedAt)
	}
	_, body = get(t, url+"/"+did+"/log/last")
	if op, err := identity.ParseOperation([]byte(body)); err != nil || op.CID() != up.CID() {
		t.Error(body, err)
	}

	for _, c := range []struct {
		body, contentType string
		status            int
		message           string
	}{
		{`{}`, "application/json", 400, "Not a valid operation"},
		{`[]`, "application/json", 400, "Not a valid operation"},
		{``, "application/json", 400, "Not a valid operation"},
		{`{"type":"plc_operation"}`, "application/json", 400, "Not a valid operation"},
		{`{"type":"plc_tombstone","prev":null,"sig":"x"}`, "application/json", 400, "Not a valid operation"},
		{`{"type":"plc_tombstone","prev":"x","sig":"x","more":1}`, "application/json", 400, "Not a valid operation"},
		{`{"type":"plc_tombstone","prev":"x","prev":"y","sig":"x"}`, "application/json", 400, "Not a valid operation"},
		{`{"type":"plc_tombstone","prev":"x","sig":"x"}`, "application/json; charset=utf-8", 400, "Operations not correctly ordered"},
		{`{"type":"plc_tombstone","prev":"x","sig":"x"}`, "text/plain", 400, "Not a valid operation"},
		{strings.Repeat("[", 90<<10), "application/json", 400, "Not a valid operation"},
		{strings.Repeat(" ", 101<<10), "application/json", 413, "request entity too large"},
		{`{"type":"create","signingKey":"x","recoveryKey":"x","handle":"x","service":"x","prev":null,"sig":"x"}`, "application/json", 400, "Not a valid operation"},
		{strings.ReplaceAll(mustMarshal(t, g), "a.test", `a\u0000.test`), "application/json", 400, "Not a valid operation"},
	} {
		resp, err := http.Post(url+"/"+did, c.contentType, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		var told struct{ Message string }
		err = json.NewDecoder(resp.Body).Decode(&told)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || !strings.HasPrefix(told.Message, c.message) {
			t.Errorf("%.60s: %d %s (%v)", c.body, resp.StatusCode, told.Message, err)
		}
	}
	req, _ := http.NewRequest(http.MethodOptions, url+"/"+did, nil)
	if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Methods") == "" {
		t.Error(resp, err)
	}
}

func mustMarshal(t *testing.T, op didplc.Operation) string {
	t.Helper()
	b, err := identity.MarshalOperation(op)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestExport(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	d, _, url, clk := serve(t, false)
	keys, didKeys := newKeys(t, 1)
	var cids []string
	for _, h := range []string{"a.test", "b.test", "c.test"} {
		did, g := genesis(t, didKeys, keys[0], h)
		if err := d.Submit(t.Context(), did, g); err != nil {
			t.Fatal(err)
		}
		cids = append(cids, g.CID().String())
		clk.set(clk.now().Add(time.Second))
	}
	type exported struct {
		auditLine
		Seq  int64
		Type string
	}
	read := func(query string) (got []exported, cids []string) {
		resp, body := get(t, url+"/export"+query)
		if resp.Header.Get("Content-Type") != "application/jsonlines" {
			t.Error(resp.Header)
		}
		for s := bufio.NewScanner(strings.NewReader(body)); s.Scan(); {
			var e exported
			if err := json.Unmarshal(s.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			got, cids = append(got, e), append(cids, e.CID)
		}
		return got, cids
	}
	if got, all := read(""); !slices.Equal(all, cids) || got[0].Seq != 0 || got[0].Type != "" {
		t.Error(got)
	}
	if got, all := read("?after=0"); !slices.Equal(all, cids) || got[2].Seq != 3 || got[2].Type != "sequenced_op" {
		t.Error(got)
	}
	if _, some := read("?after=1&count=1"); !slices.Equal(some, cids[1:2]) {
		t.Error(some)
	}
	if _, some := read("?count=2"); !slices.Equal(some, cids[:2]) {
		t.Error(some)
	}
	if _, some := read("?after=2026-01-01T00:00:01.000Z"); !slices.Equal(some, cids[2:]) {
		t.Error(some)
	}
	if _, none := read("?after=3"); none != nil {
		t.Error(none)
	}
}

func TestRateLimitsAreEnforced(t *testing.T) {
	d, remote, _, clk := serve(t, true)
	keys, didKeys := newKeys(t, 2)
	did, g := genesis(t, didKeys, keys[1], "a.test")
	var last didplc.Operation = g
	for i := range 10 {
		if err := d.Submit(t.Context(), did, last); err != nil {
			t.Fatal(i, err)
		}
		last = update(t, last, keys[1], "a.test")
	}
	for name, dir := range map[string]identity.Directory{"built-in": d, "remote": remote} {
		if err := dir.Submit(t.Context(), did, last); !errors.Is(err, identity.ErrOperationRate) {
			t.Errorf("%s: the eleventh: %v", name, err)
		}
	}
	clk.set(clk.now().Add(30 * time.Minute))
	if err := d.Submit(t.Context(), did, update(t, g, keys[0], "b.test")); err != nil {
		t.Errorf("recovery under a flood: %v", err)
	}
}

// Of many operations that want to follow the same one, one does; whatever the
// order, the log verifies.
func TestConcurrentSubmits(t *testing.T) {
	d, _, _, _ := serve(t, false)
	keys, didKeys := newKeys(t, 1)
	did, g := genesis(t, didKeys, keys[0], "a.test")
	if err := d.Submit(t.Context(), did, g); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := 0
	for i := range 12 {
		op := update(t, g, keys[0], string(rune('b'+i))+".test")
		wg.Go(func() {
			err := d.Submit(t.Context(), did, op)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				accepted++
			} else if !errors.Is(err, identity.ErrOperation) && !errors.Is(err, identity.ErrOperationConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	log, err := readLog(t.Context(), d.db.Control(), did)
	if err != nil || accepted != 1 || len(log) != 2 || log[1].op.PrevCIDStr() != log[0].cid {
		t.Errorf("%d accepted, %d in the log, %v", accepted, len(log), err)
	}
}

// The valid fixture logs survive Postgres: same CIDs, same nullification, a
// verifiable audit log at the end. Legacy ones are put in as they are.
func TestFixtureLogsStored(t *testing.T) {
	files := vectors.Files(t, "plc", "audit_log", "valid", "*.json")
	defer http.DefaultClient.CloseIdleConnections()
	d, _, url, clk := serve(t, false)
	n := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var lines []auditLine
		if err := json.Unmarshal(b, &lines); err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			op, err := identity.ParseOperation(l.Operation)
			if err != nil {
				t.Fatal(err)
			}
			at, _ := time.Parse(time.RFC3339, l.CreatedAt)
			clk.set(at)
			err = d.Submit(t.Context(), l.DID, op)
			if _, legacy := op.(*didplc.LegacyOp); legacy {
				if !errors.Is(err, identity.ErrOperation) {
					t.Errorf("legacy operation: %v", err)
				}
				err = insertAsIs(t.Context(), d, l, at)
			}
			if err != nil {
				t.Fatalf("%s: %v", filepath.Base(file), err)
			}
		}
		_, body := get(t, url+"/"+lines[0].DID+"/log/audit")
		var got []didplc.LogEntry
		if err := json.Unmarshal([]byte(body), &got); err != nil || len(got) != len(lines) {
			t.Fatal(err, len(got))
		}
		for i := range got {
			if got[i].CID != lines[i].CID || got[i].Nullified != lines[i].Nullified || got[i].CreatedAt != lines[i].CreatedAt {
				t.Errorf("%s: entry %d is %+v", filepath.Base(file), i, got[i])
			}
		}
		if err := didplc.VerifyOpLog(got); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
		n++
	}
	t.Logf("%d vectors", n)
}
