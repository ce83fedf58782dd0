package handlers

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

// credential is one thing that a caller may show, and what is true of it.
type credential struct {
	name   string
	header func(nsid string) string

	scheme  string // none, basic, bearer, other
	session string // class of the session token: full, priv, app, td, queue, refresh; "": none of this tenant's
	expired bool
	ended   bool // its session is, before its time
	gone    bool // its account is deleted
	down    bool // its account is taken down
	off     bool // its account is deactivated
	role    int  // of an operator, 1 support to 4 owner
	service string
	oauth   string   // what a token of OAuth is refused with; "good": nothing
	opens   []string // the rules of the table that a good one passes
	proof   func(verb, path string) []string
}

// answer is what the gate says: passed, or a refusal.
type answer struct {
	status int
	name   string
}

var passed = answer{}

func (a answer) String() string {
	if a == passed {
		return "passes"
	}
	return fmt.Sprintf("%d %s", a.status, a.name)
}

var roles = []string{"", "support", "moderator", "admin", "owner"}

// tabled is the answer that a line of access.txt means for a credential. It knows the table in words and nothing of the
// gate's code.
func tabled(class, verb, takes, rule string, c credential) answer {
	words := strings.FieldsFunc(takes, func(r rune) bool { return r == ' ' || r == ',' || r == ':' })
	if class == "overseen" { // the moderation service's calls without did are nobody's
		words = words[:slices.Index(words, "mod")]
	}
	has := func(w string) bool { return slices.Contains(words, w) }
	// Which session tokens: std+td takes three classes and the taken-down one.
	accepts := func() bool {
		for _, w := range words {
			base, _, _ := strings.Cut(w, "+")
			switch c.session {
			case "full":
				if base == "full" || base == "priv" || base == "std" {
					return true
				}
			case "priv":
				if base == "priv" || base == "std" {
					return true
				}
			case "app":
				if base == "std" {
					return true
				}
			case "td", "queue":
				if strings.Contains(w, "+"+c.session) {
					return true
				}
			}
		}
		return false
	}
	state := func() answer {
		switch {
		case c.gone:
			return answer{403, "AccountNotFound"}
		case c.down && (has("noTD") || c.session != "td"): // what was given out before is dead
			return answer{401, "AccountTakedown"}
		case c.ended:
			return answer{400, "ExpiredToken"}
		case c.off && has("noDeact"):
			return answer{401, "AccountDeactivated"}
		}
		return passed
	}
	switch class {
	case "public", "newcomer": // a token is looked at behind the body
		return passed
	case "account", "overseen":
		switch {
		case c.oauth == "good" && c.off && has("noDeact"):
			return state()
		case c.oauth == "good":
			return ruled(verb, rule, c.opens)
		case c.oauth != "":
			return answer{401, c.oauth}
		case c.scheme == "none":
			return answer{401, "AuthMissing"}
		case has("svc") && c.service == "wrong method":
			return answer{401, "BadJwtLexiconMethod"}
		case has("svc") && c.service == "wrong tenant":
			return answer{401, "BadJwtAudience"}
		case has("svc") && (c.service == "moderation" || c.service == "forged moderation" || c.service == "stranger"):
			return answer{403, "AccountNotFound"} // the issuer has no account of this tenant
		case has("svc") && c.service == "own":
			return state()
		case has("svc") && (c.service == "JwtExpired" || strings.HasPrefix(c.service, "BadJwt")):
			return answer{401, c.service}
		case c.session == "" || c.session == "refresh":
			return answer{400, "InvalidToken"}
		case c.expired:
			return answer{400, "ExpiredToken"}
		case !accepts():
			return answer{400, "InvalidToken"}
		}
		return state()
	case "viewer":
		switch {
		case c.oauth != "" && c.oauth != "good":
			return answer{401, c.oauth}
		case c.scheme == "none", c.role > 0, c.oauth == "good":
			return passed
		case c.session == "" || c.session == "refresh":
			return answer{401, "AuthenticationRequired"}
		case c.expired:
			return answer{400, "ExpiredToken"}
		case !accepts():
			return answer{401, "AuthenticationRequired"}
		}
		return state()
	case "refresh":
		switch {
		case c.scheme == "none":
			return answer{401, "AuthMissing"}
		case c.session != "refresh":
			return answer{400, "InvalidToken"}
		case c.expired && !has("expired"):
			return answer{400, "ExpiredToken"}
		}
		return passed
	case "operator":
		need := slices.Index(roles, words[1])
		switch {
		case c.scheme == "none":
			return answer{401, "AuthenticationRequired"}
		case c.role >= need:
			return passed
		case c.role > 0:
			return answer{403, "Forbidden"}
		case c.scheme != "bearer" || !has("mod") || c.service == "operator":
			return answer{401, "AuthenticationRequired"}
		case c.service == "moderation":
			return passed
		case c.service == "forged moderation":
			return answer{401, "BadJwtSignature"}
		case c.service == "stranger" || c.service == "own" || c.service == "BadJwtSignature": // nobody looks at a stranger's signature
			return answer{401, "UntrustedIss"}
		case c.service == "wrong method":
			return answer{401, "BadJwtLexiconMethod"}
		case c.service == "wrong tenant":
			return answer{401, "BadJwtAudience"}
		case c.service == "empty":
			return answer{401, "MissingJwt"}
		case c.service == "garbage":
			return answer{401, "BadJwt"}
		case c.service != "":
			return answer{401, c.service}
		}
		return answer{401, "BadJwtType"} // a session's
	}
	return answer{0, "class " + class + " is not known to the test"}
}

