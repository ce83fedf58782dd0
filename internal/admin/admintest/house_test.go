package admintest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	openapi_types "github.com/oapi-codegen/runtime/types"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/admin"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/blob/store"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
	sdk "github.com/auroralocus/locus/openapi/clients/go/operator"
	"github.com/auroralocus/locus/repo/repodb"
)

// house is the API on a database and a socket of its own.
type house struct {
	t       *testing.T
	db      *db.DB
	tenants *tenant.Registry
	acts    *act.Acts
	jobs    *job.Runner
	backups *act.Backups
	masters *act.MasterKeys
	keyFile string // the process has its master keys from it
	store   string // folder of backups
	mute    atomic.Bool
	ahead   atomic.Int64
	admin   *admin.Server
	http    *httptest.Server
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, db: dbtest.New(t)}
	h.keyFile = filepath.Join(t.TempDir(), "master.key")
	given := func(context.Context) (*keyring.Master, error) { return keyring.LoadMaster(h.keyFile) }
	first, err := keyring.LoadOrCreateMaster(h.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.New(first, 0)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&lines{t: t, mute: &h.mute}, nil))
	h.tenants = tenant.NewRegistry(h.db, keys, tenant.Config{Scheme: "http", Port: 2583, Dev: true}, h.now, log)
	h.jobs = job.New(h.db, h.now, log)
	h.acts = act.New(act.Parts{DB: h.db, Tenants: h.tenants, Keys: keys, Hub: firehose.NewHub(), Now: h.now, Log: log})
	for _, k := range h.acts.TenantJobs() {
		h.jobs.Register(k)
	}
	blobs := blob.New(h.db, keys, h.now, log, blob.Config{Location: "data:", Stores: blob.StoreConfig{DataDir: t.TempDir()}})
	t.Cleanup(blobs.Close)
	repos := repodb.New(h.db, keys, h.now, log, repodb.Config{})
	t.Cleanup(repos.Close)
	h.store = t.TempDir()
	files, err := store.OpenFiles("disk:"+h.store, "", store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	kept := &archive.Store{DB: h.db, Blobs: blobs, Keys: keys, Now: h.now, Log: log, Program: "test"}
	h.backups = act.NewBackups(act.NewArchives(h.db, h.tenants, h.acts.Hub, kept, h.now, log), vault.New(files, h.now), act.BackupRules{}, repos, h.jobs)
	for _, k := range h.backups.Kinds() {
		h.jobs.Register(k)
	}
	h.masters = act.NewMasterKeys(h.acts.TenantActs, keys, given, time.Millisecond, log)
	h.jobs.Register(h.masters.RotateKind(nil))
	h.admin = admin.New(admin.Config{
		DB: h.db, Keys: keys, Tenants: h.tenants, Acts: h.acts, Jobs: h.jobs, Backups: h.backups, Masters: h.masters, Proxies: inbound.Proxies{}, Version: "test", Now: h.now, Log: log,
	})
	h.http = httptest.NewServer(h.admin)
	t.Cleanup(h.http.Close)
	return h
}

// runJobs has this process do jobs until the test ends.
func (h *house) runJobs() {
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.jobs.Run(running) }()
	h.t.Cleanup(func() { stop(); <-ended })
}

// ended waits for the end of a job.
func (h *house) ended(c *sdk.ClientWithResponses, j *sdk.Job, state string) {
	h.t.Helper()
	wait := int64(60)
	for {
		got, err := c.GetJobWithResponse(h.t.Context(), j.Id, &sdk.GetJobParams{Wait: &wait})
		must(h.t, got, err)
		if got.JSON200.Ended {
			if string(got.JSON200.State) != state {
				h.t.Errorf("job %s: %s", j.Kind, got.Body)
			}
			return
		}
	}
}

// lines fails the test on what the server logs as an error.
type lines struct {
	t    *testing.T
	mute *atomic.Bool // a test means it
}

func (l *lines) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "level=ERROR") && !l.mute.Load() {
		l.t.Errorf("the server logged: %s", p)
	}
	return len(p), nil
}

// byHand is somebody at the command line.
func byHand() act.Operator {
	return act.Operator{Operator: auth.Operator{Name: "cli:test", Role: auth.RoleOwner}, Deployment: auth.DeploymentOwner}
}

// token makes a token; t is the tenant of role tenant.
func (h *house) token(role auth.DeploymentRole, t *tenant.Tenant) string {
	h.t.Helper()
	secret, _, err := h.acts.AddDeploymentToken(h.t.Context(), byHand(), act.NewDeploymentToken{Label: role.String(), Role: role, Tenant: t})
	if err != nil {
		h.t.Fatal(err)
	}
	return secret
}

func (h *house) tenant(host string) *tenant.Tenant {
	h.t.Helper()
	made, err := h.acts.CreateTenant(h.t.Context(), byHand(), tenant.Spec{Hostname: host})
	if err != nil {
		h.t.Fatal(err)
	}
	return made
}

type obj = map[string]any

type reply struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
}

// call makes a request; headers are "Name: value".
func (h *house) call(token, verb, path string, body any, headers ...string) reply {
	h.t.Helper()
	var sent io.Reader
	if text, ok := body.(string); ok {
		sent = strings.NewReader(text)
	} else if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			h.t.Fatal(err)
		}
		sent = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(h.t.Context(), verb, h.http.URL+path, sent)
	if err != nil {
		h.t.Fatal(err)
	}
	if sent != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return reply{h.t, verb + " " + path, resp.StatusCode, resp.Header, b}
}

func (r reply) ok() reply {
	r.t.Helper()
	if r.status < 200 || r.status > 299 {
		r.t.Fatalf("%s: %d %s", r.what, r.status, r.body)
	}
	return r
}

// fails expects a problem in its one form.
func (r reply) fails(status int, code, part string) {
	r.t.Helper()
	var p admin.Problem
	if err := json.Unmarshal(r.body, &p); err != nil || r.status != status || p.Code != code || p.Status != status || p.Title == "" || p.Detail == "" || p.RequestID != r.header.Get("X-Request-Id") || r.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(string(r.body), part) {
		r.t.Errorf("%s: %d %s %s, want %d %s with %q", r.what, r.status, r.header.Get("Content-Type"), r.body, status, code, part)
	}
}

func (r reply) json() obj {
	r.t.Helper()
	var o obj
	if err := json.Unmarshal(r.body, &o); err != nil {
		r.t.Fatalf("%s: %v: %s", r.what, err, r.body)
	}
	return o
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func date(t time.Time) openapi_types.Date { return openapi_types.Date{Time: t} }

// idempotencyOf names what is kept of a caller's request.
func idempotencyOf(h *house, token, key string) controldb.GetIdempotencyParams {
	h.t.Helper()
	who, err := auth.Deployment(h.t.Context(), h.db, "Bearer "+token, h.now())
	if err != nil {
		h.t.Fatal(err)
	}
	return controldb.GetIdempotencyParams{Caller: who.TokenID, Key: key}
}
