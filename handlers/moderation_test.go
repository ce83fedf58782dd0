package handlers

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
)

func TestTakedownOfBlob(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	ref := alice.uploaded(onePixel)
	cid := ref["ref"].(obj)["$link"].(string)
	alice.create(custom, "self", obj{"image": ref}).ok()
	read := func() reply { return h.get(hostA, "com.atproto.sync.getBlob", "", "did", alice.did, "cid", cid) }
	read().ok()
	before := h.heard(h.a, alice.did, 0)
	set := func(cid string, applied bool) reply {
		return h.admin(hostA, "updateSubjectStatus", obj{
			"subject":  obj{"$type": "com.atproto.admin.defs#repoBlobRef", "did": alice.did, "cid": cid},
			"takedown": obj{"applied": applied, "ref": "b-1"},
		})
	}
	set(cid, true).ok()
	read().fails(400, "BlobNotFound", "")
	alice.upload(onePixel, "Content-Type: image/png").fails(400, "InvalidRequest", "takendown")
	st := h.get(hostA, "com.atproto.admin.getSubjectStatus", asAdmin(), "did", alice.did, "blob", cid).ok()
	if st.at("takedown", "applied") != true || st.str("takedown", "ref") != "b-1" || st.str("subject", "cid") != cid {
		t.Errorf("%s", st.body)
	}
	set(cid, false).ok()
	read().ok()
	if got := h.heard(h.a, alice.did, 0); got != before {
		t.Errorf("events: %s", got)
	}
	other := "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy"
	set(other, true).fails(400, "NotFound", "Subject not found")
	h.get(hostA, "com.atproto.admin.getSubjectStatus", asAdmin(), "did", alice.did, "blob", other).fails(400, "NotFound", "")
	h.get(hostA, "com.atproto.admin.getSubjectStatus", asAdmin(), "blob", cid).fails(400, "InvalidRequest", "Must provide a did")
	if log := strings.Join(h.audited(h.a), "\n"); !strings.Contains(log, "admin.updateSubjectStatus "+alice.did+"/"+cid+" done") {
		t.Error(log)
	}
}

// signerOf is an account's signing key.
func (h *house) signerOf(u *user) *keyring.Signer {
	h.t.Helper()
	tn := u.tenant()
	a, err := account.ByDID(h.t.Context(), h.db.Tenant(tn.Schema).Q(), u.did)
	if err != nil {
		h.t.Fatal(err)
	}
	key, err := account.Signer(h.t.Context(), h.db.Tenant(tn.Schema).Q(), h.keys, tn.Schema, a.AID)
	if err != nil {
		h.t.Fatal(err)
	}
	return key
}

