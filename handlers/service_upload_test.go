package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bluesky-social/indigo/atproto/atcrypto"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
)

const uploadBlobMethod = "com.atproto.repo.uploadBlob"

// A service uploads in an account's name, as the video service does with a token that the account's owner asked for.
func TestServiceUpload(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostB, "bob")
	upload := func(host, header, body string) reply {
		t.Helper()
		headers := []string{"Content-Type: video/mp4"}
		if header != "" {
			headers = append(headers, header)
		}
		return h.raw("POST", host, "/xrpc/"+uploadBlobMethod, []byte(body), headers...)
	}
	token := bearer(alice.ask(serviceAuth, "aud", h.a.ServiceDID, "lxm", uploadBlobMethod, "exp", fmt.Sprint(h.clock.Now().Add(30*time.Minute).Unix())).ok().str("token"))
	first := upload(hostA, token, "the video").ok()
	// A service that lost the answer asks again, with the token it has, and one token may be for a file and its poster.
	if again := upload(hostA, token, "the video").ok(); again.str("blob", "ref", "$link") != first.str("blob", "ref", "$link") {
		t.Errorf("%s, then %s", first.body, again.body)
	}
	upload(hostA, token, "its poster").ok()
	alice.create(custom, "", obj{"video": first.at("blob")}).ok()
	if n := query64(t, h.url, "SELECT count(*) FROM "+h.b.Schema.String()+".blob")[0]; n != 0 {
		t.Errorf("%d blobs of the other tenant", n)
	}
	// Its audience may say which service of this server is meant: there is one.
	upload(hostA, h.serviceTokens(alice)(h.a.ServiceDID+"#atproto_pds", uploadBlobMethod), "more").ok()
	upload(hostA, h.serviceTokens(alice)(h.a.ServiceDID+"#atproto_pds2", uploadBlobMethod), "more").fails(401, "BadJwtAudience", "")
	// What a token is for.
	upload(hostB, token, "x").fails(401, "BadJwtAudience", "")
	upload(hostA, h.serviceTokens(bob)(h.a.ServiceDID, uploadBlobMethod), "x").fails(403, "AccountNotFound", "")
	upload(hostA, h.serviceTokens(alice)(h.a.ServiceDID, "com.atproto.repo.createRecord"), "x").fails(401, "BadJwtLexiconMethod", "")
	alice.call("com.atproto.repo.createRecord", obj{"repo": alice.did, "collection": custom, "record": obj{}}).ok()
	h.post(hostA, "com.atproto.repo.createRecord", h.serviceTokens(alice)(h.a.ServiceDID, "com.atproto.repo.createRecord"),
		obj{"repo": alice.did, "collection": custom, "record": obj{}}).fails(400, "InvalidToken", "")
	// Tokens of any content, by the account's own key.
	key, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	alice.plcUpdate(func(op *identity.Operation) { op.VerificationMethods[identity.KeyAtproto] = pub.DIDKey() }, nil)
	now := h.clock.Now().Unix()
	made := func(kv ...any) string {
		c := obj{"iss": alice.did, "aud": h.a.ServiceDID, "lxm": uploadBlobMethod, "exp": now + 60, "iat": now}
		for i := 0; i < len(kv); i += 2 {
			if c[kv[i].(string)] = kv[i+1]; kv[i+1] == nil {
				delete(c, kv[i].(string))
			}
		}
		return bearer(forge(t, key, obj{"typ": "JWT", "alg": "ES256K"}, c))
	}
	upload(hostA, made(), "y").ok() // the new key: the document was fetched anew
	for _, tt := range []struct {
		what, header string
		status       int
		name         string
	}{
		{"fractions of seconds", made("exp", float64(now)+59.5, "iat", float64(now)-0.25), 200, ""},
		{"no iat", made("iat", nil), 200, ""},
		{"a clock ahead", made("iat", now+200, "nbf", now+200, "exp", now+3600+200), 200, ""},
		{"lives too long", made("exp", now+2*3600), 401, "BadJwt"},
		{"made in the future", made("iat", now+3600, "exp", now+3660), 401, "BadJwt"},
		{"good in the future", made("nbf", now+3000, "exp", now+3060), 401, "BadJwt"},
		{"made after its end", made("iat", now+120, "exp", now+60), 401, "BadJwt"},
		{"expired", made("exp", now-1), 401, "JwtExpired"},
		{"without end", made("exp", nil), 401, "BadJwt"},
		{"without issuer", made("iss", nil), 401, "BadJwt"},
		{"by a labeler", made("iss", alice.did+"#atproto_labeler"), 403, "AccountNotFound"},
		{"by an unknown fragment", made("iss", alice.did+"#other"), 401, "BadJwtIss"},
		{"of a session's type", bearer(forge(t, key, obj{"typ": "dpop+jwt", "alg": "ES256K"}, obj{"lxm": uploadBlobMethod})), 401, "BadJwtType"},
		{"of another alg", bearer(forge(t, key, obj{"alg": "ES256"}, obj{"iss": alice.did, "aud": h.a.ServiceDID, "lxm": uploadBlobMethod, "exp": now + 60})), 401, "BadJwtSignature"},
		{"for no method", made("lxm", nil), 400, "InvalidToken"}, // not told from a broken session
	} {
		r := upload(hostA, tt.header, "z")
		if r.what = tt.what + ": " + r.what; tt.status == 200 {
			r.ok()
		} else {
			r.fails(tt.status, tt.name, "")
		}
	}
	// Accounts in other states.
	alice.call(deactivate, obj{}).ok()
	upload(hostA, made(), "while moving").ok()
	h.status(hostA, alice.did, true, nil).ok()
	upload(hostA, made(), "x").fails(401, "AccountTakedown", "")
	h.admin(hostA, "deleteAccount", obj{"did": alice.did}).ok()
	upload(hostA, made(), "x").fails(403, "AccountNotFound", "")
}

