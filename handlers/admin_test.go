package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
)

// admin posts as the operator.
func (h *house) admin(host, method string, body any) reply {
	h.t.Helper()
	return h.post(host, "com.atproto.admin."+method, asAdmin(), body)
}

// status sets the status of an account.
func (h *house) status(host, did string, takedown, deactivated any) reply {
	h.t.Helper()
	in := obj{"subject": obj{"$type": "com.atproto.admin.defs#repoRef", "did": did}}
	if takedown != nil {
		in["takedown"] = obj{"applied": takedown, "ref": "case-1"}
	}
	if deactivated != nil {
		in["deactivated"] = obj{"applied": deactivated}
	}
	return h.admin(host, "updateSubjectStatus", in)
}

// heard is what subscribers heard of an account after the first n events, as "account:takendown identity:handle sync".
func (h *house) heard(t *tenant.Tenant, did string, n int) string {
	h.t.Helper()
	stored, err := firehose.ListEvents(h.t.Context(), h.db.Tenant(t.Schema).Q(), 0, 1000, 1<<30)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for i := range stored {
		if stored[i].Kind == firehose.KindNothing {
			continue
		}
		f, err := firehose.Decode(stored[i].AppendFrame(nil))
		if err != nil {
			h.t.Fatal(err)
		}
		if f.DID != did {
			continue
		}
		switch f.Kind {
		case firehose.KindAccount:
			status := f.Status
			if f.Active {
				status = "active"
			}
			out = append(out, "account:"+status)
		case firehose.KindIdentity:
			out = append(out, "identity:"+f.Handle)
		default:
			out = append(out, strings.TrimPrefix(f.Kind.Type(), "#"))
		}
	}
	return strings.Join(out[min(n, len(out)):], " ")
}

// audited is the audit log: "who role action subject outcome" a line.
func (h *house) audited(t *tenant.Tenant) []string {
	h.t.Helper()
	list, _, err := audit.List(h.t.Context(), h.db.Tenant(t.Schema).Q(), audit.Filter{}, 1000, func(n int16) string { return auth.Role(n).String() })
	if err != nil {
		h.t.Fatal(err)
	}
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = strings.Join([]string{e.Who, e.Role, strings.TrimPrefix(e.Action, "com.atproto."), e.Subject, e.Outcome}, " ")
		if strings.Contains(string(e.Detail), "secret") {
			h.t.Errorf("the log holds a secret: %s", e.Detail)
		}
	}
	return out
}

const signedUp = 4 // events of a sign-up

const rkeyOne, rkeyTwo = "3jzfcijpj2z2a", "3jzfcijpj2z2b"

