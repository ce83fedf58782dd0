package endpoint_test

import (
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
)

const many = 16

// atOnce does something many times at once.
func atOnce(do func(i int) got) []got {
	out := make([]got, many)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			<-start
			out[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	return out
}

// proved makes the call for later: what is slow about it is done.
func (a *app) proved(form url.Values) func() got {
	proof := a.key.Prove(a.t, oauthtest.Proof{Method: "POST", URL: a.at.PublicURL + "/oauth/token", Nonce: a.nonce(), At: a.clock.Now()})
	return func() got { return a.raw("/oauth/token", form, map[string]string{"DPoP": proof}) }
}

func (a *app) manyTimes(form url.Values) []got {
	a.t.Helper()
	var calls []func() got
	for range many {
		calls = append(calls, a.proved(form))
	}
	return atOnce(func(i int) got { return calls[i]() })
}

func successes(all []got) (out []got) {
	for _, g := range all {
		if g.status == 200 {
			out = append(out, g)
		}
	}
	return out
}

// One code, many redeemers: one session, whoever is first.
func TestOneCodeAtOnce(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	code, v := a.code(alice)
	all := a.manyTimes(a.redeemForm(code, v))
	won := successes(all)
	if len(won) != 1 {
		t.Fatalf("%d of %d got tokens", len(won), many)
	}
	for _, g := range all {
		if g.status != 200 {
			g.is(400, "invalid_grant")
		}
	}
	if n := h.sessions(h.a, alice); n != 1 {
		t.Errorf("%d sessions", n)
	}
	a.refresh(won[0].str("refresh_token")).ok()
}

// One refresh token, many times at once by its own client: all get the same successor.
func TestOneRefreshAtOnce(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	first := a.signIn(alice)
	all := a.manyTimes(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.str("refresh_token")}})
	next := map[string]bool{}
	jti := map[any]bool{}
	for _, g := range all {
		next[g.ok().str("refresh_token")] = true
		jti[h.claims(g.str("access_token"))["jti"]] = true
	}
	if len(next) != 1 || len(jti) != 1 {
		t.Errorf("%d refresh tokens, %d access tokens", len(next), len(jti))
	}
	a.refresh(all[0].str("refresh_token")).ok()
	if n := h.sessions(h.a, alice); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// Whoever has a refresh token but not its key ends the session, for somebody has what is not theirs.
func TestStolenRefresh(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	thief := a.with(oauthtest.NewKey(t, "ES256"))
	for _, used := range []bool{false, true} {
		tokens := a.signIn(alice)
		newest := tokens
		if used {
			newest = a.refresh(tokens.str("refresh_token")).ok()
		}
		thief.refresh(tokens.str("refresh_token")).is(400, "invalid_grant")
		a.refresh(newest.str("refresh_token")).is(400, "invalid_grant")
		if n := h.sessions(h.a, alice); n != 0 {
			t.Errorf("used %t: %d sessions", used, n)
		}
	}
	// Nobody can be harmed by tokens that were made up.
	tokens := a.signIn(alice)
	thief.refresh("ref-"+tokens.str("refresh_token")[5:]).is(400, "invalid_grant")
	thief.refresh(tokens.str("refresh_token")[:40]).is(400, "invalid_grant")
	a.refresh(tokens.str("refresh_token")).ok()
}

// A thief and the client at once: the session ends, or goes on with the client alone and then ends.
func TestThiefAtOnce(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	thief := a.with(oauthtest.NewKey(t, "ES256"))
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {a.signIn(alice).str("refresh_token")}}
	var calls []func() got
	for i := range many {
		by := a
		if i%2 == 0 {
			by = thief
		}
		calls = append(calls, by.proved(form))
	}
	all := atOnce(func(i int) got { return calls[i]() })
	for i, g := range all {
		if i%2 == 0 && g.status == 200 {
			t.Error("the thief got tokens")
		}
	}
	if n := h.sessions(h.a, alice); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// The grace is for a lost answer: for a minute, while nothing newer was used. Then an old token is evidence.
func TestGrace(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	first := a.signIn(alice)
	second := a.refresh(first.str("refresh_token")).ok()
	h.clock.add(59 * time.Second)
	again := a.refresh(first.str("refresh_token")).ok()
	if again.str("refresh_token") != second.str("refresh_token") {
		t.Error("another successor")
	}
	h.clock.add(2 * time.Second) // of the first use: using it again made nothing longer
	a.refresh(first.str("refresh_token")).is(400, "invalid_grant")
	a.refresh(second.str("refresh_token")).is(400, "invalid_grant")
	if n := h.sessions(h.a, alice); n != 0 {
		t.Errorf("after the grace: %d sessions", n)
	}

	first = a.signIn(alice)
	second = a.refresh(first.str("refresh_token")).ok()
	a.refresh(second.str("refresh_token")).ok()
	a.refresh(first.str("refresh_token")).is(400, "invalid_grant")
	if n := h.sessions(h.a, alice); n != 0 {
		t.Errorf("with its successor used: %d sessions", n)
	}
}

