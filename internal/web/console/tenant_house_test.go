package console

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// newTenantHouse is a house whose accounts can be made and changed.
func newTenantHouse(t *testing.T, post outbox.Config) *house {
	t.Helper()
	h := newHouse(t)
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
	c := h.pages.Config
	c.Acts = h.acts
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