func TestAccountInfo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.set(hostA, "signup", "invite")
	code := h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": 2}).ok().str("code")
	signUp := func(label string) *user {
		r := h.post(hostA, "com.atproto.server.createAccount", "", obj{
			"handle": label + "." + hostA, "email": label + "@Example.com", "password": userPassword, "inviteCode": code,
		}).ok()
		return &user{h, hostA, r.str("did"), r.str("handle"), r.str("accessJwt"), r.str("refreshJwt")}
	}
	alice, bob := signUp("alice"), signUp("bob")
	hers := h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": 1, "forAccount": alice.did}).ok().str("code")
	h.admin(hostA, "disableAccountInvites", obj{"account": alice.did, "note": "too many"}).ok()
	r := h.get(hostA, "com.atproto.admin.getAccountInfo", asAdmin(), "did", alice.did).ok()
	if r.str("email") != "alice@example.com" || r.str("handle") != alice.handle || r.at("invitesDisabled") != true || r.str("inviteNote") != "too many" ||
		r.str("invitedBy", "code") != code || r.at("invites").([]any)[0].(obj)["code"] != hers || len(r.str("indexedAt")) != 24 {
		t.Errorf("%s", r.body)
	}
	if uses := r.at("invitedBy", "uses").([]any); len(uses) != 2 || uses[0].(obj)["usedBy"] != alice.did {
		t.Errorf("%s", r.body)
	}
	if r := h.get(hostA, "com.atproto.admin.getAccountInfo", asAdmin(), "did", bob.did).ok(); r.at("invites") == nil || len(r.at("invites").([]any)) != 0 || r.at("invitesDisabled") != false || r.at("deactivatedAt") != nil {
		t.Errorf("%s", r.body)
	}
	h.admin(hostA, "enableAccountInvites", obj{"account": alice.did}).ok()
	if r := h.get(hostA, "com.atproto.admin.getAccountInfo", asAdmin(), "did", alice.did).ok(); r.at("invitesDisabled") != false || r.str("inviteNote") != "too many" {
		t.Errorf("%s", r.body)
	}
	h.admin(hostA, "enableAccountInvites", obj{"account": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}).fails(400, "NotFound", "")
	h.get(hostA, "com.atproto.admin.getAccountInfo", asAdmin(), "did", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").fails(400, "NotFound", "Account not found")
	h.get(hostB, "com.atproto.admin.getAccountInfo", asAdmin(), "did", alice.did).fails(400, "NotFound", "Account not found")
	infos := h.get(hostA, "com.atproto.admin.getAccountInfos", asAdmin(), "dids", alice.did, "dids", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "dids", bob.did).ok()
	if n := len(infos.at("infos").([]any)); n != 2 {
		t.Errorf("%s", infos.body)
	}
	found := h.get(hostA, "com.atproto.admin.searchAccounts", asAdmin(), "email", "BOB@").ok()
	if l := found.at("accounts").([]any); len(l) != 1 || l[0].(obj)["did"] != bob.did {
		t.Errorf("%s", found.body)
	}
	page := h.get(hostA, "com.atproto.admin.searchAccounts", asAdmin(), "limit", "1").ok()
	rest := h.get(hostA, "com.atproto.admin.searchAccounts", asAdmin(), "limit", "2", "cursor", page.str("cursor")).ok()
	if l := rest.at("accounts").([]any); len(l) != 1 || l[0].(obj)["did"] != bob.did || rest.at("cursor") != nil {
		t.Errorf("%s", rest.body)
	}
	h.get(hostA, "com.atproto.admin.searchAccounts", asAdmin(), "cursor", "x").fails(400, "InvalidRequest", "cursor")
}

func TestInviteCodesOfAdmin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.set(hostA, "signup", "invite")
	var codes []string
	for i := range 5 {
		codes = append(codes, h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": 3 + i}).ok().str("code"))
	}
	signUp := func(label, code string) reply {
		return h.post(hostA, "com.atproto.server.createAccount", "", obj{
			"handle": label + "." + hostA, "email": label + "@example.com", "password": userPassword, "inviteCode": code,
		})
	}
	for i, label := range []string{"alice", "bob", "carol"} {
		signUp(label, codes[[]int{2, 2, 4}[i]]).ok()
	}
	all := func(sort string) (out []string) {
		cursor := ""
		for range 10 {
			kv := []string{"sort", sort, "limit", "2"}
			if cursor != "" {
				kv = append(kv, "cursor", cursor)
			}
			r := h.get(hostA, "com.atproto.admin.getInviteCodes", asAdmin(), kv...).ok()
			for _, c := range r.at("codes").([]any) {
				out = append(out, c.(obj)["code"].(string))
			}
			next, ok := r.at("cursor").(string)
			if !ok {
				return out
			}
			cursor = next
		}
		t.Fatal("the list has no end")
		return nil
	}
	want := slices.Clone(codes)
	slices.Reverse(want)
	if got := all("recent"); !slices.Equal(got, want) {
		t.Errorf("recent: %v, want %v", got, want)
	}
	if got := all("usage"); len(got) != 5 || got[0] != codes[2] || got[1] != codes[4] {
		t.Errorf("usage: %v", got)
	}
	h.get(hostA, "com.atproto.admin.getInviteCodes", asAdmin(), "sort", "name").fails(400, "InvalidRequest", "sort")
	for _, cursor := range []string{"x", "x::y", "::", "2026-01-01T00:00:00Z::"} {
		h.get(hostA, "com.atproto.admin.getInviteCodes", asAdmin(), "cursor", cursor).fails(400, "InvalidRequest", "cursor")
	}
	h.admin(hostA, "disableInviteCodes", obj{"codes": list{codes[0], "unknown"}, "accounts": list{"admin"}}).fails(400, "InvalidRequest", "cannot disable admin invite codes")
	h.admin(hostA, "disableInviteCodes", obj{"codes": list{codes[0], "unknown"}}).ok()
	signUp("dave", codes[0]).fails(400, "InvalidInviteCode", "")
	signUp("dave", codes[1]).ok()
}

