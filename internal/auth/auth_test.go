package auth_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/oauth/dpop"
	"github.com/auroralocus/locus/internal/tenant"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type house struct {
	db       *db.DB
	clock    *clock
	tenants  *tenant.Registry
	actors   *account.Cache
	sessions *auth.Sessions
	process  func() *auth.Sessions // another one, on the same database
	a, b     *tenant.Tenant
	aids     int64
}

func newHouse(t testing.TB) *house {
	t.Helper()
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{db: dbtest.New(t), clock: &clock{now: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)}}
	h.tenants = tenant.NewRegistry(h.db, keys, tenant.Config{}, h.clock.Now, slog.New(slog.DiscardHandler))
	for _, spec := range []tenant.Spec{{Hostname: "a.example.com", AdminPassword: "colons: are:fine"}, {Hostname: "b.example.com", AdminPassword: "another password"}} {
		if _, err := h.tenants.Create(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	h.actors = account.NewCache(h.db, 0, h.clock.Now)
	h.sessions = auth.NewSessions(h.db, keys, h.actors, h.clock.Now)
	h.process = func() *auth.Sessions {
		return auth.NewSessions(h.db, keys, account.NewCache(h.db, 0, h.clock.Now), h.clock.Now)
	}
	if h.a, err = h.tenants.Get(t.Context(), "a.example.com"); err != nil {
		t.Fatal(err)
	}
	if h.b, err = h.tenants.Get(t.Context(), "b.example.com"); err != nil {
		t.Fatal(err)
	}
	return h
}

// actor inserts an account that has finished signing up and gives its aid.
func (h *house) actor(t testing.TB, x *tenant.Tenant, did string) int64 {
	t.Helper()
	h.aids++
	aid, now := h.aids, h.clock.Now()
	err := h.db.Tenant(x.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
		err := q.InsertSignupActor(t.Context(), tenantdb.InsertSignupActorParams{AID: aid, DID: did, Handle: fmt.Sprintf("h%d.%s", aid, x.Hostname), CreatingSince: now, CreatedAt: now})
		if err == nil {
			_, err = q.UpdateActorCreated(t.Context(), tenantdb.UpdateActorCreatedParams{AID: aid, CreatingSince: now})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return aid
}

// session makes a stored session and gives its tokens.
func (h *house) session(t testing.TB, x *tenant.Tenant, aid int64, did string, scope auth.Scope) (auth.Pair, auth.RefreshRow) {
	t.Helper()
	row := h.sessions.NewRefresh()
	if err := auth.InsertRefresh(t.Context(), h.db.Tenant(x.Schema).Q(), h.clock.Now(), aid, row, nil); err != nil {
		t.Fatal(err)
	}
	return h.mint(t, x, did, scope, row), row
}

func (h *house) mint(t testing.TB, x *tenant.Tenant, did string, scope auth.Scope, row auth.RefreshRow) auth.Pair {
	t.Helper()
	secrets, err := h.sessions.Secrets(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := h.sessions.Mint(x, secrets, scope, did, account.Epochs{}, row)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func (h *house) rotate(t testing.TB, x *tenant.Tenant, id string) (auth.Rotated, error) {
	t.Helper()
	var out auth.Rotated
	fresh := h.sessions.NewRefresh()
	err := h.db.Tenant(x.Schema).Tx(t.Context(), func(q *tenantdb.Queries) (err error) {
		out, err = auth.Rotate(t.Context(), q, h.clock.Now(), id, fresh)
		return err
	})
	return out, err
}

func (h *house) revoke(t testing.TB, x *tenant.Tenant, id string) {
	t.Helper()
	err := h.db.Tenant(x.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error { return auth.Revoke(t.Context(), q, id) })
	if err != nil {
		t.Fatal(err)
	}
}

const did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"

func TestTokensSay(t *testing.T) {
	h := newHouse(t)
	aid := h.actor(t, h.a, did)
	pair, row := h.session(t, h.a, aid, did, auth.ScopeAccess)
	now := h.clock.Now().Unix()
	for token, want := range map[string][2]string{
		pair.Access:  {`{"typ":"at+jwt","alg":"HS256"}`, fmt.Sprintf(`{"scope":"com.atproto.access","aud":"did:web:a.example.com","sub":"%s","iat":%d,"exp":%d}`, did, now, now+7200)},
		pair.Refresh: {`{"typ":"refresh+jwt","alg":"HS256"}`, fmt.Sprintf(`{"scope":"com.atproto.refresh","aud":"did:web:a.example.com","sub":"%s","iat":%d,"exp":%d,"jti":"%s"}`, did, now, now+90*86400, row.TokenID)},
	} {
		parts := strings.Split(token, ".")
		for i, w := range want {
			got, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err != nil || string(got) != w {
				t.Errorf("got %s, want %s", got, w)
			}
		}
	}
	a, err := h.sessions.Account(t.Context(), h.a, "Bearer "+pair.Access, auth.Proof{}, auth.Full)
	if err != nil || a.AID != aid || a.DID != did || a.Handle != "h1.a.example.com" || a.Scope != auth.ScopeAccess {
		t.Errorf("%+v, %v", a, err)
	}
	r, err := h.sessions.Refresh(t.Context(), h.a, "bearer "+pair.Refresh, false)
	if err != nil || r.TokenID != row.TokenID || r.DID != did {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRefusedTokens(t *testing.T) {
	h := newHouse(t)
	aid := h.actor(t, h.a, did)
	pair, _ := h.session(t, h.a, aid, did, auth.ScopeAccess)
	other, _ := h.session(t, h.b, h.actor(t, h.b, did), did, auth.ScopeAccess)
	gone, _ := h.session(t, h.a, aid, "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb", auth.ScopeAccess)
	app, _ := h.session(t, h.a, aid, did, auth.ScopeAppPass)
	parts := strings.Split(pair.Access, ".")
	last := parts[2][len(parts[2])-1]
	// The last character of a signature has spare bits: another spelling of the same bytes is another token.
	stray := string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", last)|1])
	enc := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for _, c := range []struct {
		name, header string
		want         error
	}{
		{"none", "", auth.ErrMissing},
		{"scheme alone", "Bearer", auth.ErrScheme},
		{"no token", "Bearer  ", auth.ErrScheme},
		{"two tokens", "Bearer " + pair.Access + " " + pair.Access, auth.ErrScheme},
		{"basic", "Basic YWRtaW46eA==", auth.ErrScheme},
		{"DPoP without a proof", "DPoP " + pair.Access, dpop.ErrMissing},
		{"DPoP with two tokens", "DPoP " + pair.Access + " x", auth.ErrScheme},
		{"garbage", "Bearer x", auth.ErrUnverified},
		{"reference check", "Bearer eyJhbGciOiJub25lIn0.e30.", auth.ErrUnverified},
		{"too long", "Bearer " + strings.Repeat("a", 5000), auth.ErrUnverified},
		{"other tenant", "Bearer " + other.Access, auth.ErrUnverified},
		{"refresh token", "Bearer " + pair.Refresh, auth.ErrUnverified},
		{"alg none", "Bearer " + enc(`{"typ":"at+jwt","alg":"none"}`) + "." + parts[1] + "." + parts[2], auth.ErrUnverified},
		{"changed header", "Bearer " + enc(`{"alg":"HS256","typ":"at+jwt"}`) + "." + parts[1] + "." + parts[2], auth.ErrUnverified},
		{"changed payload", "Bearer " + parts[0] + "." + enc(`{"scope":"com.atproto.access"}`) + "." + parts[2], auth.ErrUnverified},
		{"cut signature", "Bearer " + parts[0] + "." + parts[1] + "." + parts[2][:20], auth.ErrUnverified},
		{"stray bits", "Bearer " + parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-1] + stray, auth.ErrUnverified},
		{"padding", "Bearer " + pair.Access + "=", auth.ErrUnverified},
		{"line break", "Bearer " + parts[0] + "." + parts[1] + "." + parts[2][:20] + "\n" + parts[2][20:], auth.ErrUnverified},
		{"four parts", "Bearer " + pair.Access + "." + parts[2], auth.ErrUnverified},
		{"account gone", "Bearer " + gone.Access, auth.ErrAccountNotFound},
		{"app password where the main one is needed", "Bearer " + app.Access, auth.ErrScope},
	} {
		if _, err := h.sessions.Account(t.Context(), h.a, c.header, auth.Proof{}, auth.Full); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := h.sessions.Refresh(t.Context(), h.a, "Bearer "+pair.Access, false); !errors.Is(err, auth.ErrUnverified) {
		t.Errorf("access token as refresh token: %v", err)
	}
	h.clock.add(auth.AccessLife)
	if _, err := h.sessions.Account(t.Context(), h.a, "Bearer "+pair.Access, auth.Proof{}, auth.Full); !errors.Is(err, auth.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	if _, err := h.sessions.Account(t.Context(), h.a, "Bearer "+other.Access, auth.Proof{}, auth.Full); !errors.Is(err, auth.ErrUnverified) {
		t.Errorf("another tenant's expired token must not be told apart: %v", err)
	}
	h.clock.add(auth.RefreshLife)
	if _, err := h.sessions.Refresh(t.Context(), h.a, "Bearer "+pair.Refresh, false); !errors.Is(err, auth.ErrExpired) {
		t.Errorf("expired refresh token: %v", err)
	}
	if r, err := h.sessions.Refresh(t.Context(), h.a, "Bearer "+pair.Refresh, true); err != nil || !r.Expired {
		t.Errorf("deleteSession takes expired ones: %v", err)
	}
}

func TestAccepts(t *testing.T) {
	h := newHouse(t)
	aid := h.actor(t, h.a, did)
	scopes := []auth.Scope{auth.ScopeAccess, auth.ScopeAppPassPrivileged, auth.ScopeAppPass, auth.ScopeTakendown, auth.ScopeRefresh, "com.example.x"}
	for _, c := range []struct {
		accept auth.Accept
		name   string
		takes  string // one letter for each scope
	}{
		{auth.Full, "full", "y....."},
		{auth.Priv, "priv", "yy...."},
		{auth.Std, "std", "yyy..."},
		{auth.Full | auth.OrTakendown, "full+td", "y..y.."},
		{auth.Std | auth.OrTakendown | auth.NoDeactivated, "std+td noDeact", "yyyy.."},
		{auth.Full | auth.NoTakedown, "full noTD", "y....."},
	} {
		if c.accept.String() != c.name {
			t.Errorf("%q, want %q", c.accept, c.name)
		}
		for i, scope := range scopes {
			pair, _ := h.session(t, h.a, aid, did, scope)
			_, err := h.sessions.Account(t.Context(), h.a, "Bearer "+pair.Access, auth.Proof{}, c.accept)
			if want := c.takes[i] == 'y'; (err == nil) != want || err != nil && !errors.Is(err, auth.ErrScope) {
				t.Errorf("%s with %s: %v", c.name, scope, err)
			}
		}
	}
}

// A token minted with the tenant's own key but bound to something else is no session token.
func TestForeignClaims(t *testing.T) {
	h := newHouse(t)
	h.actor(t, h.a, did)
	now := h.clock.Now().Unix()
	body := func(extra string) string {
		return fmt.Sprintf(`{"scope":"com.atproto.access","aud":"did:web:a.example.com","sub":%q,"iat":%d,"exp":%d%s}`, did, now, now+60, extra)
	}
	const head = `{"typ":"at+jwt","alg":"HS256"}`
	for _, c := range []struct {
		head, body string
		want       error
	}{
		{head, body(""), nil},
		{head, body(`,"lxm":"com.example.x"`), auth.ErrMalformed},
		{head, body(`,"cnf":{"jkt":"x"}`), auth.ErrMalformed},
		{head, body(`,"sub":"did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"`), auth.ErrUnverified}, // said twice
		{head, strings.Replace(body(""), "did:web:a.", "did:web:b.", 1), auth.ErrUnverified},
		{head, `{"scope":"com.atproto.access","aud":"did:web:a.example.com"}`, auth.ErrMalformed},
		{head, `[]`, auth.ErrUnverified},
		{head, ``, auth.ErrUnverified},
		{`{"typ":"JWT","alg":"HS256"}`, body(""), auth.ErrUnverified},
		{`{"typ":"at+jwt","alg":"HS256","crit":["b64"]}`, body(""), auth.ErrUnverified},
		{`{"typ":"at+jwt","alg":"HS256","b64":false}`, body(""), auth.ErrUnverified},
		{`{"typ":"at+jwt","alg":"HS512"}`, body(""), auth.ErrUnverified},
		{`{"typ":"x","typ":"at+jwt","alg":"HS256"}`, body(""), auth.ErrUnverified},
		{`{"alg":"HS256","typ":"at+jwt"}`, body(""), nil},
	} {
		token := h.sessions.Sign(t, h.a, c.head, c.body)
		_, err := h.sessions.Account(t.Context(), h.a, "Bearer "+token, auth.Proof{}, auth.Full)
		if !errors.Is(err, c.want) {
			t.Errorf("%s %s: got %v, want %v", c.head, c.body, err, c.want)
		}
	}
}

func TestAccountStates(t *testing.T) {
	h := newHouse(t)
	aid := h.actor(t, h.a, did)
	pair, _ := h.session(t, h.a, aid, did, auth.ScopeAccess)
	ask := func(accept auth.Accept) error {
		_, err := h.sessions.Account(t.Context(), h.a, "Bearer "+pair.Access, auth.Proof{}, accept)
		return err
	}
	if err := ask(auth.Full | auth.NoTakedown | auth.NoDeactivated); err != nil {
		t.Fatal(err)
	}
	h.setState(t, aid, true, true)
	if err := ask(auth.Full | auth.NoTakedown); err != nil {
		t.Errorf("inside the freshness time nobody asks: %v", err)
	}
	h.actors.Forget(h.a.Schema, did)
	for _, c := range []struct {
		accept auth.Accept
		want   error
	}{
		{auth.Full, nil},
		{auth.Full | auth.NoTakedown | auth.NoDeactivated, auth.ErrAccountTakedown},
		{auth.Full | auth.NoDeactivated, auth.ErrAccountDeactivated},
		{auth.Full | auth.NoDeactivated | auth.Guarded, auth.ErrAccountDeactivated},
	} {
		if err := ask(c.accept); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.accept, err)
		}
	}
	// Back in use: a refusal is never older than the freshness time, a permission may be where the committer looks again.
	h.setState(t, aid, false, false)
	h.clock.add(account.Fresh)
	if err := ask(auth.Full | auth.NoDeactivated | auth.Guarded); err != nil {
		t.Error(err)
	}
	h.setState(t, aid, false, true)
	h.clock.add(account.Fresh)
	if err := ask(auth.Full | auth.NoDeactivated | auth.Guarded); err != nil {
		t.Errorf("guarded: %v", err)
	}
	if err := ask(auth.Full | auth.NoDeactivated); !errors.Is(err, auth.ErrAccountDeactivated) {
		t.Errorf("not guarded: %v", err)
	}
}

func TestOperator(t *testing.T) {
	h := newHouse(t)
	basic := func(scheme, text string) string {
		return scheme + " " + base64.StdEncoding.EncodeToString([]byte(text))
	}
	for _, c := range []struct {
		header string
		want   error
	}{
		{basic("Basic", "admin:colons: are:fine"), nil},
		{basic("bAsIc", "admin:colons: are:fine"), nil},
		{"", auth.ErrMissing},
		{basic("Basic", "admin:wrong"), auth.ErrOperator},
		{basic("Basic", "admin:another password"), auth.ErrOperator}, // the other tenant's
		{basic("Basic", "root:colons: are:fine"), auth.ErrOperator},
		{basic("Basic", "admin"), auth.ErrOperator},
		{basic("Bearer", "admin:colons: are:fine"), auth.ErrOperator},
		{"Basic !!", auth.ErrOperator},
		{"Basic", auth.ErrOperator},
	} {
		if _, err := h.sessions.Operator(t.Context(), h.a, c.header); !errors.Is(err, c.want) {
			t.Errorf("%q: %v", c.header, err)
		}
	}
	if err := h.tenants.SetAdminPassword(t.Context(), "a.example.com", "a new password"); err != nil {
		t.Fatal(err)
	}
	now, err := h.tenants.Get(t.Context(), "a.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.sessions.Operator(t.Context(), now, basic("Basic", "admin:a new password")); err != nil {
		t.Errorf("the new password is not live: %v", err)
	}
	if _, err := h.sessions.Operator(t.Context(), now, basic("Basic", "admin:colons: are:fine")); !errors.Is(err, auth.ErrOperator) {
		t.Errorf("the old password still counts: %v", err)
	}
	if err := h.tenants.SetAdminPassword(t.Context(), "a.example.com", ""); err != nil {
		t.Fatal(err)
	}
	if now, err = h.tenants.Get(t.Context(), "a.example.com"); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"a new password", ""} {
		if _, err := h.sessions.Operator(t.Context(), now, basic("Basic", "admin:"+password)); !errors.Is(err, auth.ErrOperator) {
			t.Errorf("Basic is not off: %v", err)
		}
	}
}

// setState writes an account's state as another process would.
func (h *house) setState(t testing.TB, aid int64, takenDown, deactivated bool) {
	t.Helper()
	var ref *string
	var at *time.Time
	if takenDown {
		ref = new(string)
	}
	if deactivated {
		now := h.clock.Now()
		at = &now
	}
	b := h.db.Tenant(h.a.Schema).Batch()
	b.Queue("UPDATE pds_tenant.actor SET takedown_ref = $2, deactivated_at = $3 WHERE aid = $1", aid, ref, at)
	if err := b.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
}
