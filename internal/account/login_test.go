package account_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/account"
)

func (h *house) withPassword(t testing.TB, label, hash string) *account.Signup {
	t.Helper()
	s, err := h.signUp(t.Context(), h.request(label), fault{})
	if err != nil {
		t.Fatal(err)
	}
	if hash != "" {
		h.exec(t, "UPDATE S.account SET password_hash = $2 WHERE aid = $1", s.AID, hash)
	}
	return s
}

func TestAuthenticate(t *testing.T) {
	h := newHouse(t, map[string]string{"signup": "open"})
	p := account.NewPasswords(account.PasswordConfig{Cost: cheap}, time.Now)
	hash, err := p.Hash(t.Context(), nil, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	s := h.withPassword(t, "alice", hash)
	h.withPassword(t, "nopass", "")
	for _, id := range []string{"alice.test", s.DID, s.Email, "  ALICE.TEST "} {
		a, err := p.Authenticate(t.Context(), nil, h.tdb.Q(), id, "correct horse")
		if err != nil || a.AID != s.AID {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, c := range []struct {
		id, password string
		want         error
	}{
		{"alice.test", "wrong", account.ErrCredentials},
		{"alice.test", "", account.ErrCredentials},
		{"alice.test", strings.Repeat("x", 512), account.ErrCredentials},
		{"alice.test", strings.Repeat("x", 513), account.ErrPasswordTooLong},
		{"nobody.test", "correct horse", account.ErrCredentials},
		{"nopass.test", "", account.ErrCredentials},
		{"nopass.test", "x", account.ErrCredentials},
		{"", "correct horse", account.ErrCredentials},
	} {
		began := time.Now()
		_, err := p.Authenticate(t.Context(), nil, h.tdb.Q(), c.id, c.password)
		took := time.Since(began)
		if !errors.Is(err, c.want) {
			t.Errorf("%q: %v", c.id, err)
		}
		if c.want == account.ErrCredentials && took < 350*time.Millisecond {
			t.Errorf("%q was refused after %v", c.id, took)
		}
	}
	// The client has gone: nobody waits for it. A busy machine may be slow each time but not every time.
	fastest := time.Hour
	for tries := 0; fastest >= 350*time.Millisecond && tries < 30; tries++ {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		_, err := p.Authenticate(ctx, nil, h.tdb.Q(), "alice.test", "wrong")
		fastest = min(fastest, time.Since(began))
		if !errors.Is(err, account.ErrCredentials) && ctx.Err() == nil {
			t.Error(err)
		}
		cancel()
	}
	if fastest >= 350*time.Millisecond {
		t.Errorf("waited %v for a client that has gone", fastest)
	}
}

func TestRehash(t *testing.T) {
	h := newHouse(t, map[string]string{"signup": "open"})
	weak := account.NewPasswords(account.PasswordConfig{Cost: cheap}, time.Now)
	strong := account.NewPasswords(account.PasswordConfig{Cost: account.Cost{MemoryKiB: 128, Passes: 2, Lanes: 1}}, time.Now)
	hash, err := weak.Hash(t.Context(), nil, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	s := h.withPassword(t, "alice", hash)
	stored := func() (out string) {
		if err := h.raw.QueryRow(t.Context(), "SELECT password_hash FROM "+h.tenant.Schema.String()+".account WHERE aid = $1", s.AID).Scan(&out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if _, err := strong.Authenticate(t.Context(), nil, h.tdb.Q(), s.DID, "wrong"); !errors.Is(err, account.ErrCredentials) || stored() != hash {
		t.Errorf("a wrong password changed the hash: %v", err)
	}
	if _, err := strong.Authenticate(t.Context(), nil, h.tdb.Q(), s.DID, "correct horse"); err != nil {
		t.Fatal(err)
	}
	fresh := stored()
	if !strings.HasPrefix(fresh, "$argon2id$v=19$m=128,t=2,p=1$") {
		t.Errorf("not replaced: %s", fresh)
	}
	for _, p := range []*account.Passwords{strong, weak} {
		if _, err := p.Authenticate(t.Context(), nil, h.tdb.Q(), s.DID, "correct horse"); err != nil || stored() != fresh {
			t.Errorf("a hash as strong as today's was replaced: %v", err)
		}
	}
	h.exec(t, "UPDATE S.account SET password_hash = 'damaged'")
	if _, err := strong.Authenticate(t.Context(), nil, h.tdb.Q(), s.DID, "damaged"); err == nil || errors.Is(err, account.ErrCredentials) {
		t.Errorf("a damaged hash is the operator's trouble, not a wrong password: %v", err)
	}
}

// However many come, a bounded number is served, a bounded number waits, and the others know at once.
func TestPasswordQueue(t *testing.T) {
	p := account.NewPasswords(account.PasswordConfig{Cost: account.Cost{MemoryKiB: 8 << 10, Passes: 4, Lanes: 1}, Parallel: 1, Waiting: 3}, time.Now)
	const n = 20
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { _, errs[i] = p.Hash(t.Context(), nil, "x") })
	}
	wg.Wait()
	busy := 0
	for _, err := range errs {
		if errors.Is(err, account.ErrBusy) {
			busy++
		} else if err != nil {
			t.Error(err)
		}
	}
	if busy == 0 || busy > n-4 {
		t.Errorf("%d of %d were sent away", busy, n)
	}
	// The queue is free again, and those who lose patience leave it.
	hold := make(chan struct{})
	go func() { defer close(hold); _, _ = p.Hash(t.Context(), nil, "x") }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		if _, err := p.Hash(ctx, nil, "x"); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	<-hold
	if _, err := p.Hash(t.Context(), nil, "x"); err != nil {
		t.Error(err)
	}
}

func BenchmarkHash(b *testing.B) {
	p := account.NewPasswords(account.PasswordConfig{}, time.Now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Hash(b.Context(), nil, "correct horse battery staple"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestCache(t *testing.T) {
	h := newHouse(t, map[string]string{"signup": "open"})
	c := account.NewCache(h.db, 8<<10, h.clock.Now)
	s, err := h.signUp(t.Context(), h.request("alice"), fault{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, schema := t.Context(), h.tenant.Schema
	for _, name := range []string{s.DID, "alice.test", "Alice.Test"} {
		if a, err := c.ByName(ctx, schema, name, account.Fresh); err != nil || a.AID != s.AID || a.DID != s.DID || a.Handle != "alice.test" {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	for _, name := range []string{"", "x", "nobody.test", "did:plc:x", "did:\x00", strings.Repeat("a", 5000)} {
		if _, err := c.ByName(ctx, schema, name, account.Fresh); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	h.rename(t, "alice.test", "alicia.test")
	if a, _ := c.ByDID(ctx, schema, s.DID, account.Fresh); a.Handle != "alice.test" {
		t.Errorf("not from memory: %+v", a)
	}
	// Forget goes by the account, under whatever name it is known.
	c.Forget(schema, s.DID)
	if a, err := c.ByDID(ctx, schema, s.DID, account.Fresh); err != nil || a.Handle != "alicia.test" {
		t.Errorf("after Forget: %+v, %v", a, err)
	}
	if _, err := c.ByHandle(ctx, schema, "alice.test", account.Guarded); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("the old handle: %v", err)
	}
	// At the bound of the cache.
	for _, label := range []string{"bob", "carol", "dave", "erin"} {
		o, err := h.signUp(ctx, h.request(label), fault{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ByDID(ctx, schema, o.DID, account.Fresh); err != nil {
			t.Fatal(err)
		}
	}
	h.clock.add(-time.Hour) // a clock that was set back makes nothing fresh for an hour
	if a, err := c.ByDID(ctx, schema, s.DID, account.Guarded); err != nil || a.AID != s.AID {
		t.Errorf("%+v, %v", a, err)
	}
}
