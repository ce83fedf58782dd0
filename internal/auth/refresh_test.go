package auth_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

func TestRotation(t *testing.T) {
	h := newHouse(t)
	aid := h.actor(t, h.a, did)
	_, first := h.session(t, h.a, aid, did, auth.ScopeAccess)
	second, err := h.rotate(t, h.a, first.TokenID)
	if err != nil || second.AID != aid || second.Next.TokenID == first.TokenID || !second.Next.ExpiresAt.Equal(h.clock.Now().Add(auth.RefreshLife)) {
		t.Fatalf("%+v, %v", second, err)
	}
	h.clock.add(auth.RefreshGrace - time.Second)
	again, err := h.rotate(t, h.a, first.TokenID)
	if err != nil || again != second {
		t.Errorf("within the grace: %+v, %v, want %+v", again, err, second)
	}
	third, err := h.rotate(t, h.a, second.Next.TokenID)
	if err != nil {
		t.Fatal(err)
	}
	if again, err = h.rotate(t, h.a, first.TokenID); err != nil || again.Next.TokenID != second.Next.TokenID {
		t.Errorf("the chain's older token: %+v, %v", again, err)
	}
	h.clock.add(time.Second)
	if _, err := h.rotate(t, h.a, first.TokenID); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("after the grace: %v", err)
	}
	if _, err := h.rotate(t, h.a, "unknown"); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("unknown: %v", err)
	}
	if _, err := h.rotate(t, h.b, third.Next.TokenID); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("at another tenant: %v", err)
	}
	// The next rotation cleans up what has expired.
	if _, err := h.rotate(t, h.a, third.Next.TokenID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.db.Tenant(h.a.Schema).Q().GetRefreshToken(t.Context(), first.TokenID); err == nil {
		t.Error("an expired row stays")
	}
}

// A token's last hours are not made longer by using it.
func TestGraceDoesNotProlong(t *testing.T) {
	h := newHouse(t)
	aid := h.actor(t, h.a, did)
	_, row := h.session(t, h.a, aid, did, auth.ScopeAccess)
	h.clock.add(auth.RefreshLife - time.Hour)
	if _, err := h.rotate(t, h.a, row.TokenID); err != nil {
		t.Fatal(err)
	}
	h.clock.add(time.Hour)
	if _, err := h.rotate(t, h.a, row.TokenID); !errors.Is(err, auth.ErrRevoked) {
		t.Error(err)
	}
}

func TestRotationRace(t *testing.T) {
	h := newHouse(t)
	aid := h.actor(t, h.a, did)
	_, row := h.session(t, h.a, aid, did, auth.ScopeAccess)
	const n = 16
	var got [n]auth.Rotated
	var errs [n]error
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { got[i], errs[i] = h.rotate(t, h.a, row.TokenID) })
	}
	wg.Wait()
	for i := range n {
		if errs[i] != nil || got[i].Next.TokenID != got[0].Next.TokenID || !got[i].Next.ExpiresAt.Equal(got[0].Next.ExpiresAt) {
			t.Errorf("%+v, %v", got[i], errs[i])
		}
	}
}

// Signing out ends a session for good, whichever of its tokens was given and whichever comes back.
func TestRevoke(t *testing.T) {
	h := newHouse(t)
	aid := h.actor(t, h.a, did)
	for give := range 3 {
		_, row := h.session(t, h.a, aid, did, auth.ScopeAccess)
		_, other := h.session(t, h.a, aid, did, auth.ScopeAccess)
		chain := []string{row.TokenID}
		for range 2 {
			next, err := h.rotate(t, h.a, chain[len(chain)-1])
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, next.Next.TokenID)
		}
		h.revoke(t, h.a, chain[give])
		h.revoke(t, h.a, chain[give]) // idempotent
		for i, id := range chain {
			if _, err := h.rotate(t, h.a, id); !errors.Is(err, auth.ErrRevoked) {
				t.Errorf("token %d after signing out with %d: %v", i, give, err)
			}
		}
		if _, err := h.rotate(t, h.a, other.TokenID); err != nil {
			t.Errorf("another session ended too: %v", err)
		}
	}
	pair, row := h.session(t, h.a, aid, did, auth.ScopeAccess)
	err := h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
		_, err := account.EndSessions(t.Context(), q, aid)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.rotate(t, h.a, row.TokenID); !errors.Is(err, auth.ErrRevoked) {
		t.Error(err)
	}
	// The access token too, as soon as this process looks again.
	h.clock.add(account.Fresh)
	if _, err := h.sessions.Account(t.Context(), h.a, "Bearer "+pair.Access, auth.Proof{}, auth.Std); !errors.Is(err, auth.ErrExpired) {
		t.Error(err)
	}
}

// Signing out while the same session is being prolonged leaves no token behind.
func TestRevokeRace(t *testing.T) {
	h := newHouse(t)
	aid := h.actor(t, h.a, did)
	for range 30 {
		_, row := h.session(t, h.a, aid, did, auth.ScopeAccess)
		var next auth.Rotated
		var err error
		var wg sync.WaitGroup
		wg.Go(func() { next, err = h.rotate(t, h.a, row.TokenID) })
		wg.Go(func() { h.revoke(t, h.a, row.TokenID) })
		wg.Wait()
		if err != nil {
			continue // signed out first
		}
		if _, err := h.rotate(t, h.a, next.Next.TokenID); !errors.Is(err, auth.ErrRevoked) {
			t.Fatalf("the session goes on after signing out: %v", err)
		}
	}
}

func BenchmarkAccount(b *testing.B) {
	h := newHouse(b)
	aid := h.actor(b, h.a, did)
	pair, _ := h.session(b, h.a, aid, did, auth.ScopeAccess)
	header := "Bearer " + pair.Access
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.sessions.Account(b.Context(), h.a, header, auth.Proof{}, auth.Std|auth.Guarded); err != nil {
			b.Fatal(err)
		}
	}
}
