package act_test

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// house is what acts on accounts work on, with a clock that stands still until the test moves it.
type house struct {
	*act.Acts
	t       *testing.T
	tenant  *tenant.Tenant
	parts   act.Parts
	seconds atomic.Int64
}

func (h *house) now() time.Time {
	return time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(h.seconds.Load()) * time.Second)
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t}
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return newHouseOn(t, h, keys, dbtest.Open(t, dbtest.URL(t)))
}

func newHouseOn(t *testing.T, h *house, keys *keyring.Keyring, d *db.DB) *house {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	p := act.Parts{DB: d, Keys: keys, Now: h.now, Log: log, Hub: firehose.NewHub()}
	p.Tenants = tenant.NewRegistry(d, keys, tenant.Config{Scheme: "http", Port: 2583, Dev: true}, h.now, log)
	p.Directory = plcdir.New(d, h.now, false)
	p.Documents = identity.NewResolver(identity.ResolverConfig{Now: h.now, PLC: p.Directory})
	t.Cleanup(p.Documents.Close)
	p.Actors = account.NewCache(d, 0, h.now)
	p.Sessions = auth.NewSessions(d, keys, p.Actors, h.now)
	p.Passwords = account.NewPasswords(account.PasswordConfig{Cost: account.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}}, h.now)
	p.Repos = repodb.New(d, keys, h.now, log, repodb.Config{Hub: p.Hub})
	t.Cleanup(p.Repos.Close)
	p.Outbox = outbox.New(d, keys, p.Tenants, outbox.Config{}, h.now, log)
	h.Acts, h.parts = act.New(p), p
	var err error
	h.tenant, err = h.CreateTenant(t.Context(), act.Operator{}, tenant.Spec{Hostname: "localhost", HandleDomains: []string{"test"}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A face that has neither addresses nor tokens of XRPC signs people in: the guard gives a time to wait for as a value, who
// is not counted never waits, and the session is the account with its tokens.
func TestSignIn(t *testing.T) {
	h := newHouse(t)
	password := "a-good-password"
	did, handle, err := h.CreateAccount(t.Context(), h.tenant, act.Operator{}, account.Request{Handle: "alice.test", Email: "alice@example.com", Password: &password})
	if err != nil {
		t.Fatal(err)
	}
	try := func(v act.Visitor, password string) (act.Session, error) {
		return h.SignIn(t.Context(), h.tenant, v, act.Credentials{Identifier: handle, Password: password})
	}
	nowhere := act.Visitor{Counted: true} // no address is known
	for range act.PairFree + 1 {
		if _, err := try(nowhere, "another"); !errors.Is(err, account.ErrCredentials) {
			t.Fatal(err)
		}
		h.seconds.Add(1)
	}
	var must *act.WaitError
	if _, err := try(nowhere, password); !errors.Is(err, act.ErrWait) || !errors.As(err, &must) || must.Wait != time.Second {
		t.Errorf("after %d wrong passwords: %v", act.PairFree+1, err)
	}
	if _, err := try(act.Visitor{}, password); err != nil {
		t.Error("not counted:", err)
	}
	h.seconds.Add(int64(must.Wait.Seconds()))
	s, err := try(nowhere, password)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := h.Sessions.Account(t.Context(), h.tenant, "Bearer "+s.Access, auth.Proof{}, auth.Full)
	if err != nil || owner.DID != did || s.Account.DID != did {
		t.Fatal(owner, err)
	}

	// The owner goes on without a token of anybody's: what is asked for is a value, too.
	by := act.Owner{Account: owner, Visitor: nowhere}
	if _, err := h.BeginAuthenticator(t.Context(), h.tenant, by, act.Proof{Password: "another"}); !errors.Is(err, act.ErrPassword) || errors.Is(err, account.ErrCredentials) {
		t.Error("a wrong password of somebody who is signed in:", err)
	}
	if _, err := h.BeginAuthenticator(t.Context(), h.tenant, by, act.Proof{Password: password}); err != nil {
		t.Error(err)
	}
	if err := h.SetEmailFactor(t.Context(), h.tenant, by, act.Proof{Password: password}, true); !errors.Is(err, account.ErrEmailUnconfirmed) {
		t.Error(err)
	}
}
