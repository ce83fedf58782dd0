package console

import (
	"context"
	"crypto/rand"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/blob/store"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// newTenantHouse is a house whose accounts can be made and changed.
func newTenantHouse(t *testing.T, post outbox.Config) *house {
	t.Helper()
	return newTenantHouseOn(t, dbtest.New(t), post)
}

func newTenantHouseOn(t *testing.T, d *db.DB, post outbox.Config) *house {
	t.Helper()
	h := newHouseOn(t, d)
	h.http.Close()
	p := h.acts.Parts
	directory := plcdir.New(h.db, h.now, false)
	client := outbound.New(outbound.Policy{AllowLoopback: true})
	documents := identity.NewResolver(identity.ResolverConfig{Now: h.now, Log: p.Log, HTTP: client, PLC: directory})
	var files blob.Config
	files.Stores.DataDir = t.TempDir()
	p.Blobs = blob.New(h.db, p.Keys, h.now, p.Log, files)
	p.Repos = repodb.New(h.db, p.Keys, h.now, p.Log, repodb.Config{Hub: p.Hub})
	p.Outbox = outbox.New(h.db, p.Keys, h.tenants, post, h.now, p.Log)
	p.Passwords = account.NewPasswords(account.PasswordConfig{Cost: account.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}, Parallel: 8}, h.now)
	p.Directory, p.Documents = directory, documents
	h.acts = act.New(p)
	h.jobs = job.New(h.db, h.now, p.Log)
	for _, k := range h.acts.TenantJobs() {
		h.jobs.Register(k)
	}
	h.jobs.Register(h.acts.MoveJob(nil))
	h.store = t.TempDir()
	shelf, err := store.OpenFiles("disk:"+h.store, "", store.Config{})
	must(t, err)
	kept := &archive.Store{DB: h.db, Blobs: p.Blobs, Keys: p.Keys, Now: h.now, Log: p.Log, Program: "test"}
	backups := act.NewBackups(act.NewArchives(h.db, h.tenants, p.Hub, kept, h.now, p.Log), vault.New(shelf, h.now), act.BackupRules{}, p.Repos, h.jobs)
	for _, k := range backups.Kinds() {
		h.jobs.Register(k)
	}
	c := h.pages.Config
	c.Acts, c.Jobs, c.Backups = h.acts, h.jobs, backups
	c.Masters = act.NewMasterKeys(h.acts.TenantActs, p.Keys, nil, time.Millisecond, p.Log)
	h.pages = New(c)
	h.http = httptest.NewServer(h.pages)
	t.Cleanup(func() {
		h.http.Close()
		p.Repos.Close()
		p.Blobs.Close()
		documents.Close()
		client.CloseIdleConnections()
	})
	return h
}

// person is a new account.
func (h *house) person(t *tenant.Tenant, name string) string {
	h.t.Helper()
	password := "a long password"
	did, _, err := h.acts.CreateAccount(h.t.Context(), t, byHand(), account.Request{Handle: name + "." + t.Hostname, Email: name + "@mail.example", Password: &password})
	must(h.t, err)
	return did
}

// who is the account as it is now.
func (h *house) who(t *tenant.Tenant, did string) account.Info {
	h.t.Helper()
	list, err := account.Infos(h.t.Context(), h.db.Tenant(t.Schema).Q(), []string{did})
	must(h.t, err)
	if len(list) != 1 {
		h.t.Fatalf("%s is not there", did)
	}
	return list[0]
}

// written is the newest line of a tenant's log about something.
func (h *house) written(t *tenant.Tenant, subject string) audit.Entry {
	h.t.Helper()
	list, _, err := audit.Newest(context.WithoutCancel(h.t.Context()), h.db.Tenant(t.Schema).Q(), audit.Filter{Subject: subject}, 1, roleName)
	must(h.t, err)
	if len(list) == 0 {
		h.t.Fatalf("the log has nothing about %s", subject)
	}
	return list[0]
}

// wrote holds who the newest line about something names, and what it has.
func (h *house) wrote(t *tenant.Tenant, subject string, b *browser, action string, details ...string) {
	h.t.Helper()
	e := h.written(t, subject)
	_, name := b.ref.Tenant()
	if name == "" {
		name = "token:" + b.ref.Token()
	}
	if e.Action != action || !strings.HasPrefix(e.Who, name) || e.Address == "" || e.RequestID == "" || e.Outcome != audit.Done {
		h.t.Errorf("the log has %+v, wanted %s by %s", e, action, name)
	}
	for _, d := range details {
		if !strings.Contains(string(e.Detail), d) {
			h.t.Errorf("%s: the log has %s, and not %s", action, e.Detail, d)
		}
	}
}

// staff are the operators of a tenant, by role.
func (h *house) staff(t *tenant.Tenant) map[auth.Role]*browser {
	out := map[auth.Role]*browser{}
	for r := auth.RoleSupport; r <= auth.RoleOwner; r++ {
		out[r] = h.operatorOf(t, r)
	}
	return out
}

// app is a client that is signed in to an account.
func (h *house) app(t *tenant.Tenant, who *account.Account, client, name string) {
	h.t.Helper()
	id, code := make([]byte, 16), make([]byte, 32)
	_, _ = rand.Read(id)
	_, _ = rand.Read(code)
	ends := h.now().UTC().Add(time.Hour)
	must(h.t, h.db.Tenant(t.Schema).Q().InsertOAuthSession(h.t.Context(), tenantdb.InsertOAuthSessionParams{
		ID: id, AID: who.AID, Epoch: who.Epochs.Session, ClientID: client, ClientName: name, Jkt: "a thumbprint", Granted: "atproto transition:generic", Scope: "atproto transition:generic",
		Code: code, Now: h.now().UTC(), EndsAt: ends, ExpiresAt: ends,
	}))
}