// TestAccessWalk calls every method of access.txt with every kind of credential. Procedures get a body that none of
// them takes: whoever is let in is told of the body, and nothing is done.
func TestAccessWalk(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	table, err := os.ReadFile("testdata/access.txt")
	if err != nil {
		t.Fatal(err)
	}
	creds := h.everyCredential()
	combinations, refused := 0, 0
	columns := regexp.MustCompile(` {2,}`)
	for line := range strings.Lines(string(table)) {
		f := columns.Split(strings.TrimSpace(line), -1)
		if strings.HasPrefix(line, "#") || len(f) < 4 {
			continue
		}
		nsid, verb, class := f[0], "", ""
		// Wide columns leave one blank only: verb and class have no blanks of their own.
		rest := strings.TrimSpace(strings.TrimPrefix(line, nsid))
		verb, rest, _ = strings.Cut(rest, " ")
		class, rest, _ = strings.Cut(strings.TrimSpace(rest), " ")
		more := columns.Split(strings.TrimSpace(rest), 3)
		takes, rule := more[0], more[1]
		op := h.server.Operations[nsid]
		if op == nil {
			t.Errorf("%s is in the table and not served", nsid)
			continue
		}
		if op.Kind == xrpc.SubscriptionKind {
			continue // public, and its answer is a stream
		}
		for _, c := range creds {
			combinations++
			want := tabled(class, verb, takes, rule, c)
			got, r := h.gateSays(nsid, verb, c)
			if got != want {
				t.Errorf("%s (%s, takes %s) with %s: %s, tabled: %s\n\t%.200s", nsid, class, takes, c.name, got, want, r.body)
			}
			if want != passed {
				refused++
				if got == want {
					r.wanted(want.status, want.name)
				}
			}
		}
	}
	t.Logf("%d combinations of %d credentials and the methods of access.txt, %d of them refused", combinations, len(creds), refused)
	if combinations < 5000 {
		t.Errorf("only %d combinations", combinations)
	}
}

// gateSays makes a call and tells the gate's answer from the handler's.
func (h *house) gateSays(nsid, verb string, c credential) (answer, reply) {
	h.t.Helper()
	header := c.header(nsid)
	target := "/xrpc/" + nsid
	var body any
	if verb == "GET" {
		var kv []string
		for _, q := range h.queryParams(nsid) {
			if q.required {
				kv = append(kv, q.name, text(q.good()))
			}
		}
		target += params(kv...)
	} else {
		body = []byte("{")
	}
	var headers []string
	if header != "" {
		headers = append(headers, header)
	}
	if c.proof != nil {
		path, _, _ := strings.Cut(target, "?")
		headers = append(headers, c.proof(verb, path)...)
	}
	if body != nil {
		headers = append(headers, "Content-Type: application/json")
	}
	r := h.raw(verb, hostA, target, body, headers...)
	if r.header.Get(byGate) != "" {
		var e struct{ Error string }
		_ = json.Unmarshal(r.body, &e)
		return answer{r.status, e.Error}, r
	}
	var e struct{ Error string }
	if c.oauth == "good" && r.status == 403 && json.Unmarshal(r.body, &e) == nil && e.Error == "ScopeMissingError" {
		return answer{r.status, e.Error}, r // by a rule that has read the parameters
	}
	if verb == "POST" && r.status != 400 && h.server.Operations[nsid].Input == "application/json" {
		h.t.Errorf("%s with %s: a broken body got %d %.200s", nsid, c.name, r.status, r.body)
	}
	return passed, r
}

