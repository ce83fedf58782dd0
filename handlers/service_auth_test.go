package handlers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/bluesky-social/indigo/atproto/atcrypto"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

const serviceAuth = "com.atproto.server.getServiceAuth"

// claimsOf takes a token apart and proves its signature by the user's DID document.
func (u *user) claimsOf(token string) obj {
	u.t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		u.t.Fatalf("token %q", token)
	}
	doc, err := u.plc.Resolve(u.t.Context(), u.did)
	if err != nil {
		u.t.Fatal(err)
	}
	key, err := doc.Key(identity.KeyAtproto)
	if err != nil {
		u.t.Fatal(err)
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err == nil {
		err = key.HashAndVerify([]byte(parts[0]+"."+parts[1]), sig)
	}
	if err != nil {
		u.t.Errorf("signature: %v", err)
	}
	var out obj
	for i, want := range []string{`"alg":"ES256K"`, `"iss"`} {
		raw, _ := base64.RawURLEncoding.DecodeString(parts[i])
		if !strings.Contains(string(raw), want) {
			u.t.Errorf("part %d: %s", i, raw)
		}
		_ = json.Unmarshal(raw, &out)
	}
	return out
}

func TestGetServiceAuth(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	const aud = "did:web:api.example.com"
	now := h.clock.Now().Unix()
	in := func(d int64) string { return fmt.Sprint(now + d) }
	c := u.claimsOf(u.ask(serviceAuth, "aud", aud+"#bsky_appview", "lxm", "app.bsky.feed.getTimeline").ok().str("token"))
	if c["iss"] != u.did || c["aud"] != aud+"#bsky_appview" || c["lxm"] != "app.bsky.feed.getTimeline" || c["jti"] == nil {
		t.Errorf("%v", c)
	}
	if life := int64(c["exp"].(float64)) - now; life < 55 || life > 65 {
		t.Errorf("lives %d s", life)
	}
	if c := u.claimsOf(u.ask(serviceAuth, "aud", aud).ok().str("token")); c["lxm"] != nil {
		t.Errorf("%v", c)
	}
	u.ask(serviceAuth, "aud", aud, "lxm", "app.bsky.feed.getTimeline", "exp", in(3590)).ok()
	u.ask(serviceAuth, "aud", aud, "exp", in(50)).ok()
	for _, tt := range []struct {
		kv         []string
		name, part string
	}{
		{[]string{"aud", aud, "exp", in(-1)}, "BadExpiration", "past"},
		{[]string{"aud", aud, "exp", "0"}, "BadExpiration", "past"},
		{[]string{"aud", aud, "lxm", "a.b.c", "exp", in(3700)}, "BadExpiration", "an hour"},
		{[]string{"aud", aud, "exp", in(90)}, "BadExpiration", "a minute"},
		{[]string{"aud", "https://example.com"}, "InvalidRequest", "aud"},
		{[]string{"aud", "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"}, "InvalidRequest", "aud"},
		{[]string{"aud", aud + "#"}, "InvalidRequest", "aud"},
		{[]string{"aud", aud + ":user"}, "InvalidRequest", "aud"},
		{[]string{"aud", aud + "%3A443:user"}, "InvalidRequest", "aud"},
		{[]string{"aud", "did:web:example"}, "InvalidRequest", "aud"},
		{[]string{"aud", "did:web:example.com%3Aport"}, "InvalidRequest", "aud"},
		{[]string{"aud", "did:plc:short"}, "InvalidRequest", "aud"},
		{[]string{"aud", aud + "#a b"}, "InvalidRequest", "aud"},
		{[]string{"aud", aud + strings.Repeat("x", 2048)}, "InvalidRequest", "aud"},
		{[]string{"lxm", "a.b.c"}, "InvalidRequest", "aud"},
		{[]string{"aud", aud, "lxm", "no nsid"}, "InvalidRequest", "lxm"},
		{[]string{"aud", aud, "lxm", "com.atproto.server.createAppPassword"}, "InvalidRequest", "protected method"},
		{[]string{"aud", aud, "lxm", "com.atproto.server.CREATEAPPPASSWORD"}, "InvalidRequest", "protected method"},
		{[]string{"aud", aud, "lxm", "com.atproto.identity.updateHandle"}, "InvalidRequest", "protected method"},
	} {
		u.ask(serviceAuth, tt.kv...).fails(400, tt.name, tt.part)
	}
	// What takes the main password, or a privileged app password.
	app := u.login(u.call(createApp, obj{"name": "one"}).ok().str("password"))
	priv := u.login(u.call(createApp, obj{"name": "two", "privileged": true}).ok().str("password"))
	for _, lxm := range []string{"chat.bsky.convo.getLog", "com.atproto.server.createAccount", "Chat.bsky.convo.getLog"} {
		app.ask(serviceAuth, "aud", aud, "lxm", lxm).fails(400, "InvalidRequest", "insufficient access")
		priv.ask(serviceAuth, "aud", aud, "lxm", lxm).ok()
		u.ask(serviceAuth, "aud", aud, "lxm", lxm).ok()
	}
	app.ask(serviceAuth, "aud", aud, "lxm", "app.bsky.feed.getTimeline").ok()
	// Deactivated accounts go on; taken-down ones may leave.
	u.call(deactivate, obj{}).ok()
	u.ask(serviceAuth, "aud", aud, "lxm", "app.bsky.feed.getTimeline").ok()
	u.setStatus("takedown_ref", "x")
	r := h.post(hostA, createSession, "", obj{"identifier": u.handle, "password": userPassword, "allowTakendown": true}).ok()
	out := &user{h, hostA, u.did, u.handle, r.str("accessJwt"), ""}
	out.ask(serviceAuth, "aud", aud, "lxm", "com.atproto.server.createAccount").ok()
	out.ask(serviceAuth, "aud", aud, "lxm", "app.bsky.feed.getTimeline").fails(400, "InvalidToken", "Bad token scope")
	out.ask(serviceAuth, "aud", aud).fails(400, "InvalidToken", "Bad token scope")
}

