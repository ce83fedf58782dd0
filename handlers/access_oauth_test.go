package handlers

import (
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/oauth/oauthtest"
)

// The rules of the table, in its words.
const (
	ruleAny        = "atproto"
	ruleNone       = "no OAuth"
	ruleCreate     = "repo:COLLECTION?action=create"
	rulePut        = "repo:COLLECTION?action=create&action=update"
	ruleDelete     = "repo:COLLECTION?action=delete"
	ruleWrites     = "repo:COLLECTION?action=ACTION, of each write"
	ruleBlob       = "blob:TYPE"
	ruleImport     = "account:repo?action=manage"
	ruleDeactivate = "account:status?action=manage"
	ruleEmail      = "account:email?action=manage"
	ruleHandle     = "identity:handle"
	ruleIdentity   = "identity:*"
	ruleGetPrefs   = "rpc:app.bsky.actor.getPreferences?aud=APPVIEW"
	rulePutPrefs   = "rpc:app.bsky.actor.putPreferences?aud=APPVIEW"
	ruleReport     = "rpc:com.atproto.moderation.createReport?aud=SERVICE"
	ruleServices   = "rpc:LXM?aud=AUD"
)

// behindBody are the rules that look at the input: a body that cannot be read is told of first.
var behindBody = []string{ruleCreate, rulePut, ruleDelete, ruleWrites, ruleReport}

// ruled is the answer that a rule of the table means for a token of OAuth that opens some of them.
func ruled(verb, rule string, opens []string) answer {
	switch {
	case rule == ruleNone:
		return answer{403, "Forbidden"}
	case verb == "POST" && slices.Contains(behindBody, rule), slices.Contains(opens, rule):
		return passed
	}
	return answer{403, "ScopeMissingError"}
}

// everyScope opens all that can be opened, and everyRule are the rules of that.
const everyScope = "atproto repo:* blob:*/* account:email?action=manage account:repo?action=manage account:status?action=manage identity:* transition:generic transition:chat.bsky transition:email"

var everyRule = []string{ruleAny, ruleCreate, rulePut, ruleDelete, ruleWrites, ruleBlob, ruleImport, ruleDeactivate, ruleEmail, ruleHandle, ruleIdentity, ruleGetPrefs, rulePutPrefs, ruleReport, ruleServices}

// scopeOpens is what each scope opens beside atproto, which all of them but the first have.
var scopeOpens = []struct {
	scopes string
	opens  []string
}{
	{"", nil},
	{"repo:* blob:*/* identity:*", nil}, // nothing counts without atproto
	{"atproto", nil},
	{"atproto nonsense repo:bad blob:* account identity:x rpc:*?aud=*", nil},
	{"atproto repo:*", []string{ruleCreate, rulePut, ruleDelete, ruleWrites}},
	{"atproto repo:com.example.post?action=create", []string{ruleCreate}},
	{"atproto blob:*/*", []string{ruleBlob}},
	{"atproto blob:image/*", nil}, // the walk uploads what is none
	{"atproto account:email", nil},
	{"atproto account:email?action=manage", []string{ruleEmail}},
	{"atproto account:repo", nil},
	{"atproto account:repo?action=manage", []string{ruleImport}},
	{"atproto account:status?action=manage", []string{ruleDeactivate}},
	{"atproto identity:handle", []string{ruleHandle}},
	{"atproto identity:*", []string{ruleHandle, ruleIdentity}},
	{"atproto transition:email", nil},
	{"atproto transition:chat.bsky", nil},
	{"atproto transition:generic", []string{ruleCreate, rulePut, ruleDelete, ruleWrites, ruleBlob, ruleGetPrefs, rulePutPrefs, ruleReport, ruleServices}},
	{"atproto rpc:app.bsky.actor.getPreferences?aud=*", []string{ruleGetPrefs}},
	{"atproto rpc:app.bsky.actor.putPreferences?aud=*", []string{rulePutPrefs}},
	{"atproto rpc:com.atproto.moderation.createReport?aud=*", []string{ruleReport}},
	{"atproto rpc:app.bsky.actor.getPreferences?aud=did:web:other.example%23bsky_appview", nil},
}

