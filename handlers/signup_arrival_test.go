package handlers

import (
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/mail"
)

// arrive asks the first tenant for an account: a new one, or for somebody of the second tenant who brings the DID.
func (h *house) arrive(label, code string, moves bool) (reply, *user) {
	h.t.Helper()
	in := obj{"handle": label + "." + hostA, "email": h.email(label), "password": userPassword}
	if code != "" {
		in["inviteCode"] = code
	}
	auth := ""
	var from *user
	if moves {
		from = h.createAccount(hostB, label)
		in["did"] = from.did
		auth = bearer(from.ask(serviceAuth, "aud", h.a.ServiceDID, "lxm", createAccount).ok().str("token"))
	}
	return h.post(hostA, createAccount, auth, in), from
}

// Every policy of sign-up is for arrivals as for new accounts.
func TestSignupPolicies(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	code := h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": 2}).ok().str("code")
	for _, moves := range []bool{false, true} {
		label := map[bool]string{false: "new", true: "moved"}[moves]
		waits := func(r reply) bool {
			t.Helper()
			place := h.get(hostA, "com.atproto.temp.checkSignupQueue", bearer(r.ok().str("accessJwt"))).ok()
			return place.at("activated") == false
		}
		h.set(hostA, "signup", "open")
		if r, _ := h.arrive(label+"1", "", moves); waits(r) {
			t.Errorf("open, %s: waits", label)
		}
		h.set(hostA, "signup", "invite")
		none, _ := h.arrive(label+"2", "", moves)
		none.fails(400, "InvalidInviteCode", "")
		wrong, _ := h.arrive(label+"3", "nonsense", moves)
		wrong.fails(400, "InvalidInviteCode", "")
		if r, _ := h.arrive(label+"4", code, moves); waits(r) {
			t.Errorf("invite, %s: waits", label)
		}
		h.set(hostA, "signup", "closed")
		closed, _ := h.arrive(label+"5", code, moves)
		closed.fails(400, "InvalidRequest", "takes no new accounts")
		h.set(hostA, "signup", "approval")
		if r, _ := h.arrive(label+"6", "", moves); !waits(r) {
			t.Errorf("approval, %s: does not wait", label)
		}
	}
	used, _ := h.arrive("late", code, false)
	used.ok() // codes are nothing to a tenant that approves
	h.set(hostA, "signup", "invite")
	spent, _ := h.arrive("later", code, true)
	spent.fails(400, "InvalidInviteCode", "")
	h.check()
}

// An account that moves here waits like a new one; the decision leaves its DID alone.
func TestArrivalApproval(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.set(hostA, "signup", "approval")
	r, from := h.arrive("alice", "", true)
	v := &user{h, hostA, from.did, "alice." + hostA, r.ok().str("accessJwt"), r.str("refreshJwt")}
	deletion := func() []int64 {
		return query64(t, h.url, "SELECT extract(epoch FROM delete_after)::bigint FROM "+h.a.Schema.String()+".actor WHERE did = $1 AND delete_after IS NOT NULL", v.did)
	}
	locked := func() {
		t.Helper()
		v.call(activate, nil).fails(400, "InvalidToken", "Bad token scope")
		h.raw("POST", hostA, "/xrpc/com.atproto.repo.importRepo", []byte("x"), bearer(v.access), "Content-Type: "+xrpc.CarType).fails(400, "InvalidToken", "Bad token scope")
		h.raw("POST", hostA, "/xrpc/"+uploadBlobMethod, []byte("x"), bearer(v.access), "Content-Type: text/plain").fails(400, "InvalidToken", "Bad token scope")
		v.ask("com.atproto.identity.getRecommendedDidCredentials").fails(400, "InvalidToken", "Bad token scope")
	}
	locked()
	// The queue may be long: nothing deletes what waits, and no way of signing in gives more.
	h.clock.add(account.MovedLife + time.Hour)
	h.sweep()
	r = h.post(hostA, createSession, "", obj{"identifier": v.handle, "password": userPassword}).ok()
	v.access, v.refresh = r.str("accessJwt"), r.str("refreshJwt")
	locked()
	r = h.post(hostA, "com.atproto.server.refreshSession", bearer(v.refresh), nil).ok()
	v.access, v.refresh = r.str("accessJwt"), r.str("refreshJwt")
	locked()
	if got := deletion(); len(got) != 0 {
		t.Errorf("to be deleted at %v while it waits", got)
	}
	// Approved: it may be brought here, and is not open before its owner says so.
	h.status(hostA, v.did, nil, false).ok()
	if got := h.heard(h.a, v.did, 0); got != "" {
		t.Errorf("events: %s", got)
	}
	if got := deletion(); len(got) != 1 || time.Unix(got[0], 0).Sub(h.clock.Now().Add(account.MovedLife)).Abs() > time.Minute {
		t.Errorf("to be deleted at %v", got)
	}
	all := h.queued(h.a)
	if len(all) != 1 || all[0].Kind != mail.KindMoveApproved {
		t.Errorf("%+v", all)
	}
	r = h.post(hostA, "com.atproto.server.refreshSession", bearer(v.refresh), nil).ok()
	v.access = r.str("accessJwt")
	v.call(activate, nil).fails(400, "InvalidRequest", "DID document") // which still leads to the other tenant
	v.ask("com.atproto.identity.getRecommendedDidCredentials").ok()
	// Whatever session there may be: while it waits, nobody but an operator opens it.
	h.exec(h.a, "INSERT INTO pds.account_item (aid, kind, created_at, due_at) SELECT aid, 11, now(), now() FROM pds.actor WHERE did = $1", v.did)
	from.access = h.post(hostB, createSession, "", obj{"identifier": from.did, "password": userPassword}).ok().str("accessJwt")
	from.sendTo(v)
	v.call(activate, nil).fails(400, "InvalidRequest", "waits for approval")
	h.exec(h.a, "DELETE FROM pds.account_item WHERE kind = 11")
	v.call(activate, nil).ok()
	if got := h.heard(h.a, v.did, 0); !strings.HasSuffix(got, "account:active identity:"+v.handle+" sync") {
		t.Errorf("events: %s", got)
	}
	// Rejected: gone from here, and the DID is as it was.
	r, from = h.arrive("bob", "", true)
	r.ok()
	h.admin(hostA, "deleteAccount", obj{"did": from.did}).ok()
	if doc, err := h.plc.Resolve(t.Context(), from.did); err != nil || doc.Handle() != from.handle {
		t.Errorf("%v %v", doc, err)
	}
	from.create(custom, "", obj{"n": 1}).ok()
	if all = h.queued(h.a); all[len(all)-1].Kind != mail.KindSignupRejected {
		t.Errorf("%+v", all)
	}
	again := obj{"did": from.did, "handle": "bob." + hostA, "email": h.email("bob"), "password": userPassword}
	token := from.ask(serviceAuth, "aud", h.a.ServiceDID, "lxm", createAccount).ok().str("token")
	h.post(hostA, createAccount, bearer(token), again).ok() // the name and the DID are free
	h.check()
}

// sendTo has the DID's document lead to the account v, which is the same user's at the other tenant.
func (u *user) sendTo(v *user) {
	u.t.Helper()
	want := v.ask("com.atproto.identity.getRecommendedDidCredentials").ok().json()
	u.call("com.atproto.identity.requestPlcOperationSignature", nil).ok()
	want["token"] = u.mailedToken(mail.KindPLCOperation)
	op := u.call("com.atproto.identity.signPlcOperation", want).ok().at("operation")
	v.call("com.atproto.identity.submitPlcOperation", obj{"operation": op}).ok()
}