// The moderation service is an account somewhere with a key: here one of the other tenant's.
func TestModerationService(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, mod, stranger := h.createAccount(hostA, "alice"), h.createAccount(hostB, "moddy"), h.createAccount(hostB, "stranger")
	token := func(u *user, method string) string {
		t.Helper()
		jwt, err := auth.MintService(h.signerOf(u), h.clock.Now(), h.clock.Now().Add(time.Minute), u.did, h.a.ServiceDID, "com.atproto.admin."+method)
		if err != nil {
			t.Fatal(err)
		}
		return bearer(jwt)
	}
	down := obj{"subject": obj{"$type": "com.atproto.admin.defs#repoRef", "did": alice.did}, "takedown": obj{"applied": true}}
	update := "com.atproto.admin.updateSubjectStatus"
	h.post(hostA, update, token(mod, "updateSubjectStatus"), down).fails(401, "UntrustedIss", "Untrusted issuer")
	h.set(hostA, "mod_service_did", mod.did)
	h.post(hostA, update, token(stranger, "updateSubjectStatus"), down).fails(401, "UntrustedIss", "")
	// Whose document nobody has: it is not asked for, and what is wrong is who it is.
	unknown, err := auth.MintService(h.signerOf(stranger), h.clock.Now(), h.clock.Now().Add(time.Minute), "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", h.a.ServiceDID, update)
	if err != nil {
		t.Fatal(err)
	}
	h.post(hostA, update, bearer(unknown), down).fails(401, "UntrustedIss", "")
	h.post(hostA, update, token(mod, "getAccountInfo"), down).fails(401, "BadJwtLexiconMethod", "")
	h.post(hostB, update, token(mod, "updateSubjectStatus"), down).fails(401, "UntrustedIss", "")
	h.post(hostA, update, bearer(alice.access), down).fails(401, "BadJwtType", "")
	h.post(hostA, update, token(mod, "updateSubjectStatus"), down).ok()
	h.get(hostA, "com.atproto.admin.getAccountInfo", token(mod, "getAccountInfo"), "did", alice.did).ok()
	// What is the admin's alone.
	h.post(hostA, "com.atproto.admin.deleteAccount", token(mod, "deleteAccount"), obj{"did": alice.did}).fails(401, "AuthenticationRequired", "")
	if log := strings.Join(h.audited(h.a), "\n"); log != mod.did+" moderator admin.updateSubjectStatus "+alice.did+" done" {
		t.Error(log)
	}
	// Preferences: as an app sees them, and only with a token for that.
	prefs := func(auth string, did string) reply { return h.get(hostA, getPrefs, auth, "did", did) }
	h.exec(h.a, "INSERT INTO pds.account_item (aid, kind, value) SELECT aid, 9, $1 FROM pds.actor WHERE did = $2",
		`[{"$type":"app.bsky.actor.defs#personalDetailsPref","birthDate":"1990-01-01T00:00:00Z"},{"$type":"app.bsky.actor.defs#adultContentPref","enabled":true}]`, alice.did)
	named := func(u *user, nsid string) string {
		t.Helper()
		key := h.signerOf(u)
		jwt, err := auth.MintService(key, h.clock.Now(), h.clock.Now().Add(time.Minute), u.did, h.a.ServiceDID, nsid)
		if err != nil {
			t.Fatal(err)
		}
		return bearer(jwt)
	}
	if r := prefs(named(mod, getPrefs), alice.did).ok(); len(r.at("preferences").(list)) != 2 || strings.Contains(string(r.body), "1990") || !strings.Contains(string(r.body), "isOverAge18") {
		t.Errorf("%s", r.body)
	}
	prefs(named(mod, "com.atproto.admin.getAccountInfo"), alice.did).fails(401, "UntrustedIss", "")
	prefs(named(stranger, getPrefs), alice.did).fails(401, "UntrustedIss", "")
	prefs(named(mod, getPrefs), mod.did).fails(403, "AccountNotFound", "")
	prefs(named(mod, getPrefs), "\x00").fails(403, "AccountNotFound", "")
	h.get(hostA, getPrefs, named(mod, getPrefs)).fails(400, "InvalidToken", "")
	h.get(hostB, getPrefs, named(mod, getPrefs), "did", mod.did).fails(401, "UntrustedIss", "")
	prefs(bearer(alice.access), alice.did).fails(401, "AccountTakedown", "")
	other := newUpstream(t)
	h.raw("GET", hostA, "/xrpc/"+getPrefs+params("did", alice.did), nil, named(mod, getPrefs), other.header("bsky_appview")).
		fails(400, "InvalidRequest", "Moderator requests cannot be proxied to other app views")
	if n := other.count(); n != 0 {
		t.Error(n, "calls went to another app view")
	}
	h.set(hostA, "mod_service_did", mod.did+"#atproto_labeler")
	h.post(hostA, update, token(mod, "updateSubjectStatus"), down).fails(401, "UntrustedIss", "")
	// Its labeler has a key of its own, and no other is good for that name.
	labels, err := h.keys.GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	labeler := func(key *keyring.Signer) string {
		t.Helper()
		jwt, err := auth.MintService(key, h.clock.Now(), h.clock.Now().Add(time.Minute), mod.did+"#atproto_labeler", h.a.ServiceDID, update)
		if err != nil {
			t.Fatal(err)
		}
		return bearer(jwt)
	}
	h.post(hostA, update, labeler(labels), down).fails(401, "BadJwtIss", "")
	h.publishKey(mod, "atproto_label", labels.PublicDIDKey())
	h.clock.add(11 * time.Second) // so often is a document asked for again
	for _, service := range []string{mod.did + "#atproto_labeler", mod.did} {
		h.set(hostA, "mod_service_did", service)
		h.post(hostA, update, labeler(h.signerOf(mod)), down).fails(401, "BadJwtSignature", "")
		h.post(hostA, update, labeler(labels), down).ok()
	}
	if log := h.audited(h.a); log[len(log)-1] != mod.did+"#atproto_labeler moderator admin.updateSubjectStatus "+alice.did+" done" {
		t.Error(log)
	}
}