// A service's uploads count as the account's, in one with its own.
func TestServiceUploadLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	h.set(hostA, "rate_limits", "on", "rate_limit_percent", "1") // 10 uploads
	mint := h.serviceTokens(alice)
	for i := range 11 {
		header := bearer(alice.access)
		if i%2 == 0 {
			header = mint(h.a.ServiceDID, uploadBlobMethod)
		}
		r := h.raw("POST", hostA, "/xrpc/"+uploadBlobMethod, []byte{byte(i)}, header, fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", i))
		if i < 10 {
			r.ok()
		} else {
			r.fails(429, "RateLimitExceeded", "")
		}
	}
}

// What a service token does once is not done twice: not by the same process, not by two at once, not after a crash.
func TestServiceTokenOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	mod, victim := h.createAccount(hostB, "carol"), h.createAccount(hostA, "alice")
	h.set(hostA, "mod_service_did", mod.did)
	mint := h.serviceTokens(mod)
	const sendEmail = "com.atproto.admin.sendEmail"
	letter := obj{"recipientDid": victim.did, "content": "hello", "senderDid": mod.did}
	mails := func() int64 {
		return query64(t, h.url, "SELECT count(*) FROM "+h.a.Schema.String()+".tenant_item WHERE kind = 5")[0]
	}
	token := mint(h.a.ServiceDID, sendEmail)
	// A call that does nothing does not use it up.
	h.post(hostA, sendEmail, token, obj{"recipientDid": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "content": "x", "senderDid": mod.did}).fails(400, "InvalidRequest", "Recipient")
	var sent, refused atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			switch r := h.post(hostA, sendEmail, token, letter); r.status {
			case 200:
				sent.Add(1)
			case 401:
				r.fails(401, "BadJwt", "used before")
				refused.Add(1)
			default:
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	wg.Wait()
	if sent.Load() != 1 || refused.Load() != 7 || mails() != 1 {
		t.Errorf("%d sent, %d refused, %d in the queue", sent.Load(), refused.Load(), mails())
	}
	h.post(hostA, sendEmail, mint(h.a.ServiceDID, sendEmail), letter).ok()
	// Looking is no act: it may be done again.
	look := mint(h.a.ServiceDID, "com.atproto.admin.getAccountInfo")
	for range 2 {
		h.get(hostA, "com.atproto.admin.getAccountInfo", look, "did", victim.did).ok()
	}
	// Moving here: a token that made an account makes no other, also when the first is gone again.
	moving := h.serviceTokens(mod)(h.a.ServiceDID, createAccount)
	in := obj{"did": mod.did, "handle": "carol.a.test", "email": h.email("mod"), "password": userPassword}
	h.post(hostA, createAccount, moving, obj{"did": mod.did, "handle": victim.handle, "email": h.email("mod"), "password": userPassword}).fails(400, "HandleNotAvailable", "taken")
	h.post(hostA, createAccount, moving, in).ok()
	h.admin(hostA, "deleteAccount", obj{"did": mod.did}).ok()
	h.post(hostA, createAccount, moving, in).fails(401, "BadJwt", "used before")
	h.post(hostA, createAccount, h.serviceTokens(mod)(h.a.ServiceDID, createAccount), in).ok()
	// What was used is forgotten when it is worth nothing anyway.
	nonces := func() int64 {
		return query64(t, h.url, "SELECT count(*) FROM "+h.a.Schema.String()+".tenant_item WHERE kind = 13")[0]
	}
	if n := nonces(); n != 4 {
		t.Errorf("%d nonces", n)
	}
	h.sweep()
	if n := nonces(); n != 4 {
		t.Errorf("%d nonces after a sweep at once", n)
	}
	h.clock.add(20 * time.Minute)
	h.sweep()
	if n := nonces(); n != 0 {
		t.Errorf("%d nonces left", n)
	}
}