// byOAuth is an app's token with a proof for the first tenant, good but for what change does.
func (h *house) byOAuth(name, refusal string, a *oauthApp, change func(*oauthtest.Proof)) credential {
	return credential{name: name, header: fixedHeader("Authorization: DPoP " + a.token), scheme: "other", oauth: refusal, proof: func(verb, path string) []string {
		return []string{a.prove(verb, path, func(p *oauthtest.Proof) {
			p.URL = h.a.PublicURL + path
			p.Nonce = h.sessions.Nonce(h.t.Context(), h.a)[0]
			if change != nil {
				change(p)
			}
		})}
	}}
}

// oauthCredentials are what apps of alice were granted, each scope by itself, and what is nearly such a credential.
func (h *house) oauthCredentials(alice, twin *user, old *oauthApp) []credential {
	h.t.Helper()
	app, other := alice.letIn(everyScope), twin.letIn(everyScope)
	ended, refreshed, stolen := alice.letIn(everyScope), alice.letIn(everyScope), alice.letIn(everyScope)
	if _, err := h.db.Tenant(h.a.Schema).Q().DeleteOAuthSession(h.t.Context(), ended.session.ID); err != nil {
		h.t.Fatal(err)
	}
	h.exec(h.a, "UPDATE pds.oauth_session SET generation = generation + 1 WHERE id = $1", refreshed.session.ID)
	stolen.key = oauthtest.NewKey(h.t, "ES256")
	once := app.prove("GET", "/xrpc/com.example.none", nil)
	creds := []credential{
		h.byOAuth("OAuth without a nonce", "use_dpop_nonce", app, func(p *oauthtest.Proof) { p.Nonce = "" }),
		h.byOAuth("OAuth with another tenant's nonce", "use_dpop_nonce", app, func(p *oauthtest.Proof) { p.Nonce = h.sessions.Nonce(h.t.Context(), h.b)[0] }),
		h.byOAuth("OAuth of another URL", "invalid_dpop_proof", app, func(p *oauthtest.Proof) { p.URL += "x" }),
		h.byOAuth("OAuth of another tenant's URL", "invalid_dpop_proof", app, func(p *oauthtest.Proof) { p.URL = h.b.PublicURL + p.URL[len(h.a.PublicURL):] }),
		h.byOAuth("OAuth of another verb", "invalid_dpop_proof", app, func(p *oauthtest.Proof) { p.Method = "PUT" }),
		h.byOAuth("OAuth of another token", "invalid_dpop_proof", app, func(p *oauthtest.Proof) { p.Token = other.token }),
		h.byOAuth("OAuth of another tenant", "invalid_token", other, nil),
		h.byOAuth("OAuth that was ended", "invalid_token", ended, nil),
		h.byOAuth("OAuth that was refreshed since", "invalid_token", refreshed, nil),
		h.byOAuth("OAuth past its time", "invalid_token", old, nil),
		h.byOAuth("OAuth with another key", "invalid_token", stolen, nil),
		{name: "OAuth with the proof of another call", header: fixedHeader("Authorization: DPoP " + app.token), scheme: "other", oauth: "invalid_dpop_proof", proof: func(string, string) []string { return []string{once} }},
		{name: "OAuth without a proof", header: fixedHeader("Authorization: DPoP " + app.token), scheme: "other", oauth: "invalid_dpop_proof"},
		{name: "OAuth by Bearer", header: fixedHeader("Authorization: Bearer " + app.token), scheme: "bearer", oauth: "invalid_token"},
		{name: "session token by DPoP", header: fixedHeader("Authorization: DPoP " + alice.access), scheme: "other", oauth: "invalid_dpop_proof"},
	}
	for _, s := range append(scopeOpens, struct {
		scopes string
		opens  []string
	}{everyScope, everyRule}) {
		c := h.byOAuth("OAuth: "+s.scopes, "good", alice.letIn(s.scopes), nil)
		if c.opens = s.opens; strings.HasPrefix(s.scopes, "atproto") {
			c.opens = append([]string{ruleAny}, s.opens...)
		}
		creds = append(creds, c)
	}
	return creds
}
