package handlers

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
	"github.com/auroralocus/locus/internal/tenant"
)

// oauthApp is a client that an account has let in.
type oauthApp struct {
	*user
	key     *oauthtest.Key
	session *oauth.Session
	token   string
}

func (h *house) tenantOf(host string) *tenant.Tenant {
	if host == hostB {
		return h.b
	}
	return h.a
}

// letIn gives a client what a person would have granted it.
func (u *user) letIn(scopes string) *oauthApp {
	u.t.Helper()
	t := u.tenantOf(u.host)
	a := &oauthApp{user: u, key: oauthtest.NewKey(u.t, "ES256")}
	row, err := u.db.Tenant(t.Schema).Q().GetActorStatus(u.t.Context(), u.did)
	if err != nil {
		u.t.Fatal(err)
	}
	now := u.clock.Now()
	s := &oauth.Session{ID: make([]byte, 16), AID: row.AID, Epoch: row.SessionEpoch, ClientID: "https://app.example.com/client.json", JKT: a.key.Thumbprint, Scope: scopes, Generation: 1, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	code := make([]byte, 32)
	_, _ = rand.Read(s.ID)
	_, _ = rand.Read(code)
	a.session = s
	err = u.db.Tenant(t.Schema).Q().InsertOAuthSession(u.t.Context(), tenantdb.InsertOAuthSessionParams{
		ID: s.ID, AID: s.AID, Epoch: s.Epoch, ClientID: s.ClientID, Jkt: s.JKT, Granted: scopes, Scope: scopes, Code: code, Now: now, EndsAt: s.ExpiresAt, ExpiresAt: s.ExpiresAt,
	})
	if err != nil {
		u.t.Fatal(err)
	}
	secrets, err := u.sessions.OAuth(u.t.Context(), t)
	if err != nil {
		u.t.Fatal(err)
	}
	if a.token, _, err = u.sessions.MintOAuth(t, secrets, u.did, s); err != nil {
		u.t.Fatal(err)
	}
	return a
}

// prove is the header DPoP of a request, good but for what change does.
func (a *oauthApp) prove(verb, path string, change func(*oauthtest.Proof)) string {
	a.t.Helper()
	t := a.tenantOf(a.host)
	p := oauthtest.Proof{Method: verb, URL: t.PublicURL + path, Nonce: a.sessions.Nonce(a.t.Context(), t)[0], Token: a.token, At: a.clock.Now()}
	if change != nil {
		change(&p)
	}
	return "DPoP: " + a.key.Prove(a.t, p)
}

// does calls a method with a good proof.
func (a *oauthApp) does(verb, target string, body any, headers ...string) reply {
	a.t.Helper()
	path, _, _ := strings.Cut(target, "?")
	return a.raw(verb, a.host, target, body, append([]string{"Authorization: DPoP " + a.token, a.prove(verb, path, nil)}, headers...)...)
}