func TestAccountChangesByAdmin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	// Address.
	h.admin(hostA, "updateAccountEmail", obj{"account": alice.handle, "email": "New@Mailinator.com"}).ok()
	if s := alice.ask("com.atproto.server.getSession").ok(); s.str("email") != "new@mailinator.com" || s.at("emailConfirmed") != false {
		t.Errorf("%s", s.body)
	}
	h.admin(hostA, "updateAccountEmail", obj{"account": bob.did, "email": "new@mailinator.com"}).fails(400, "InvalidRequest", "already taken")
	h.admin(hostA, "updateAccountEmail", obj{"account": bob.did, "email": "nothing"}).fails(400, "InvalidRequest", "not supported")
	h.admin(hostA, "updateAccountEmail", obj{"account": "nobody." + hostA, "email": "x@example.com"}).fails(400, "NotFound", "")
	// Password: sessions end.
	h.admin(hostA, "updateAccountPassword", obj{"did": alice.did, "password": "another-secret"}).ok()
	h.post(hostA, "com.atproto.server.refreshSession", bearer(alice.refresh), nil).fails(400, "ExpiredToken", "")
	h.post(hostA, "com.atproto.server.createSession", "", obj{"identifier": alice.handle, "password": userPassword}).fails(401, "AuthenticationRequired", "")
	h.post(hostA, "com.atproto.server.createSession", "", obj{"identifier": alice.handle, "password": "another-secret"}).ok()
	h.admin(hostA, "updateAccountPassword", obj{"did": alice.did, "password": ""}).fails(400, "InvalidPassword", "")
	h.admin(hostA, "updateAccountPassword", obj{"did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "password": "long enough"}).fails(400, "NotFound", "")
	// Handle: reserved names too; the document and the network follow.
	h.admin(hostA, "updateAccountHandle", obj{"did": alice.did, "handle": "admin." + hostA}).ok()
	if got := h.heard(h.a, alice.did, signedUp); got != "identity:admin."+hostA {
		t.Errorf("events: %s", got)
	}
	if doc, err := h.plc.Resolve(t.Context(), alice.did); err != nil || doc.Handle() != "admin."+hostA {
		t.Errorf("%+v %v", doc, err)
	}
	if d := h.get(hostA, "com.atproto.identity.resolveHandle", "", "handle", "admin."+hostA).ok().str("did"); d != alice.did {
		t.Error(d)
	}
	h.admin(hostA, "updateAccountHandle", obj{"did": bob.did, "handle": "admin." + hostA}).fails(400, "HandleNotAvailable", "taken")
	h.admin(hostA, "updateAccountHandle", obj{"did": bob.did, "handle": "x.y." + hostA}).fails(400, "InvalidHandle", "")
	h.admin(hostA, "updateAccountHandle", obj{"did": bob.did, "handle": "nowhere.example.invalid"}).fails(400, "InvalidHandle", "")
	h.admin(hostA, "updateAccountHandle", obj{"did": bob.did, "handle": hostB}).fails(400, "InvalidRequest", "did not resolve")
	// Mail.
	h.admin(hostA, "sendEmail", obj{"recipientDid": bob.did, "senderDid": alice.did, "content": "Dear Bob", "comment": "why"}).ok()
	h.admin(hostA, "sendEmail", obj{"recipientDid": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "senderDid": alice.did, "content": "x"}).fails(400, "InvalidRequest", "Recipient not found")
	h.admin(hostA, "sendEmail", obj{"recipientDid": bob.did, "senderDid": alice.did, "content": ""}).fails(400, "InvalidRequest", "content")
	h.admin(hostA, "sendEmail", obj{"recipientDid": bob.did, "senderDid": alice.did, "content": "x", "subject": "a\r\nBcc: x@y.z"}).fails(400, "InvalidRequest", "subject")
	bobs, err := account.ByDID(t.Context(), h.db.Tenant(h.a.Schema).Q(), bob.did)
	if err != nil {
		t.Fatal(err)
	}
	if mails := h.queued(h.a); len(mails) != 1 || mails[0].To != bobs.Email || mails[0].Text != "Dear Bob" || mails[0].Subject != "Message via your PDS" {
		t.Errorf("%+v", mails)
	}
	// Deletion.
	h.admin(hostA, "deleteAccount", obj{"did": bob.did}).ok()
	h.admin(hostA, "deleteAccount", obj{"did": bob.did}).fails(400, "NotFound", "")
	if got := h.heard(h.a, bob.did, 0); got != "account:deleted" {
		t.Errorf("events: %s", got)
	}
	bob.ask("com.atproto.server.getSession").fails(403, "AccountNotFound", "")
	h.get(hostA, "com.atproto.sync.getRepo", asAdmin(), "did", bob.did).fails(400, "RepoNotFound", "")
	log := strings.Join(h.audited(h.a), "\n")
	for _, action := range []string{"updateAccountEmail", "updateAccountPassword", "updateAccountHandle"} {
		if !strings.Contains(log, "admin owner admin."+action+" "+alice.did+" done") {
			t.Errorf("%s is not in the log:\n%s", action, log)
		}
	}
	for _, action := range []string{"sendEmail", "deleteAccount"} {
		if !strings.Contains(log, "admin owner admin."+action+" "+bob.did+" done") {
			t.Errorf("%s is not in the log:\n%s", action, log)
		}
	}
	h.check()
}

// What operators can do about who waits for approval: nothing that needs the DID document, which is not there yet.
func TestWaitingAccountsByAdmin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.set(hostA, "signup", "approval")
	alice := h.createAccount(hostA, "alice")
	key := h.post(hostA, "com.atproto.server.reserveSigningKey", "", obj{"did": alice.did}).ok().str("signingKey")
	h.admin(hostA, "updateAccountHandle", obj{"did": alice.did, "handle": "other." + hostA}).fails(400, "InvalidRequest", "waits for approval")
	h.admin(hostA, "updateAccountSigningKey", obj{"did": alice.did, "signingKey": key}).fails(400, "InvalidRequest", "waits for approval")
	h.admin(hostA, "updateAccountEmail", obj{"account": alice.handle, "email": "other@example.com"}).ok()
	h.status(hostA, alice.did, nil, nil).ok()
	h.status(hostA, alice.did, true, nil).ok()
	h.status(hostA, alice.did, nil, false).fails(400, "AccountNotFound", "")
	if got := h.heard(h.a, alice.did, 0); got != "" {
		t.Errorf("events of somebody nobody has heard of: %s", got)
	}
	h.status(hostA, alice.did, false, false).ok()
	if got := h.heard(h.a, alice.did, 0); got != "account:active identity:"+alice.handle+" sync" {
		t.Errorf("events: %s", got)
	}
	h.admin(hostA, "updateAccountHandle", obj{"did": alice.did, "handle": "other." + hostA}).ok()
}

