package handlers

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/mail"
)

// secretForms are what no log may hold: passwords of the tests, session and service tokens, operators' tokens, app
// passwords, mailed tokens, invite codes.
var secretForms = regexp.MustCompile(regexp.QuoteMeta(userPassword) + "|" + regexp.QuoteMeta(adminPassword) +
	`|\beyJ[A-Za-z0-9_-]{10}|locusop_[A-Za-z0-9_-]{8}|\b[a-z2-7]{4}(-[a-z2-7]{4}){3}\b|\b[A-Z2-7]{5}-[A-Z2-7]{5}\b|-test-[a-z2-7]{5}-[a-z2-7]{5}|Basic [A-Za-z0-9+/]{8}`)

// keepsSecrets looks through everything that a house has logged, at the end of every test that has one.
func (l *houseLog) keepsSecrets() {
	lines := l.text.Load()
	if lines == nil {
		return
	}
	for _, line := range *lines {
		if found := secretForms.FindString(line); found != "" {
			l.t.Errorf("the log holds a secret, %q: %s", found, line)
			return
		}
	}
}

// What opens an account is stored so that who reads the database cannot use it: no table holds a password or token in
// any form that could be sent.
func TestNothingUsableIsStored(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	h.post(hostA, "com.atproto.server.requestPasswordReset", "", obj{"email": u.ask(getSession).str("email")}).ok()
	secrets := map[string]string{
		"password": userPassword, "operator's password": adminPassword, "access token": u.access, "refresh token": u.refresh,
		"mailed token": u.mailedToken(mail.KindResetPassword), "app password": u.call(createApp, obj{"name": "one"}).ok().str("password"),
	}
	secrets["mailed token without dash"] = strings.ReplaceAll(secrets["mailed token"], "-", "")
	secrets["signature of the refresh token"] = u.refresh[strings.LastIndexByte(u.refresh, '.')+1:]
	for what, secret := range secrets {
		for _, form := range []string{secret, hex.EncodeToString([]byte(secret))} {
			if tables := h.mentions(h.a, form); len(tables) > 0 {
				t.Errorf("the %s stands in %v", what, tables)
			}
		}
	}
}

// Even with one tenant's rows copied into another's tables, nothing that one gave out opens anything there: every
// credential is bound to its tenant's own secrets.
func TestCredentialsOfAnotherTenant(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	email := u.ask(getSession).ok().str("email")
	app := u.call(createApp, obj{"name": "one"}).ok().str("password")
	for _, request := range []string{"server.requestEmailConfirmation", "server.requestAccountDelete", "identity.requestPlcOperationSignature"} {
		u.call("com.atproto."+request, nil).ok()
	}
	h.post(hostA, "com.atproto.server.requestPasswordReset", "", obj{"email": email}).ok()
	for _, table := range []string{"actor", "account", "account_item", "refresh_token"} {
		h.exec(h.b, "INSERT INTO pds."+table+" SELECT * FROM "+h.a.Schema.String()+"."+table)
	}
	// The copy is an account there: its password, which is bound to nothing, opens it.
	r := h.post(hostB, createSession, "", obj{"identifier": u.did, "password": userPassword}).ok()
	there := &user{h, hostB, u.did, u.handle, r.str("accessJwt"), r.str("refreshJwt")}

	h.get(hostB, getSession, bearer(u.access)).fails(400, "InvalidToken", "")
	h.post(hostB, refreshSession, bearer(u.refresh), nil).fails(400, "InvalidToken", "")
	h.post(hostB, createSession, "", obj{"identifier": u.did, "password": app}).fails(401, "AuthenticationRequired", "")
	there.call("com.atproto.server.confirmEmail", obj{"email": email, "token": u.mailedToken(mail.KindConfirmEmail)}).fails(400, "InvalidToken", "")
	h.post(hostB, "com.atproto.server.resetPassword", "", obj{"token": u.mailedToken(mail.KindResetPassword), "password": "long enough"}).fails(400, "InvalidToken", "")
	h.post(hostB, "com.atproto.server.deleteAccount", "", obj{"did": u.did, "password": userPassword, "token": u.mailedToken(mail.KindDeleteAccount)}).fails(400, "InvalidToken", "")
	there.call("com.atproto.identity.signPlcOperation", obj{"token": u.mailedToken(mail.KindPLCOperation)}).fails(400, "InvalidToken", "")
	// The signing key is sealed for the other schema: nothing is signed with it here.
	h.log.allowed.Store(true)
	there.ask("com.atproto.server.getServiceAuth", "aud", "did:web:example.com").fails(500, "InternalServerError", "")
	// At home all of it is as good as ever.
	u.login(app)
	u.call("com.atproto.server.confirmEmail", obj{"email": email, "token": u.mailedToken(mail.KindConfirmEmail)}).ok()
}
