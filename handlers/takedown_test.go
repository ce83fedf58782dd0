package handlers

import (
	"slices"
	"strings"
	"testing"
)

func TestTakedownOfAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	uri := alice.create("app.bsky.feed.post", "", postRecord("hello")).ok().str("uri")
	_, rev := alice.head()
	code := h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": 5, "forAccount": alice.did}).ok().str("code")
	h.set(hostA, "signup", "invite")
	signUp := obj{"handle": "carol." + hostA, "email": "carol@example.com", "password": userPassword, "inviteCode": code}

	h.status(hostA, alice.did, true, nil).ok()
	if got := h.heard(h.a, alice.did, signedUp+1); got != "account:takendown" {
		t.Errorf("events: %s", got)
	}
	// Sessions: none can be prolonged, what is out is refused, new ones need allowTakendown and are good for little.
	h.post(hostA, "com.atproto.server.refreshSession", bearer(alice.refresh), nil).fails(401, "AccountTakedown", "")
	alice.create("app.bsky.feed.post", "", postRecord("again")).fails(401, "AccountTakedown", "")
	login := obj{"identifier": alice.handle, "password": userPassword}
	h.post(hostA, "com.atproto.server.createSession", "", login).fails(401, "AccountTakedown", "")
	login["allowTakendown"] = true
	r := h.post(hostA, "com.atproto.server.createSession", "", login).ok()
	if r.at("active") != false || r.str("status") != "takendown" {
		t.Errorf("session: %s", r.body)
	}
	td := r.str("accessJwt")
	h.post(hostA, "com.atproto.server.refreshSession", bearer(r.str("refreshJwt")), nil).fails(401, "AccountTakedown", "")
	h.post(hostA, "com.atproto.repo.createRecord", bearer(td), obj{"repo": alice.did, "collection": "app.bsky.feed.post", "record": postRecord("x")}).fails(400, "InvalidToken", "")
	// Reads: hidden from everybody but the account and operators.
	alice.read("app.bsky.feed.post", rkeyOf(uri)).fails(400, "RecordNotFound", "")
	h.get(hostA, "com.atproto.repo.listRecords", "", "repo", alice.did, "collection", "app.bsky.feed.post").fails(400, "InvalidRequest", "")
	h.get(hostA, "com.atproto.sync.getRepo", "", "did", alice.did).fails(400, "RepoTakendown", "")
	h.get(hostA, "com.atproto.sync.getLatestCommit", bearer(bob.access), "did", alice.did).fails(400, "RepoTakendown", "")
	h.get(hostA, "com.atproto.sync.getRepo", bearer(td), "did", alice.did).ok()
	h.get(hostA, "com.atproto.sync.getRepo", asAdmin(), "did", alice.did).ok()
	if s := h.get(hostA, "com.atproto.sync.getRepoStatus", "", "did", alice.did).ok(); s.at("active") != false || s.str("status") != "takendown" {
		t.Errorf("%s", s.body)
	}
	// Codes made for it are dead.
	h.post(hostA, "com.atproto.server.createAccount", "", signUp).fails(400, "InvalidInviteCode", "")
	st := h.get(hostA, "com.atproto.admin.getSubjectStatus", asAdmin(), "did", alice.did).ok()
	if st.at("takedown", "applied") != true || st.str("takedown", "ref") != "case-1" || st.at("deactivated", "applied") != false {
		t.Errorf("%s", st.body)
	}
	// Doing it again says it again.
	h.status(hostA, alice.did, true, nil).ok()
	// Bringing an account back that its owner had deactivated does not activate it.
	h.status(hostA, alice.did, false, nil).ok()
	h.status(hostA, alice.did, nil, true).ok()
	h.status(hostA, alice.did, true, nil).ok()
	h.status(hostA, alice.did, nil, false).fails(400, "AccountNotFound", "")
	h.status(hostA, alice.did, false, nil).ok()
	h.status(hostA, alice.did, nil, false).ok()
	// Who asks for nothing has the state said again; both at once is one event.
	for _, both := range []any{true, nil, false} {
		h.status(hostA, alice.did, both, both).ok()
	}
	want := "account:takendown account:takendown account:active account:deactivated account:takendown account:deactivated account:active identity:" + alice.handle + " sync" +
		" account:takendown account:takendown account:active identity:" + alice.handle + " sync"
	if got := h.heard(h.a, alice.did, signedUp+1); got != want {
		t.Errorf("events:\n%s\nwant\n%s", got, want)
	}
	alice.read("app.bsky.feed.post", rkeyOf(uri)).ok()
	if _, now := alice.head(); now != rev {
		t.Errorf("rev %s, was %s", now, rev)
	}
	h.post(hostA, "com.atproto.server.createAccount", "", signUp).ok()
	// The answers to what makes no sense.
	h.status(hostA, alice.did, true, false).fails(400, "InvalidRequest", "contradict")
	h.status(hostA, alice.did, false, true).fails(400, "InvalidRequest", "contradict")
	h.status(hostA, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", true, nil).fails(400, "NotFound", "")
	h.status(hostB, alice.did, true, nil).fails(400, "NotFound", "")
	h.get(hostA, "com.atproto.admin.getSubjectStatus", asAdmin()).fails(400, "InvalidRequest", "No provided subject")
	h.get(hostA, "com.atproto.admin.getSubjectStatus", asAdmin(), "did", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").fails(400, "NotFound", "Subject not found")
	if got := h.heard(h.a, bob.did, signedUp); got != "" {
		t.Errorf("bob's events: %s", got)
	}
	log := h.audited(h.a)
	if !slices.Contains(log, "admin owner admin.updateSubjectStatus "+alice.did+" done") {
		t.Errorf("an act is not in the log: %s", strings.Join(log, "\n"))
	}
	if !slices.Contains(log, "admin owner admin.updateSubjectStatus "+alice.did+" AccountNotFound") {
		t.Errorf("a refusal is not in the log: %s", strings.Join(log, "\n"))
	}
	h.check()
}

func TestTakedownOfRecord(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	made := alice.create("app.bsky.feed.post", rkeyOne, postRecord("bad")).ok()
	alice.create("app.bsky.feed.post", rkeyTwo, postRecord("good")).ok()
	before := h.heard(h.a, alice.did, 0)
	set := func(applied bool) reply {
		return h.admin(hostA, "updateSubjectStatus", obj{
			"subject":  obj{"$type": "com.atproto.repo.strongRef", "uri": made.str("uri"), "cid": made.str("cid")},
			"takedown": obj{"applied": applied},
		})
	}
	set(true).ok()
	alice.read("app.bsky.feed.post", rkeyOne).fails(400, "RecordNotFound", "")
	list := h.get(hostA, "com.atproto.repo.listRecords", "", "repo", alice.did, "collection", "app.bsky.feed.post").ok()
	if n := len(list.at("records").([]any)); n != 1 {
		t.Errorf("%d records listed", n)
	}
	st := h.get(hostA, "com.atproto.admin.getSubjectStatus", asAdmin(), "uri", made.str("uri")).ok()
	if st.at("takedown", "applied") != true || st.str("subject", "cid") != made.str("cid") || !strings.HasPrefix(st.str("takedown", "ref"), "20") {
		t.Errorf("%s", st.body)
	}
	// It stays hidden when its owner writes it again, stays in the archive, and nobody is told.
	alice.put("app.bsky.feed.post", rkeyOne, postRecord("bad again")).ok()
	alice.read("app.bsky.feed.post", rkeyOne).fails(400, "RecordNotFound", "")
	h.get(hostA, "com.atproto.sync.getRepo", "", "did", alice.did).ok()
	if got := h.heard(h.a, alice.did, 0); got != before+" commit" {
		t.Errorf("events: %s", got)
	}
	set(false).ok()
	alice.read("app.bsky.feed.post", rkeyOne).ok()
	subject := func(s obj) reply {
		return h.admin(hostA, "updateSubjectStatus", obj{"subject": s, "takedown": obj{"applied": true}})
	}
	ref := "com.atproto.repo.strongRef"
	subject(obj{"$type": ref, "uri": "at://" + alice.did + "/app.bsky.feed.post/3jzfcijpj2z2z", "cid": made.str("cid")}).fails(400, "NotFound", "Subject not found")
	subject(obj{"$type": ref, "uri": "at://" + alice.handle + "/app.bsky.feed.post/" + rkeyOne, "cid": made.str("cid")}).fails(400, "InvalidRequest", "DID")
	subject(obj{"$type": ref, "uri": "at://" + alice.did, "cid": made.str("cid")}).fails(400, "InvalidRequest", "record")
	subject(obj{"$type": "com.example.other"}).fails(400, "InvalidRequest", "Invalid subject")
	h.admin(hostA, "updateSubjectStatus", obj{"subject": obj{"$type": ref, "uri": made.str("uri"), "cid": made.str("cid")}, "deactivated": obj{"applied": true}}).
		fails(400, "InvalidRequest", "only an account")
	h.get(hostA, "com.atproto.admin.getSubjectStatus", asAdmin(), "uri", "at://"+alice.did+"/app.bsky.feed.post/3jzfcijpj2z2z").fails(400, "NotFound", "")
	h.check()
}