func TestSigningKeyByAdmin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	alice.create("app.bsky.feed.post", rkeyOne, postRecord("before")).ok()
	cid, _ := alice.head()
	reserve := func(did any) string {
		key, err := h.keys.GenerateSigningKey()
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := h.keys.SealSigningKey(h.a.Schema.String(), 0, key)
		if err != nil {
			t.Fatal(err)
		}
		h.exec(h.a, "INSERT INTO pds.tenant_item (kind, key, lookup, secret, created_at, due_at) VALUES (14, convert_to($1, 'UTF8'), convert_to($2, 'UTF8'), $3, now(), now() + interval '1 day')", key.PublicDIDKey(), did, sealed)
		return key.PublicDIDKey()
	}
	key := reserve(nil)
	h.admin(hostA, "updateAccountSigningKey", obj{"did": alice.did, "signingKey": key}).ok()
	if got := h.heard(h.a, alice.did, signedUp+1); got != "identity:"+alice.handle+" sync" {
		t.Errorf("events: %s", got)
	}
	if now, _ := alice.head(); now == cid {
		t.Error("no new commit")
	}
	doc, err := h.plc.Resolve(context.WithoutCancel(t.Context()), alice.did)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := doc.SigningKey(); got != key {
		t.Errorf("document names %s", got)
	}
	h.check() // the head's signature is the new key's
	alice.create("app.bsky.feed.post", rkeyTwo, postRecord("after")).ok()
	h.check()
	// A key is used once, and only for whom it was reserved.
	h.admin(hostA, "updateAccountSigningKey", obj{"did": bob.did, "signingKey": key}).fails(400, "InvalidRequest", "reserveSigningKey")
	h.admin(hostA, "updateAccountSigningKey", obj{"did": bob.did, "signingKey": reserve(alice.did)}).fails(400, "InvalidRequest", "reserveSigningKey")
	h.admin(hostA, "updateAccountSigningKey", obj{"did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "signingKey": reserve(nil)}).fails(400, "NotFound", "")
}

// Named operators: what each role may do, tokens that end, and names in the log.
func TestOperators(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	tokens := map[auth.Role]auth.OperatorToken{}
	q := func(fn func(*tenantdb.Queries) error) {
		t.Helper()
		if err := h.db.Tenant(h.a.Schema).Tx(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	for role := auth.RoleSupport; role <= auth.RoleOwner; role++ {
		tokens[role] = auth.NewOperatorToken()
		q(func(q *tenantdb.Queries) error {
			if err := auth.InsertOperator(t.Context(), q, h.clock.Now(), "op-"+role.String(), role, "test"); err != nil {
				return err
			}
			return auth.InsertOperatorToken(t.Context(), q, h.clock.Now(), "op-"+role.String(), tokens[role], "laptop", nil)
		})
	}
	calls := []struct {
		needs auth.Role
		call  func(credential string) reply
	}{
		{auth.RoleSupport, func(c string) reply { return h.get(hostA, "com.atproto.admin.getAccountInfo", c, "did", alice.did) }},
		{auth.RoleModerator, func(c string) reply {
			return h.post(hostA, "com.atproto.admin.disableAccountInvites", c, obj{"account": alice.did})
		}},
		{auth.RoleAdmin, func(c string) reply {
			return h.post(hostA, "com.atproto.server.createInviteCode", c, obj{"useCount": 1})
		}},
	}
	for _, c := range calls {
		for role, token := range tokens {
			for _, credential := range []string{bearer(token.Secret), basic("op-"+role.String(), token.Secret)} {
				if role >= c.needs {
					c.call(credential).ok()
				} else {
					c.call(credential).fails(403, "Forbidden", "needs the role "+c.needs.String())
				}
			}
			c.call(basic("op-other", token.Secret)).fails(401, "AuthenticationRequired", "")
			c.call(bearer(token.Secret+"x")).fails(401, "AuthenticationRequired", "")
			c.call(basic("admin", token.Secret)).fails(401, "AuthenticationRequired", "")
		}
	}
	support := tokens[auth.RoleSupport]
	h.get(hostB, "com.atproto.admin.getAccountInfo", bearer(support.Secret), "did", alice.did).fails(401, "AuthenticationRequired", "")
	h.get(hostA, "com.atproto.sync.getRepo", bearer(support.Secret), "did", alice.did).ok()
	log := strings.Join(h.audited(h.a), "\n")
	for _, want := range []string{"op-support support server.createInviteCode  Forbidden", "op-moderator moderator admin.disableAccountInvites " + alice.did + " done", "op-owner owner server.createInviteCode admin done"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	// Tokens end by revoking, by their time, and with their operator; roles change at once.
	info := calls[0].call
	short := auth.NewOperatorToken()
	q(func(q *tenantdb.Queries) error {
		end := h.clock.Now().Add(3600e9)
		return auth.InsertOperatorToken(t.Context(), q, h.clock.Now(), "op-support", short, "", &end)
	})
	info(bearer(short.Secret)).ok()
	h.clock.add(3601e9)
	info(bearer(short.Secret)).fails(401, "AuthenticationRequired", "")
	q(func(q *tenantdb.Queries) error { return auth.RevokeOperatorToken(t.Context(), q, support.ID) })
	info(bearer(support.Secret)).fails(401, "AuthenticationRequired", "")
	q(func(q *tenantdb.Queries) error {
		return auth.SetOperatorRole(t.Context(), q, "op-owner", auth.RoleSupport)
	})
	calls[2].call(bearer(tokens[auth.RoleOwner].Secret)).fails(403, "Forbidden", "")
	q(func(q *tenantdb.Queries) error { return auth.DeleteOperator(t.Context(), q, "op-admin") })
	calls[2].call(bearer(tokens[auth.RoleAdmin].Secret)).fails(401, "AuthenticationRequired", "")
	for _, name := range []string{"admin", "", "Big", "a b", strings.Repeat("x", 65)} {
		err := h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
			return auth.InsertOperator(t.Context(), q, h.clock.Now(), name, auth.RoleOwner, "test")
		})
		if err == nil {
			t.Errorf("%q became an operator", name)
		}
	}
}

// What a transaction takes back, the log does not say; and each entry of the log can be read by a machine.
func TestAuditIsOfTheAct(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	h.exec(h.a, "ALTER TABLE pds.tenant_item ADD CHECK (kind <> 17 OR value <> 'com.atproto.admin.deleteAccount')")
	h.log.allowed.Store(true)
	h.admin(hostA, "deleteAccount", obj{"did": alice.did}).fails(500, "InternalServerError", "")
	alice.ask("com.atproto.server.getSession").ok()
	h.status(hostA, alice.did, true, nil).ok()
	entries, _, err := audit.List(t.Context(), h.db.Tenant(h.a.Schema).Q(), audit.Filter{Subject: alice.did}, 10, func(n int16) string { return fmt.Sprint(n) })
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v %v", entries, err)
	}
	var detail struct{ Takedown struct{ Ref string } }
	if err := json.Unmarshal(entries[0].Detail, &detail); err != nil || detail.Takedown.Ref != "case-1" || entries[0].Address != "127.0.0.1" || entries[0].RequestID == "" {
		t.Errorf("%+v %v", entries[0], err)
	}
}

// TestWrongOperator: a wrong password or token of a tenant's operators leaves the line that fail2ban reads, whatever the
// limits are, and a right one none.
func TestWrongOperator(t *testing.T) {
	h := newHouse(t)
	count := func() (n int) {
		if lines := h.log.text.Load(); lines != nil {
			for _, l := range *lines {
				if strings.Contains(l, act.FailedSignin) && strings.Contains(l, "address=127.0.0.1 tenant="+hostA+" wrong=operator") {
					n++
				}
			}
		}
		return n
	}
	before := h.acts.FailedSignins()
	for _, header := range []string{basic("admin", "guess"), basic("somebody", "guess"), "Authorization: Bearer locusop_guess"} {
		h.get(hostA, "com.atproto.admin.getInviteCodes", header)
	}
	h.get(hostA, "com.atproto.admin.getInviteCodes", basic("admin", adminPassword))
	h.get(hostA, "com.atproto.admin.getInviteCodes", "")
	if n := count(); n != 3 || h.acts.FailedSignins() != before+3 {
		t.Errorf("%d lines", n)
	}
}
