package account_test

import (
	"errors"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/keyring"
)

// An unknown account and a wrong password cost the same, whatever is typed: one hash, and as many round trips.
func TestRefusalsCostTheSame(t *testing.T) {
	h := newHouse(t, map[string]string{"signup": "open"})
	sealed, err := h.keys.GenerateMACKey(h.tenant.Schema.String(), "test")
	if err != nil {
		t.Fatal(err)
	}
	var mac *keyring.MAC
	if mac, err = h.keys.MAC(h.tenant.Schema.String(), "test", sealed); err != nil {
		t.Fatal(err)
	}
	clock := time.Now()
	later := func() time.Time { clock = clock.Add(time.Second); return clock } // so that nobody waits for 350 ms
	p := account.NewPasswords(account.PasswordConfig{Cost: cheap}, later)
	hash, err := p.Hash(t.Context(), nil, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	s := h.withPassword(t, "alice", hash)
	down := h.withPassword(t, "dora", hash)
	none := h.withPassword(t, "nils", "")
	h.exec(t, "UPDATE S.actor SET takedown_ref = 'x' WHERE aid = $1", down.AID)
	proxy := dbtest.NewProxy(t, h.url)
	q := dbtest.Open(t, proxy.URL()).Tenant(h.tenant.Schema).Q()
	refused := func(id, password string) (hashes, trips int64) {
		t.Helper()
		for range 2 { // the first prepares statements
			hashes, trips = p.Hashes(), proxy.Trips()
			if _, _, err := p.SignIn(t.Context(), nil, q, mac, id, password); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("%s: %v", id, err)
			}
			hashes, trips = p.Hashes()-hashes, proxy.Trips()-trips
		}
		return hashes, trips
	}
	for form, password := range map[string]string{"main password": "wrong", "app password": "abcd-efgh-2345-wxyz"} {
		var want int64
		for _, id := range []string{
			"nobody.test", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "nobody@example.com",
			"alice.test", s.DID, s.Email, "dora.test", down.DID, down.Email, "nils.test", none.DID, none.Email,
		} {
			hashes, trips := refused(id, password)
			if want == 0 {
				want = trips
			}
			if hashes != 1 || trips != want || trips == 0 {
				t.Errorf("%s of %s: %d hashes, %d round trips; want 1 and %d", form, id, hashes, trips, want)
			}
		}
	}
}
