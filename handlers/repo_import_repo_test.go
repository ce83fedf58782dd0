package handlers

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const importRepo = "com.atproto.repo.importRepo"

func (u *user) importCAR(body []byte) reply {
	u.t.Helper()
	return u.raw("POST", u.host, "/xrpc/"+importRepo, body, bearer(u.access), "Content-Type: application/vnd.ipld.car")
}

func (u *user) car() []byte {
	u.t.Helper()
	return u.get(u.host, "com.atproto.sync.getRepo", bearer(u.access), "did", u.did).ok().body
}

// A whole repository moves; what the archive does not have goes; nothing is said.
func TestImportRepo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	for i := range 700 { // more than a batch
		u.create("com.example.post", fmt.Sprintf("post%05d", i), obj{"$type": "com.example.post", "n": i}).ok()
	}
	u.create("app.bsky.graph.follow", "", obj{"$type": "app.bsky.graph.follow", "subject": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "createdAt": createdAt}).ok()
	u.create("com.example.z", "one", obj{"$type": "com.example.z", "a": 1}).ok()
	token := u.ask(serviceAuth, "aud", h.b.ServiceDID, "lxm", methodCreateAccount).ok().str("token")
	r := h.post(hostB, createAccount, bearer(token), obj{"did": u.did, "handle": "alice.b.test", "email": h.email("m"), "password": userPassword}).ok()
	v := &user{h, hostB, u.did, "alice.b.test", r.str("accessJwt"), r.str("refreshJwt")}
	_, revA := u.head()
	v.importCAR(u.car()).ok()
	s := v.ask(status).ok()
	if got := fmt.Sprint(s.at("indexedRecords")); got != "702" || s.str("repoRev") <= revA || s.at("activated") != false {
		t.Errorf("%s", s.body)
	}
	if got := h.told(h.b, 0); got != "" {
		t.Errorf("an import says %q", got)
	}
	h.check()
	same := func(what string) {
		t.Helper()
		a, b := h.blocks(u.car()), h.blocks(v.car())
		missing := 0
		for c := range a {
			if b[c] == nil {
				missing++
			}
		}
		if missing != 1 || len(a) != len(b) { // the commit is ours
			t.Errorf("%s: %d of %d blocks are missing, there are %d", what, missing, len(a), len(b))
		}
	}
	same("first import")
	// Again, over what is there, with changes of all kinds.
	u.del("com.example.post", "post00000").ok()
	u.del("com.example.post", "post00699").ok()
	u.del("com.example.z", "one").ok()
	u.put("com.example.post", "post00350", obj{"$type": "com.example.post", "n": "changed"}).ok()
	u.create("com.example.a", "new", obj{"$type": "com.example.a", "a": 1}).ok()
	v.importCAR(u.car()).ok()
	same("second import")
	v.importCAR(u.car()).ok()
	same("the same again")
	h.check()
	if n := fmt.Sprint(v.ask(status).ok().at("indexedRecords")); n != "700" {
		t.Errorf("%s records", n)
	}
	// An active account's import has subscribers fetch the repository.
	seq := h.lastSeq(h.a)
	archive := u.car()
	u.create("com.example.a", "after", obj{"$type": "com.example.a", "a": 1}).ok()
	u.importCAR(archive).ok()
	if got := h.told(h.a, seq); got != "commit sync" {
		t.Errorf("%q", got)
	}
	u.read("com.example.a", "after").fails(400, "RecordNotFound", "")
	u.create("com.example.a", "again", obj{"$type": "com.example.a", "a": 1}).ok()
	h.check()
}

func TestImportRepoRefusals(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u, other := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	u.create("com.example.a", "one", obj{"$type": "com.example.a", "text": strings.Repeat("x", 100)}).ok()
	good := u.car()
	cid, rev := u.head()
	flipped := bytes.Clone(good)
	flipped[len(flipped)-10] ^= 1
	for what, body := range map[string][]byte{
		"another account's": other.car(), "cut off": good[:len(good)-5], "changed": flipped, "junk": []byte("this is no archive"), "empty": {},
	} {
		u.importCAR(body).fails(400, "InvalidRequest", "")
		if c, r := u.head(); c != cid || r != rev {
			t.Errorf("%s: the head moved", what)
		}
	}
	app := u.login(u.call(createApp, obj{"name": "one", "privileged": true}).ok().str("password"))
	app.importCAR(good).fails(400, "InvalidToken", "Bad token scope")
	h.set(hostA, "max_repo_import_size", fmt.Sprint(len(good)-1))
	u.importCAR(good).fails(413, "PayloadTooLarge", "")
	h.set(hostA, "max_repo_import_size", fmt.Sprint(len(good)))
	u.importCAR(good).ok()
	h.set(hostA, "accept_repo_imports", "false")
	u.importCAR(good).fails(400, "InvalidRequest", "not accepting repo imports")
	h.set(hostA, "accept_repo_imports", "true")
	u.setStatus("takedown_ref", "x")
	u.importCAR(good).fails(401, "AccountTakedown", "")
}