// everyCredential is all kinds there are, of accounts in all states.
func (h *house) everyCredential() []credential {
	h.t.Helper()
	fixed := fixedHeader
	session := func(name, class, token string) credential {
		return credential{name: name, header: fixed(bearer(token)), scheme: "bearer", session: class}
	}
	alice, twin := h.createAccount(hostA, "alice"), h.createAccount(hostB, "alice")
	old := h.createAccount(hostA, "old") // its tokens expire below
	oldApp := old.letIn(everyScope)
	h.clock.add(auth.RefreshLife + time.Hour)
	sign := func(u *user, more ...any) *user {
		in := obj{"identifier": u.did, "password": userPassword}
		for i := 0; i < len(more); i += 2 {
			in[more[i].(string)] = more[i+1]
		}
		r := h.post(u.host, "com.atproto.server.createSession", "", in).ok()
		return &user{h, u.host, u.did, u.handle, r.str("accessJwt"), r.str("refreshJwt")}
	}
	alice, twin = sign(alice), sign(twin)
	app, priv := alice.app("app2", false), alice.app("priv2", true)
	creds := []credential{
		{name: "nothing", header: fixed(""), scheme: "none"},
		{name: "another scheme", header: fixed("Authorization: Nonsense x"), scheme: "other"},
		{name: "no token", header: fixed("Authorization: Bearer "), scheme: "bearer", service: "empty"},
		{name: "garbage", header: fixed(bearer("x.y.z")), scheme: "bearer", service: "garbage"},
		session("full", "full", alice.access), session("privileged app password", "priv", priv.access), session("app password", "app", app.access),
		session("refresh", "refresh", alice.refresh),
		session("other tenant's", "", twin.access), session("other tenant's refresh", "", twin.refresh),
	}
	for _, c := range []credential{session("expired", "full", old.access), session("expired refresh", "refresh", old.refresh)} {
		c.expired = true
		creds = append(creds, c)
	}
	// Accounts in other states, with sessions from before.
	state := func(label string) *user { return h.createAccount(hostA, label) }
	down, off, gone := state("down"), state("off"), state("gone")
	offApp, downApp := off.app("app", false), down.app("app", false)
	downOAuth := down.letIn(everyScope)
	h.status(hostA, down.did, true, nil).ok()
	h.status(hostA, off.did, nil, true).ok()
	goneTokens := h.serviceTokens(gone)
	h.admin(hostA, "deleteAccount", obj{"did": gone.did}).ok()
	h.set(hostA, "signup", "approval")
	queued := state("queued")
	h.set(hostA, "signup", "open")
	for _, c := range []credential{
		session("taken down, from before", "full", down.access),
		session("taken down, app password from before", "app", downApp.access), session("taken down, refresh from before", "refresh", down.refresh),
		session("deactivated, refresh", "refresh", off.refresh),
		session("taken down", "td", sign(down, "allowTakendown", true).access),
		session("deactivated", "full", off.access), session("deactivated, app password", "app", offApp.access),
		session("deleted", "full", gone.access), session("waiting for approval", "queue", queued.access),
	} {
		c.down, c.off, c.gone = strings.HasPrefix(c.name, "taken"), strings.HasPrefix(c.name, "deact") || strings.HasPrefix(c.name, "wait"), strings.HasPrefix(c.name, "deleted")
		if c.session == "td" {
			c.down = true
		}
		creds = append(creds, c)
	}
	creds = append(creds, h.oauthCredentials(alice, twin, oldApp)...)
	offOAuth := h.byOAuth("OAuth of a deactivated account", "good", off.letIn(everyScope), nil)
	offOAuth.off, offOAuth.opens = true, everyRule
	creds = append(creds, offOAuth, h.byOAuth("OAuth of a taken-down account", "invalid_token", downOAuth, nil)) // its sessions went with it
	careless := h.createAccount(hostA, "careless")
	lost := careless.app("lost", false)
	careless.call("com.atproto.server.revokeAppPassword", obj{"name": "lost"}).ok()
	creds = append(creds, credential{name: "revoked app password", header: fixed(bearer(lost.access)), scheme: "bearer", session: "app", ended: true},
		credential{name: "revoked app password's refresh", header: fixed(bearer(lost.refresh)), scheme: "bearer", session: "refresh"}) // whose row is gone: the handler's to say
	creds = append(creds, h.brokenCredentials(alice, app, twin)...)
	// Operators.
	operatorToken := func(host string, role auth.Role) auth.OperatorToken {
		tn, token := h.a, auth.NewOperatorToken()
		if host == hostB {
			tn = h.b
		}
		err := h.db.Tenant(tn.Schema).Tx(h.t.Context(), func(q *tenantdb.Queries) error {
			if err := auth.InsertOperator(h.t.Context(), q, h.clock.Now(), "op-"+role.String(), role, "test"); err != nil {
				return err
			}
			return auth.InsertOperatorToken(h.t.Context(), q, h.clock.Now(), "op-"+role.String(), token, "", nil)
		})
		if err != nil {
			h.t.Fatal(err)
		}
		return token
	}
	for role := auth.RoleSupport; role <= auth.RoleOwner; role++ {
		token := operatorToken(hostA, role)
		creds = append(creds,
			credential{name: role.String() + " by bearer", header: fixed(bearer(token.Secret)), scheme: "bearer", role: int(role)},
			credential{name: role.String() + " by basic", header: fixed(basic("op-"+role.String(), token.Secret)), scheme: "basic", role: int(role)})
	}
	other := operatorToken(hostB, auth.RoleOwner)
	creds = append(creds,
		credential{name: "shared password", header: fixed(asAdmin()), scheme: "basic", role: 4},
		credential{name: "wrong password", header: fixed(basic("admin", "wrong")), scheme: "basic"},
		credential{name: "other tenant's operator", header: fixed(bearer(other.Secret)), scheme: "bearer", service: "operator"},
		credential{name: "other tenant's operator by basic", header: fixed(basic("op-owner", other.Secret)), scheme: "basic"})
	creds = append(creds, h.deadOperators()...)
	creds = append(creds, h.brokenServices(twin, alice)...)
	// Services: the moderation service and a stranger, each with a token for exactly the method.
	h.set(hostA, "mod_service_did", twin.did)
	stranger := h.createAccount(hostB, "stranger")
	for _, s := range []struct {
		kind string
		u    *user
	}{{"moderation", twin}, {"stranger", stranger}} {
		mint := h.serviceTokens(s.u)
		creds = append(creds, credential{name: s.kind + " service", scheme: "bearer", service: s.kind, header: func(nsid string) string {
			return mint(h.a.ServiceDID, nsid)
		}})
	}
	// Services in the name of accounts of this tenant. The keys of deleted accounts are gone, which nobody asks for.
	for _, s := range []struct {
		name          string
		mint          func(aud, nsid string) string
		down, off     bool
		gone          bool
		aud, forWhich string
	}{
		{name: "service", mint: h.serviceTokens(alice)}, {name: "service of a deactivated account", mint: h.serviceTokens(off), off: true},
		{name: "service of a taken-down account", mint: h.serviceTokens(down), down: true}, {name: "service of a deleted account", mint: goneTokens, gone: true},
		{name: "service for another method", mint: h.serviceTokens(alice), forWhich: "com.example.other"},
		{name: "service for another tenant", mint: h.serviceTokens(alice), aud: h.b.ServiceDID},
	} {
		c := credential{name: s.name, scheme: "bearer", service: "own", down: s.down, off: s.off, gone: s.gone}
		aud := h.a.ServiceDID
		if s.aud != "" {
			aud, c.service = s.aud, "wrong tenant"
		}
		if s.forWhich != "" {
			c.service = "wrong method"
		}
		c.header = func(nsid string) string {
			if s.forWhich != "" {
				nsid = s.forWhich
			}
			return s.mint(aud, nsid)
		}
		creds = append(creds, c)
	}
	return creds
}

// serviceTokens makes service tokens that an account's own key signs; they are made as they are needed, because they
// live for a minute.
func (h *house) serviceTokens(u *user) func(aud, nsid string) string {
	h.t.Helper()
	tn := h.a
	if u.host == hostB {
		tn = h.b
	}
	q := h.db.Tenant(tn.Schema).Q()
	a, err := account.ByDID(h.t.Context(), q, u.did)
	if err != nil {
		h.t.Fatal(err)
	}
	key, err := account.Signer(h.t.Context(), q, h.keys, tn.Schema, a.AID)
	if err != nil {
		h.t.Fatal(err)
	}
	return func(aud, nsid string) string {
		jwt, err := auth.MintService(key, h.clock.Now(), h.clock.Now().Add(time.Minute), u.did, aud, nsid)
		if err != nil {
			h.t.Fatal(err)
		}
		return bearer(jwt)
	}
}
