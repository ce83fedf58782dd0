package auth_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/oauth/dpop"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/tenant"
)

// app is a client that an account has let in.
type app struct {
	*house
	t       testing.TB
	x       *tenant.Tenant
	key     *oauthtest.Key
	session *oauth.Session
	token   string
}

const target = "https://a.example.com/xrpc/com.example.method"

// app lets a client in.
func (h *house) app(t testing.TB, x *tenant.Tenant, aid int64, did, scopes string) *app {
	t.Helper()
	a := &app{house: h, t: t, x: x, key: oauthtest.NewKey(t, "ES256")}
	now := h.clock.Now()
	a.session = &oauth.Session{ID: random(16), AID: aid, ClientID: "https://app.example.com/client.json", JKT: a.key.Thumbprint, Granted: scopes, Scope: scopes, Generation: 1, CreatedAt: now, ExpiresAt: now.Add(time.Hour), EndsAt: now.Add(time.Hour)}
	s := a.session
	err := h.db.Tenant(x.Schema).Q().InsertOAuthSession(t.Context(), tenantdb.InsertOAuthSessionParams{
		ID: s.ID, AID: aid, ClientID: s.ClientID, Jkt: s.JKT, Granted: scopes, Scope: scopes, Code: random(32), Now: now, EndsAt: s.EndsAt, ExpiresAt: s.ExpiresAt,
	})
	if err != nil {
		t.Fatal(err)
	}
	a.token = a.mint(did)
	return a
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func (a *app) secrets() *auth.OAuth {
	a.t.Helper()
	o, err := a.sessions.OAuth(a.t.Context(), a.x)
	if err != nil {
		a.t.Fatal(err)
	}
	return o
}

func (a *app) mint(did string) string {
	a.t.Helper()
	token, _, err := a.sessions.MintOAuth(a.x, a.secrets(), did, a.session)
	if err != nil {
		a.t.Fatal(err)
	}
	return token
}

// proof is a good one, changed.
func (a *app) proof(change func(*oauthtest.Proof)) auth.Proof {
	a.t.Helper()
	p := oauthtest.Proof{Method: "GET", URL: strings.Replace(target, "a.example.com", a.x.Hostname, 1), Nonce: a.sessions.Nonce(a.t.Context(), a.x)[0], Token: a.token, At: a.clock.Now()}
	out := auth.Proof{Method: p.Method, URL: p.URL}
	if change != nil {
		change(&p)
	}
	out.DPoP = []string{a.key.Prove(a.t, p)}
	return out
}

func (a *app) call(s *auth.Sessions, p auth.Proof) (auth.Account, error) {
	return s.Account(a.t.Context(), a.x, "DPoP "+a.token, p, auth.Std|auth.NoTakedown|auth.NoDeactivated)
}

func TestOAuthCaller(t *testing.T) {
	h := newHouse(t)
	aid := h.actor(t, h.a, did)
	a := h.app(t, h.a, aid, did, "atproto repo:com.example.post")
	got, err := a.call(h.sessions, a.proof(nil))
	if err != nil || got.AID != aid || got.DID != did || got.Handle != "h1.a.example.com" || got.Scope != auth.ScopeOAuth || got.OAuth.ClientID != a.session.ClientID {
		t.Fatal(got, err)
	}
	if set := got.OAuth.Scopes; !set.Covers(scope.Repo("com.example.post", scope.Create)) || set.Covers(scope.Repo("com.example.other", scope.Create)) {
		t.Error(set)
	}
	for name, authorization := range map[string]string{"lower case": "dpop " + a.token, "capitals": "DPOP " + a.token} {
		if _, err := h.sessions.Account(t.Context(), h.a, authorization, a.proof(nil), auth.Std); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	session, _ := h.session(t, h.a, aid, did, auth.ScopeAccess)
	other := h.app(t, h.a, aid, did, "atproto")
	twin := h.app(t, h.b, h.actor(t, h.b, did), did, "atproto")
	parts := strings.Split(a.token, ".")
	with := func(token string) func(*oauthtest.Proof) { return func(p *oauthtest.Proof) { p.Token = token } }
	for _, c := range []struct {
		name, authorization string
		proof               auth.Proof
		want                error
	}{
		{"Bearer", "Bearer " + a.token, a.proof(nil), auth.ErrBound},
		{"Bearer without proof", "bearer " + a.token, auth.Proof{}, auth.ErrBound},
		{"no proof", "DPoP " + a.token, auth.Proof{}, dpop.ErrMissing},
		{"two words more", "DPoP " + a.token + " x", a.proof(nil), auth.ErrScheme},
		{"a tab", "DPoP " + a.token + "\tx", a.proof(nil), auth.ErrScheme},
		{"two blanks", "DPoP  " + a.token, a.proof(nil), auth.ErrScheme},
		{"no token", "DPoP", a.proof(nil), auth.ErrScheme},
		{"another scheme", "DPoPs " + a.token, a.proof(nil), auth.ErrScheme},
		{"two proofs", "DPoP " + a.token, auth.Proof{DPoP: append(a.proof(nil).DPoP, a.proof(nil).DPoP...), Method: "GET", URL: target}, dpop.ErrProof},
		{"no nonce", "DPoP " + a.token, a.proof(func(p *oauthtest.Proof) { p.Nonce = "" }), dpop.ErrNonce},
		{"no ath", "DPoP " + a.token, a.proof(with("")), dpop.ErrProof},
		{"ath of another token", "DPoP " + a.token, a.proof(with(other.token)), dpop.ErrProof},
		{"another key", "DPoP " + a.token, other.proof(with(a.token)), auth.ErrOAuthToken},
		{"another method", "DPoP " + a.token, a.proof(func(p *oauthtest.Proof) { p.Method = "POST" }), dpop.ErrProof},
		{"the inner address", "DPoP " + a.token, a.proof(func(p *oauthtest.Proof) { p.URL = strings.Replace(target, "https", "http", 1) }), dpop.ErrProof},
		{"session token", "DPoP " + session.Access, a.proof(with(session.Access)), auth.ErrOAuthToken},
		{"another tenant's token", "DPoP " + twin.token, a.proof(with(twin.token)), auth.ErrOAuthToken},
		{"alg none", "DPoP " + encode(`{"typ":"at+jwt","alg":"none"}`) + "." + parts[1] + ".AA", a.proof(with(encode(`{"typ":"at+jwt","alg":"none"}`) + "." + parts[1] + ".AA")), auth.ErrOAuthToken},
		{"signature cut", "DPoP " + a.token[:len(a.token)-4], a.proof(with(a.token[:len(a.token)-4])), auth.ErrOAuthToken},
		{"other's payload", "DPoP " + parts[0] + "." + strings.Split(other.token, ".")[1] + "." + parts[2], a.proof(with(parts[0] + "." + strings.Split(other.token, ".")[1] + "." + parts[2])), auth.ErrOAuthToken},
		{"garbage", "DPoP x", a.proof(with("x")), auth.ErrOAuthToken},
		{"huge", "DPoP " + strings.Repeat("x", 100_000), a.proof(with(strings.Repeat("x", 100_000))), auth.ErrOAuthToken},
	} {
		if _, err := h.sessions.Account(t.Context(), h.a, c.authorization, c.proof, auth.Std); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	// HMAC with the public key as the secret: what a verifier takes that lets the token choose the algorithm.
	forged := h.sessions.Sign(t, h.a, `{"typ":"at+jwt","alg":"ES256"}`, `{"sub":"`+did+`"}`)
	if _, err := h.sessions.Account(t.Context(), h.a, "DPoP "+forged, a.proof(with(forged)), auth.Std); !errors.Is(err, auth.ErrOAuthToken) {
		t.Error("signed with the secret of session tokens:", err)
	}
}

// TestProofCountsOnce: a proof is taken once, whoever is shown it and how often.
func TestProofCountsOnce(t *testing.T) {
	h := newHouse(t)
	aid := h.actor(t, h.a, did)
	a := h.app(t, h.a, aid, did, "atproto")
	elsewhere := h.process() // on the same database
	proof := a.proof(nil)
	if _, err := a.call(h.sessions, proof); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*auth.Sessions{"here": h.sessions, "elsewhere": elsewhere} {
		if _, err := a.call(s, proof); !errors.Is(err, auth.ErrProofUsed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The same jti in another proof of the same key, also with another token; not of another key.
	same := func(p *oauthtest.Proof) { p.JTI = "one" }
	if _, err := a.call(h.sessions, a.proof(same)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.call(elsewhere, a.proof(func(p *oauthtest.Proof) { same(p); p.At = p.At.Add(time.Second) })); !errors.Is(err, auth.ErrProofUsed) {
		t.Error(err)
	}
	b := h.app(t, h.a, aid, did, "atproto")
	if _, err := b.call(elsewhere, b.proof(same)); err != nil {
		t.Errorf("another client's proof with the same jti: %v", err)
	}
	// A proof that was refused for its nonce is not used up.
	stale := a.proof(func(p *oauthtest.Proof) { p.JTI, p.Nonce = "two", "old" })
	if _, err := a.call(h.sessions, stale); !errors.Is(err, dpop.ErrNonce) {
		t.Fatal(err)
	}
	if _, err := a.call(h.sessions, a.proof(func(p *oauthtest.Proof) { p.JTI = "two" })); err != nil {
		t.Error(err)
	}
}

// TestProofOnTwoNodes: many show the same proofs to two processes at once; each is accepted exactly once.
func TestProofOnTwoNodes(t *testing.T) {
	h := newHouse(t)
	a := h.app(t, h.a, h.actor(t, h.a, did), did, "atproto")
	nodes := []*auth.Sessions{h.sessions, h.process()}
	const proofs, each = 24, 6
	var taken [proofs]atomic.Int64
	var calls sync.WaitGroup
	for i := range proofs {
		proof := a.proof(nil)
		for n := range each {
			calls.Go(func() {
				_, err := a.call(nodes[n%2], proof)
				switch {
				case err == nil:
					taken[i].Add(1)
				case !errors.Is(err, auth.ErrProofUsed):
					t.Error(err)
				}
			})
		}
	}
	calls.Wait()
	for i := range taken {
		if n := taken[i].Load(); n != 1 {
			t.Errorf("proof %d was accepted %d times", i, n)
		}
	}
}

// TestOAuthEndsAtOnce: whatever ends a session ends it for the next call, also in a process that has seen the token.
func TestOAuthEndsAtOnce(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(h *house, a *app, q *tenantdb.Queries) error
		want error
	}{
		"revoked": {func(h *house, a *app, q *tenantdb.Queries) error {
			_, err := q.DeleteOAuthSession(t.Context(), a.session.ID)
			return err
		}, auth.ErrOAuthToken},
		"refreshed": {func(h *house, a *app, q *tenantdb.Queries) error {
			return q.UpdateOAuthSessionRotated(t.Context(), tenantdb.UpdateOAuthSessionRotatedParams{ID: a.session.ID, Generation: 2, Scope: "atproto", Now: h.clock.Now(), ExpiresAt: a.session.ExpiresAt})
		}, auth.ErrOAuthToken},
		"sessions ended": {func(h *house, a *app, q *tenantdb.Queries) error {
			_, err := account.EndSessions(t.Context(), q, a.session.AID)
			return err
		}, auth.ErrOAuthToken},
		"token expired": {func(h *house, a *app, q *tenantdb.Queries) error {
			h.clock.add(oauth.AccessLife)
			return nil
		}, auth.ErrOAuthToken},
		"session expired": {func(h *house, a *app, q *tenantdb.Queries) error {
			return q.UpdateOAuthSessionRotated(t.Context(), tenantdb.UpdateOAuthSessionRotatedParams{ID: a.session.ID, Generation: 1, Scope: "atproto", Now: h.clock.Now(), ExpiresAt: h.clock.Now()})
		}, auth.ErrOAuthToken},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			a := h.app(t, h.a, h.actor(t, h.a, did), did, "atproto")
			elsewhere := h.process()
			for _, s := range []*auth.Sessions{h.sessions, elsewhere} {
				if _, err := a.call(s, a.proof(nil)); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error { return end.do(h, a, q) }); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*auth.Sessions{h.sessions, elsewhere} {
				if _, err := a.call(s, a.proof(nil)); !errors.Is(err, end.want) {
					t.Error(err)
				}
			}
		})
	}
}

// TestScopesFollow: what a session opens is read anew, not from the token that was seen.
func TestScopesFollow(t *testing.T) {
	h := newHouse(t)
	a := h.app(t, h.a, h.actor(t, h.a, did), did, "atproto")
	for i := range 3 {
		scopes := fmt.Sprintf("atproto repo:com.example.n%d", i)
		err := h.db.Tenant(h.a.Schema).Q().UpdateOAuthSessionRotated(t.Context(), tenantdb.UpdateOAuthSessionRotatedParams{ID: a.session.ID, Generation: 1, Scope: scopes, Now: h.clock.Now(), ExpiresAt: a.session.ExpiresAt})
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.call(h.sessions, a.proof(nil))
		if err != nil || !got.OAuth.Scopes.Covers(scope.Repo(fmt.Sprintf("com.example.n%d", i), scope.Create)) || got.OAuth.Scopes.Covers(scope.Repo("com.example.n5", scope.Create)) {
			t.Error(got.OAuth, err)
		}
	}
}

// TestProofsAreSwept: rows of proofs go when their proofs would not hold any more.
func TestProofsAreSwept(t *testing.T) {
	h := newHouse(t)
	a := h.app(t, h.a, h.actor(t, h.a, did), did, "atproto")
	if _, err := a.call(h.sessions, a.proof(nil)); err != nil {
		t.Fatal(err)
	}
	q := h.db.Tenant(h.a.Schema).Q()
	for _, c := range []struct {
		after time.Duration
		want  int64
	}{{dpop.Kept - time.Second, 0}, {dpop.Kept, 1}} {
		if n, err := q.DeleteExpiredOAuthProofs(t.Context(), h.clock.Now().Add(c.after).Unix()); err != nil || n != c.want {
			t.Errorf("after %s: %d rows, %v", c.after, n, err)
		}
	}
}

// TestNonceWhenAway: while the secret cannot be read an answer has no nonce, and is not held up each time.
func TestNonceWhenAway(t *testing.T) {
	h := newHouse(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if n := h.sessions.Nonce(gone, h.a); n != nil {
		t.Error(n)
	}
	if n := h.sessions.Nonce(t.Context(), h.a); n != nil {
		t.Error("asked again at once", n)
	}
	h.clock.add(5 * time.Second)
	n := h.sessions.Nonce(t.Context(), h.a)
	if len(n) != 1 || n[0] == "" {
		t.Fatal(n)
	}
	if other := h.sessions.Nonce(t.Context(), h.b); len(other) != 1 || other[0] == n[0] {
		t.Error("tenants share nonces", other)
	}
	if same := h.process().Nonce(t.Context(), h.a); len(same) != 1 || same[0] != n[0] {
		t.Error("processes do not share nonces", same)
	}
}

func BenchmarkOAuthAccount(b *testing.B) {
	h := newHouse(b)
	a := h.app(b, h.a, h.actor(b, h.a, did), did, "atproto repo:com.example.post")
	for _, callers := range []int{1, 8} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			proofs := make(chan auth.Proof, b.N)
			for range b.N {
				proofs <- a.proof(nil)
			}
			var calls sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range callers {
				calls.Go(func() {
					for {
						select {
						case p := <-proofs:
							if _, err := a.call(h.sessions, p); err != nil {
								b.Error(err)
							}
						default:
							return
						}
					}
				})
			}
			calls.Wait()
		})
	}
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