// publishKey puts a key into the DID document of an account.
func (h *house) publishKey(u *user, name, key string) {
	h.t.Helper()
	rotation, err := h.tenants.RotationSigner(h.t.Context(), u.tenant())
	if err != nil {
		h.t.Fatal(err)
	}
	last, err := h.plc.Last(h.t.Context(), u.did)
	if err != nil {
		h.t.Fatal(err)
	}
	op, err := identity.NewUpdate(last, rotation, func(op *didplc.RegularOp) { op.VerificationMethods[name] = key })
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.plc.Submit(h.t.Context(), u.did, op); err != nil {
		h.t.Fatal(err)
	}
}

func TestAccountInviteCodes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	list := func(kv ...string) []any {
		t.Helper()
		return alice.ask("com.atproto.server.getAccountInviteCodes", kv...).ok().at("codes").([]any)
	}
	h.set(hostA, "invite_interval_hours", "24")
	h.clock.add(49 * time.Hour)
	sign := func() {
		alice.access = h.post(hostA, "com.atproto.server.createSession", "", obj{"identifier": alice.did, "password": userPassword}).ok().str("accessJwt")
	}
	sign()
	if n := len(list()); n != 0 {
		t.Errorf("%d codes where none is needed", n)
	}
	h.set(hostA, "signup", "invite")
	if n := len(list("createAvailable", "false")); n != 0 {
		t.Errorf("%d codes", n)
	}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() { alice.ask("com.atproto.server.getAccountInviteCodes").ok() })
	}
	wg.Wait()
	codes := list()
	if len(codes) != 2 {
		t.Fatalf("%v", codes)
	}
	// A gift does not count; five unused ones at most; a used one makes room.
	gift := h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": 1, "forAccount": alice.did}).ok().str("code")
	h.clock.add(100 * 24 * time.Hour)
	sign()
	if n := len(list()); n != 6 {
		t.Errorf("%d codes", n)
	}
	use := func(label, code string) reply {
		return h.post(hostA, "com.atproto.server.createAccount", "", obj{"handle": label + "." + hostA, "email": label + "@example.com", "password": userPassword, "inviteCode": code})
	}
	use("bob", codes[0].(obj)["code"].(string)).ok()
	if n := len(list()); n != 7 {
		t.Errorf("%d codes", n)
	}
	if n := len(list("includeUsed", "false")); n != 6 {
		t.Errorf("%d unused codes", n)
	}
	h.admin(hostA, "disableInviteCodes", obj{"codes": []any{gift}}).ok()
	if n := len(list("includeUsed", "false")); n != 5 {
		t.Errorf("%d unused codes", n)
	}
	h.admin(hostA, "disableAccountInvites", obj{"account": alice.did}).ok()
	use("carol", codes[1].(obj)["code"].(string)).ok()
	if n := len(list("includeUsed", "false")); n != 4 {
		t.Errorf("%d unused codes for whom there are no more", n)
	}
	alice.app("app", true).ask("com.atproto.server.getAccountInviteCodes").fails(400, "InvalidToken", "Bad token scope")
	// The epoch.
	carol := h.createAccountWith(hostA, "dave", codesOf(t, h, hostA))
	h.set(hostA, "invite_epoch", h.clock.Now().Add(-25*time.Hour).UTC().Format(time.RFC3339))
	h.exec(h.a, "UPDATE pds.account SET created_at = created_at - interval '1 year'")
	h.exec(h.a, "UPDATE pds.actor SET created_at = created_at - interval '1 year'")
	if n := len(carol.ask("com.atproto.server.getAccountInviteCodes").ok().at("codes").([]any)); n != 1 {
		t.Errorf("%d codes since the epoch", n)
	}
}

// codesOf makes an operator's code.
func codesOf(t *testing.T, h *house, host string) string {
	t.Helper()
	return h.post(host, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": 1}).ok().str("code")
}

func (h *house) createAccountWith(host, label, code string) *user {
	h.t.Helper()
	r := h.post(host, "com.atproto.server.createAccount", "", obj{
		"handle": label + "." + host, "email": h.email(label), "password": userPassword, "inviteCode": code,
	}).ok()
	return &user{h, host, r.str("did"), r.str("handle"), r.str("accessJwt"), r.str("refreshJwt")}
}