// forge makes a service token of any content, signed by a key.
func forge(t testing.TB, key atcrypto.PrivateKey, head, body obj) string {
	t.Helper()
	part := func(v obj) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := part(head) + "." + part(body)
	sig, err := key.HashAndSign([]byte(signed))
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// An account moves from one tenant to the other, with nothing but the ordinary methods.
func TestMoveAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	u.create("app.bsky.feed.post", "", postRecord("before")).ok()
	newSignup := obj{"did": u.did, "handle": "alice.b.test", "email": h.email("moved"), "password": userPassword}
	h.post(hostB, createAccount, "", newSignup).fails(401, "AuthenticationRequired", "Missing auth to create account with did")
	token := func(kv ...string) string {
		return u.ask(serviceAuth, append([]string{"aud", h.b.ServiceDID}, kv...)...).ok().str("token")
	}
	lxm := "com.atproto.server.createAccount"
	h.post(hostB, createAccount, bearer(u.access), newSignup).fails(401, "BadJwtType", "")
	h.post(hostB, createAccount, bearer("x.y"), newSignup).fails(401, "BadJwt", "")
	h.post(hostB, createAccount, bearer(token()), newSignup).fails(401, "BadJwtLexiconMethod", "")
	h.post(hostB, createAccount, bearer(token("lxm", "com.atproto.repo.uploadBlob")), newSignup).fails(401, "BadJwtLexiconMethod", "")
	wrongAud := u.ask(serviceAuth, "aud", h.a.ServiceDID, "lxm", lxm).ok().str("token")
	h.post(hostB, createAccount, bearer(wrongAud), newSignup).fails(401, "BadJwtAudience", "")
	late := token("lxm", lxm)
	h.clock.add(2 * time.Minute)
	h.post(hostB, createAccount, bearer(late), newSignup).fails(401, "JwtExpired", "")
	good := token("lxm", lxm)
	h.post(hostB, createAccount, bearer(good[:len(good)-4]+"AAAA"), newSignup).fails(401, "BadJwtSignature", "")
	other := obj{"did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "handle": "alice.b.test", "email": h.email("moved"), "password": userPassword}
	h.post(hostB, createAccount, bearer(good), other).fails(401, "AuthenticationRequired", "Missing auth")
	// A key that is reserved beforehand becomes the account's.
	reserved := h.post(hostB, "com.atproto.server.reserveSigningKey", "", obj{"did": u.did}).ok().str("signingKey")
	if again := h.post(hostB, "com.atproto.server.reserveSigningKey", "", obj{"did": u.did}).ok().str("signingKey"); again != reserved || !strings.HasPrefix(reserved, "did:key:zQ3s") {
		t.Errorf("reserved %s, then %s", reserved, again)
	}
	if h.post(hostB, "com.atproto.server.reserveSigningKey", "", obj{}).ok().str("signingKey") == reserved {
		t.Error("the same key for nobody")
	}
	r := h.post(hostB, createAccount, bearer(good), newSignup).ok()
	v := &user{h, hostB, u.did, "alice.b.test", r.str("accessJwt"), r.str("refreshJwt")}
	h.post(hostB, createAccount, bearer(good), newSignup).fails(400, "AlreadyExists", "already")
	s := v.ask(status).ok()
	if got := fmt.Sprintf("%v %v %v %v", s.at("activated"), s.at("validDid"), s.at("repoBlocks"), s.at("indexedRecords")); got != "false false 2 0" {
		t.Errorf("a moved account begins as %s", got)
	}
	v.call(activate, nil).fails(400, "InvalidRequest", "DID document")
	v.create("app.bsky.feed.post", "", postRecord("too early")).fails(401, "AccountDeactivated", "")
	v.call(deactivate, obj{}).ok() // is what it is; nobody hears of it, and its date stays
	if n := query64(t, h.url, "SELECT count(*) FROM "+h.b.Schema.String()+".actor WHERE delete_after IS NOT NULL"); n[0] != 1 {
		t.Error("an account that was never activated would stay forever")
	}
	if got := h.told(h.b, 0); got != "" {
		t.Errorf("the stream says %q", got)
	}
	// The document follows.
	want := v.ask("com.atproto.identity.getRecommendedDidCredentials").ok().json()
	if want["verificationMethods"].(obj)["atproto"] != reserved {
		t.Errorf("%v, reserved %s", want, reserved)
	}
	u.call("com.atproto.identity.signPlcOperation", want).fails(400, "InvalidRequest", "email confirmation token required")
	u.call("com.atproto.identity.requestPlcOperationSignature", nil).ok()
	want["token"] = "AAAAA-AAAAA"
	u.call("com.atproto.identity.signPlcOperation", want).fails(400, "InvalidToken", "")
	want["token"] = u.mailedToken(mail.KindPLCOperation)
	before := h.told(h.a, 0)
	op := u.call("com.atproto.identity.signPlcOperation", want).ok().at("operation").(obj)
	u.call("com.atproto.identity.signPlcOperation", want).fails(400, "InvalidToken", "")
	if got := h.told(h.a, 0); got != before {
		t.Errorf("signing says %q", got)
	}
	u.call("com.atproto.identity.submitPlcOperation", obj{"operation": op}).fails(400, "InvalidRequest", "Incorrect")
	bad := obj{}
	for k, x := range op {
		bad[k] = x
	}
	bad["alsoKnownAs"] = list{"at://elsewhere.b.test"}
	v.call("com.atproto.identity.submitPlcOperation", obj{"operation": bad}).fails(400, "InvalidRequest", "Incorrect handle")
	bad["alsoKnownAs"], bad["prev"] = op["alsoKnownAs"], nil
	v.call("com.atproto.identity.submitPlcOperation", obj{"operation": bad}).fails(400, "InvalidRequest", "")
	v.call("com.atproto.identity.submitPlcOperation", obj{"operation": obj{"type": "nonsense"}}).fails(400, "InvalidRequest", "")
	v.call("com.atproto.identity.submitPlcOperation", obj{"operation": op}).ok()
	if got := h.told(h.b, 0); got != "identity()" {
		t.Errorf("a submitted operation says %q", got)
	}
	if v.ask(status).ok().at("validDid") != true {
		t.Error("the document does not fit")
	}
	seq := h.lastSeq(h.b)
	v.call(activate, nil).ok()
	if got := h.told(h.b, seq); got != "account(active) identity(alice.b.test) sync" {
		t.Errorf("activation says %q", got)
	}
	u.call(deactivate, obj{}).ok()
	v.create("app.bsky.feed.post", "", postRecord("after")).ok()
	if info := h.get(hostA, "com.atproto.identity.resolveIdentity", "", "identifier", u.did).ok(); info.str("handle") != "alice.b.test" {
		t.Errorf("%s", info.body)
	}
	h.check()
}

// A did:web account with a P-256 key, whose document the test serves, and keys that change.
func TestServiceTokens(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p256, err := atcrypto.GeneratePrivateKeyP256()
	if err != nil {
		t.Fatal(err)
	}
	u := h.createAccount(hostA, "alice")
	pub, err := p256.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	services := h.tokens
	method := "com.atproto.repo.uploadBlob"
	claims := func(kv ...any) obj {
		c := obj{"iss": u.did, "aud": h.a.ServiceDID, "lxm": method, "exp": h.clock.Now().Add(time.Minute).Unix()}
		for i := 0; i < len(kv); i += 2 {
			c[kv[i].(string)] = kv[i+1]
		}
		return c
	}
	ask := func(tn *tenant.Tenant, token string) error {
		_, err := services.Service(t.Context(), identity.Asker{}, tn, "Bearer "+token, method)
		return err
	}
	head := obj{"typ": "JWT", "alg": "ES256"}
	if err := ask(h.a, forge(t, p256, head, claims())); translated(err) != "BadJwtSignature" {
		t.Errorf("a key that is not the account's: %v", err)
	}
	// The key changes behind our back: the document is fetched anew, though not for each bad token.
	h.clock.add(time.Minute)
	u.plcUpdate(func(op *identity.Operation) { op.VerificationMethods[identity.KeyAtproto] = pub.DIDKey() }, nil)
	for _, tt := range []struct {
		what, token, want string
	}{
		{"good", forge(t, p256, head, claims()), ""},
		{"without typ", forge(t, p256, obj{"alg": "ES256"}, claims()), ""},
		{"of another alg", forge(t, p256, obj{"alg": "ES256K"}, claims()), "BadJwtSignature"},
		{"of alg none", forge(t, p256, obj{"alg": "none"}, claims()), "BadJwtSignature"},
		{"an access token", forge(t, p256, obj{"typ": "at+jwt", "alg": "ES256"}, claims()), "BadJwtType"},
		{"a refresh token", forge(t, p256, obj{"typ": "refresh+jwt", "alg": "ES256"}, claims()), "BadJwtType"},
		{"a DPoP proof", forge(t, p256, obj{"typ": "dpop+jwt", "alg": "ES256"}, claims()), "BadJwtType"},
		{"for another tenant", forge(t, p256, head, claims("aud", h.b.ServiceDID)), "BadJwtAudience"},
		{"for another fragment of ours", forge(t, p256, head, claims("aud", h.a.ServiceDID+"#atproto_labeler")), "BadJwtAudience"},
		{"for no method", forge(t, p256, head, obj{"iss": u.did, "aud": h.a.ServiceDID, "exp": h.clock.Now().Add(time.Minute).Unix()}), "BadJwtLexiconMethod"},
		{"expired", forge(t, p256, head, claims("exp", 1)), "JwtExpired"},
		{"without exp", forge(t, p256, head, obj{"iss": u.did, "aud": h.a.ServiceDID, "lxm": method}), "BadJwt"},
		{"by a labeler without key", forge(t, p256, head, claims("iss", u.did+"#atproto_labeler")), "BadJwtIss"},
		{"by an unknown fragment", forge(t, p256, head, claims("iss", u.did+"#other")), "BadJwtIss"},
		{"by nobody", forge(t, p256, head, claims("iss", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")), "BadJwtIss"},
		{"by no DID", forge(t, p256, head, claims("iss", "alice")), "BadJwtIss"},
		{"of junk", "a.b.c", "BadJwt"},
	} {
		if got := translated(ask(h.a, tt.token)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, got, tt.want)
		}
	}
	if _, err := services.Service(t.Context(), identity.Asker{}, h.a, "", method); translated(err) != "MissingJwt" {
		t.Errorf("no header: %v", err)
	}
	if _, err := services.Service(t.Context(), identity.Asker{}, h.a, "Basic eDp5", method); translated(err) != "MissingJwt" {
		t.Errorf("Basic: %v", err)
	}
}

// translated is the name of the answer to an error.
func translated(err error) string {
	if err == nil {
		return ""
	}
	answer, _ := (&xrpc.Tables{Translations: translations}).Translate(context.Background(), err)
	return answer.Name
}
