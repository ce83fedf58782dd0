package handlers

import (
	"strings"
	"sync"
	"testing"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/did-method-plc/go-didplc"
)

const createAccount = "com.atproto.server.createAccount"

func TestCreateAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.post(hostA, createAccount, "", obj{"handle": "Alice.A.test", "email": "Alice@Example.com", "password": userPassword}).ok()
	h.check()
	did := r.str("did")
	if r.str("handle") != "alice.a.test" || !strings.HasPrefix(did, "did:plc:") || r.str("didDoc", "id") != did {
		t.Errorf("%s", r.body)
	}
	// What the directory says is what the account signs with, and our own address.
	doc, err := h.plc.Resolve(t.Context(), did)
	if err != nil {
		t.Fatal(err)
	}
	if doc.Handle() != "alice.a.test" {
		t.Errorf("handle in the document: %s", doc.Handle())
	}
	u := &user{h, hostA, did, "alice.a.test", r.str("accessJwt"), r.str("refreshJwt")}
	s := u.ask("com.atproto.server.getSession").ok()
	if s.str("email") != "alice@example.com" || s.at("emailConfirmed") != false || s.at("active") != true {
		t.Errorf("%s", s.body)
	}
	// The repository is there at once: a commit and an empty root.
	if _, blocks := h.archive(u); blocks != 2 {
		t.Errorf("%d blocks in a new repository", blocks)
	}
	// identity, account, commit, sync
	if got := h.events(h.a); got != "identity account commit sync" {
		t.Errorf("events: %s", got)
	}
	if got := h.events(h.b); got != "" {
		t.Errorf("events of the other tenant: %s", got)
	}
}

func TestCreateAccountRefusals(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createAccount(hostA, "alice")
	h.set(hostA, "handle_refuse", "badword")
	good := obj{"handle": "bob.a.test", "email": "bob@example.com", "password": userPassword}
	with := func(kv ...any) obj {
		in := obj{}
		for k, v := range good {
			in[k] = v
		}
		for i := 0; i < len(kv); i += 2 {
			if in[kv[i].(string)] = kv[i+1]; kv[i+1] == nil {
				delete(in, kv[i].(string))
			}
		}
		return in
	}
	taken := h.email("taken")
	h.post(hostA, createAccount, "", with("handle", "carol.a.test", "email", taken)).ok()
	before := h.events(h.a)
	for _, tt := range []struct {
		in         obj
		status     int
		name, part string
	}{
		{with("handle", "alice.a.test"), 400, "HandleNotAvailable", "Handle already taken: alice.a.test"},
		{with("handle", "ALICE.a.test"), 400, "HandleNotAvailable", "Handle already taken: alice.a.test"},
		{with("handle", "bob.elsewhere.com"), 400, "UnsupportedDomain", "Not a supported handle domain"},
		{with("handle", "alice.b.test"), 400, "UnsupportedDomain", "Not a supported handle domain"}, // another tenant's
		{with("handle", "a.test"), 400, "", ""},
		{with("handle", "bo.a.test"), 400, "InvalidHandle", "Handle too short"},
		{with("handle", "bobbobbobbobbobbobb.a.test"), 400, "InvalidHandle", "Handle too long"},
		{with("handle", "bob.bob.a.test"), 400, "InvalidHandle", "Invalid characters in handle"},
		{with("handle", "bob_bob.a.test"), 400, "InvalidRequest", "handle must be a valid handle"},
		{with("handle", "b-ad-word.a.test"), 400, "InvalidHandle", "Inappropriate language in handle"},
		{with("handle", "admin.a.test"), 400, "HandleNotAvailable", "Reserved handle"},
		{with("handle", "bob.invalid"), 400, "InvalidHandle", ""},
		{with("handle", nil), 400, "InvalidRequest", "handle is required"},
		{with("email", nil), 400, "InvalidRequest", "Email is required"},
		{with("email", "not-an-address"), 400, "InvalidRequest", "This email address is not supported, please use a different email."},
		{with("email", "bob@mailinator.com"), 400, "InvalidRequest", "This email address is not supported, please use a different email."},
		{with("email", strings.ToUpper(taken)), 400, "InvalidRequest", "Email already taken: " + taken},
		{with("password", strings.Repeat("x", 257)), 400, "InvalidPassword", ""},
		{with("password", "1234567"), 400, "InvalidPassword", "Password must have 8 to 256 characters"},
		{with("password", ""), 400, "InvalidPassword", "8 to 256"},
		{with("password", nil), 400, "InvalidPassword", "8 to 256"}, // nobody could enter it
		{with("plcOp", obj{"a": 1}), 400, "InvalidRequest", "Unsupported input: plcOp"},
		{with("did", "did:plc:ewvi7nxzyoun6zhxrhs64oiz"), 401, "AuthenticationRequired", "Missing auth to create account with did: did:plc:ewvi7nxzyoun6zhxrhs64oiz"},
		{with("recoveryKey", "did:key:nonsense"), 400, "InvalidRequest", ""},
	} {
		r := h.post(hostA, createAccount, "", tt.in)
		name := tt.name
		if name == "" {
			name = r.str("error")
		}
		r.fails(tt.status, name, tt.part)
	}
	h.check()
	if after := h.events(h.a); after != before {
		t.Errorf("refused sign-ups left events: %s", after)
	}
	// At the limits it is fine.
	h.post(hostA, createAccount, "", with("password", strings.Repeat("ü", 256))).ok()
	h.post(hostA, createAccount, "", with("handle", "dave.a.test", "email", "dave@example.com", "password", "üüüüüüüü")).ok()
	h.check()
}

func TestCreateAccountRecoveryKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	priv, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := priv.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	r := h.post(hostA, createAccount, "", obj{"handle": "alice.a.test", "email": h.email("a"), "password": userPassword, "recoveryKey": pub.DIDKey()}).ok()
	h.check()
	op, err := h.plc.Last(t.Context(), r.str("did"))
	if err != nil {
		t.Fatal(err)
	}
	keys := op.(*didplc.RegularOp).RotationKeys
	if len(keys) != 2 || keys[0] != pub.DIDKey() {
		t.Errorf("rotation keys %v: the caller's must be first", keys)
	}
}

// Of two sign-ups for one handle, or with one single-use code, exactly one wins.
func TestCreateAccountRaces(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{settings: map[string]string{"signup": "invite"}})
	code := h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": 1}).ok().str("code")
	h.post(hostA, createAccount, "", obj{"handle": "alice.a.test", "email": h.email("a"), "password": userPassword}).
		fails(400, "InvalidInviteCode", "No invite code provided")
	h.post(hostA, createAccount, "", obj{"handle": "alice.a.test", "email": h.email("a"), "password": userPassword, "inviteCode": "a-test-xxxxx-xxxxx"}).
		fails(400, "InvalidInviteCode", "Provided invite code not available")
	h.post(hostB, createAccount, "", obj{"handle": "alice.b.test", "email": h.email("a"), "password": userPassword, "inviteCode": code}).
		fails(400, "InvalidInviteCode", "Provided invite code not available")

	race := func(n int, in func(i int) obj) (won int, lost []reply) {
		replies := make([]reply, n)
		var wg sync.WaitGroup
		for i := range n {
			body := in(i)
			wg.Go(func() { replies[i], _ = h.try("POST", hostA, "/xrpc/"+createAccount, body) })
		}
		wg.Wait()
		h.check()
		for _, r := range replies {
			if r.status == 200 {
				won++
			} else {
				lost = append(lost, r)
			}
		}
		return won, lost
	}
	won, lost := race(4, func(i int) obj {
		return obj{"handle": "user" + string(rune('a'+i)) + ".a.test", "email": h.email("u"), "password": userPassword, "inviteCode": code}
	})
	for _, r := range lost {
		r.fails(400, "InvalidInviteCode", "")
	}
	if won != 1 {
		t.Errorf("%d accounts with a code for one", won)
	}
	h.set(hostA, "signup", "open")
	won, lost = race(4, func(int) obj { return obj{"handle": "same.a.test", "email": h.email("u"), "password": userPassword} })
	for _, r := range lost {
		r.fails(400, "HandleNotAvailable", "Handle already taken: same.a.test")
	}
	if won != 1 {
		t.Errorf("%d accounts with one handle", won)
	}
	same := h.email("same")
	won, lost = race(4, func(i int) obj {
		return obj{"handle": "mail" + string(rune('a'+i)) + ".a.test", "email": same, "password": userPassword}
	})
	for _, r := range lost {
		r.fails(400, "InvalidRequest", "Email already taken: "+same)
	}
	if won != 1 {
		t.Errorf("%d accounts with one address", won)
	}
	h.set(hostA, "signup", "closed")
	h.post(hostA, createAccount, "", obj{"handle": "late.a.test", "email": h.email("l"), "password": userPassword}).fails(400, "InvalidRequest", "takes no new accounts")
}

func TestCreateInviteCodes(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{settings: map[string]string{"signup": "invite"}})
	const codes = "com.atproto.server.createInviteCodes"
	h.post(hostA, codes, "", obj{"codeCount": 1, "useCount": 1}).fails(401, "AuthenticationRequired", "")
	h.post(hostA, codes, basic("admin", "wrong"), obj{"codeCount": 1, "useCount": 1}).fails(401, "AuthenticationRequired", "")
	h.post(hostA, codes, basic("Admin", adminPassword), obj{"codeCount": 1, "useCount": 1}).fails(401, "AuthenticationRequired", "")
	h.post(hostA, codes, "Authorization: bAsIc "+asAdmin()[len("Authorization: Basic "):], obj{"useCount": 1}).ok() // codeCount's default
	r := h.post(hostA, codes, asAdmin(), obj{"codeCount": 2, "useCount": 2, "forAccounts": list{"did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:b.test"}}).ok()
	both := r.at("codes").(list)
	if len(both) != 2 || len(both[1].(obj)["codes"].(list)) != 2 || both[1].(obj)["account"] != "did:web:b.test" {
		t.Fatalf("%s", r.body)
	}
	code := both[0].(obj)["codes"].(list)[0].(string)
	if !strings.HasPrefix(code, "a-test-") {
		t.Errorf("code %q", code)
	}
	for i, want := range []int{200, 200, 400} {
		r := h.post(hostA, createAccount, "", obj{"handle": "user" + string(rune('a'+i)) + ".a.test", "email": h.email("u"), "password": userPassword, "inviteCode": code})
		if r.status != want {
			t.Errorf("use %d: %d %s", i+1, r.status, r.body)
		}
	}
	h.check()
	for _, in := range []obj{{"codeCount": -1, "useCount": 1}, {"codeCount": 1 << 40, "useCount": 1}, {"codeCount": 1, "useCount": 0}, {"codeCount": 1, "useCount": 1 << 40}} {
		r := h.post(hostA, codes, asAdmin(), in)
		r.fails(400, "InvalidRequest", "")
	}
	h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": 0}).fails(400, "InvalidRequest", "useCount")
	h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{}).fails(400, "InvalidRequest", "useCount")
}