// Giving back wins against going on: whatever the order, nothing is left.
func TestRevokeAgainstRefresh(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	for range 4 {
		token := a.signIn(alice).str("refresh_token")
		var calls []func() got
		for range many {
			calls = append(calls, a.proved(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}))
		}
		calls[many/2] = func() got { return a.revoke(token) }
		all := atOnce(func(i int) got { return calls[i]() })
		all[many/2].ok()
		for i, g := range all {
			if i == many/2 || g.status != 200 {
				continue
			}
			a.refresh(g.str("refresh_token")).is(400, "invalid_grant")
		}
		a.refresh(token).is(400, "invalid_grant")
		if n := h.sessions(h.a, alice); n != 0 {
			t.Fatalf("%d sessions", n)
		}
	}
}

// One proof counts once, however it comes.
func TestOneProofAtOnce(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	call := a.proved(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {a.signIn(alice).str("refresh_token")}})
	all := atOnce(func(int) got { return call() })
	won := successes(all)
	if len(won) != 1 {
		t.Fatalf("%d of %d", len(won), many)
	}
	for _, g := range all {
		if g.status != 200 {
			g.is(401, "invalid_dpop_proof")
		}
	}
	a.refresh(won[0].str("refresh_token")).ok() // the session has taken no harm
}

// Two processes on one database: what one gave out, the other takes, and nothing counts twice because there are two.
func TestTwoProcesses(t *testing.T) {
	dbURL, master := dbtest.URL(t), keyring.GenerateMaster()
	one := another(t, dbURL, master, nil)
	two := another(t, dbURL, master, one)
	alice, a := one.person(one.a, "alice"), one.publicApp(one.a)
	b := *a // the same client, answered by the other process
	b.house = two
	if a.nonce() != b.nonce() {
		t.Error("two nonces")
	}
	first := a.signIn(alice)
	second := b.refresh(first.str("refresh_token")).ok()
	if again := a.refresh(first.str("refresh_token")).ok(); again.str("refresh_token") != second.str("refresh_token") {
		t.Error("two successors")
	}
	both := func(calls ...func() got) []got {
		return atOnce(func(i int) got { return calls[i%len(calls)]() })
	}
	code, v := a.code(alice)
	proof := a.key.Prove(t, oauthtest.Proof{Method: "POST", URL: a.at.PublicURL + "/oauth/token", Nonce: a.nonce(), At: one.clock.Now()})
	header := map[string]string{"DPoP": proof}
	won := successes(both(
		func() got { return a.raw("/oauth/token", a.redeemForm(code, v), header) },
		func() got { return b.raw("/oauth/token", b.redeemForm(code, v), header) },
	))
	if len(won) != 1 {
		t.Fatalf("one code and one proof: %d of %d", len(won), many)
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {won[0].str("refresh_token")}}
	var calls []func() got
	for i := range many {
		by := []*app{a, &b}[i%2]
		calls = append(calls, by.proved(refresh))
	}
	next := map[string]bool{}
	for _, g := range both(calls...) {
		next[g.ok().str("refresh_token")] = true
	}
	if len(next) != 1 {
		t.Errorf("%d successors", len(next))
	}
	b.revoke(won[0].str("refresh_token")).ok()
	for token := range next {
		a.refresh(token).is(400, "invalid_grant")
	}
}

// A code that comes again after a while, or from somebody else, ends what it began.
func TestCodeAgain(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	thief := a.with(oauthtest.NewKey(t, "ES256"))
	for name, again := range map[string]func(code, v string) got{
		"another key": thief.redeem,
		"later":       func(code, v string) got { h.clock.add(61 * time.Second); return a.redeem(code, v) },
	} {
		code, v := a.code(alice)
		tokens := a.redeem(code, v).ok()
		again(code, v).is(400, "invalid_grant")
		a.refresh(tokens.str("refresh_token")).is(400, "invalid_grant")
		if n := h.sessions(h.a, alice); n != 0 {
			t.Errorf("%s: %d sessions", name, n)
		}
		there, err := device.Accounts(t.Context(), h.db.Tenant(h.a.Schema).Q(), device.Key(a.browser.ID), h.clock.Now())
		if err != nil || len(there) != 0 {
			t.Errorf("%s: %d accounts are still signed in where the code was granted: %v", name, len(there), err)
		}
	}
}