// Tokens that do not verify make the server ask the directory once in a while, not each time.
func TestServiceTokensDoNotAmplify(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	var asked atomic.Int64
	documents := identity.NewResolver(identity.ResolverConfig{Now: h.clock.Now, PLC: countingDirectory{h.plc, &asked}})
	defer documents.Close()
	services := auth.NewServices(documents, h.clock.Now)
	key, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(did string) error {
		_, err := services.Service(t.Context(), identity.Asker{}, h.a, "Bearer "+forge(t, key, obj{"alg": "ES256K"}, obj{
			"iss": did, "aud": h.a.ServiceDID, "lxm": uploadBlobMethod, "exp": h.clock.Now().Unix() + 60,
		}), uploadBlobMethod)
		return err
	}
	const nobody = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
	for range 100 {
		if got := translated(ask(alice.did)); got != "BadJwtSignature" {
			t.Fatal(got)
		}
		if got := translated(ask(nobody)); got != "BadJwtIss" {
			t.Fatal(got)
		}
	}
	if n := asked.Load(); n != 3 { // known, anew; nobody
		t.Errorf("the directory was asked %d times for 200 bad tokens", n)
	}
	h.clock.add(time.Minute)
	_ = ask(alice.did)
	if n := asked.Load(); n != 4 {
		t.Errorf("asked %d times a minute later", n)
	}
}

// countingDirectory is the directory, and how often documents were asked for.
type countingDirectory struct {
	identity.Directory
	asked *atomic.Int64
}

func (d countingDirectory) Resolve(ctx context.Context, did string) (*identity.Document, error) {
	d.asked.Add(1)
	return d.Directory.Resolve(ctx, did)
}

// sweep does what is due, as each process does every ten minutes.
func (h *house) sweep() {
	h.t.Helper()
	s := account.NewSweeper(h.db, h.tenants, h.hub, h.plc, h.documents, h.clock.Now, slog.New(slog.DiscardHandler))
	if err := s.Sweep(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}
