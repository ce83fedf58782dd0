package handlers

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/repo"
)

// What checkAccountStatus says is what the other methods show: blocks and records of the archive, files of the lists.
func TestAccountStatusIsTrue(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	length := func(v *user, method, field string, kv ...string) int {
		t.Helper()
		listed, _ := v.ask(method, kv...).ok().at(field).(list)
		return len(listed)
	}
	same := func(step string, v *user, unnamed int) {
		t.Helper()
		s := v.ask(status).ok()
		archive := v.car()
		whole, err := repo.Verify(bytes.NewReader(archive), v.did, nil, repo.VerifyOptions{}) // whose signature it is, the other tests look at
		if err != nil {
			t.Fatal(err)
		}
		held := length(v, "com.atproto.sync.listBlobs", "cids", "did", v.did)
		missing := length(v, "com.atproto.repo.listMissingBlobs", "blobs")
		want := fmt.Sprintln(len(h.blocks(archive)), whole.Count, held+missing, held+unnamed, whole.CID, whole.Commit.Rev)
		if got := fmt.Sprintln(s.at("repoBlocks"), s.at("indexedRecords"), s.at("expectedBlobs"), s.at("importedBlobs"), s.str("repoCommit"), s.str("repoRev")); got != want {
			t.Errorf("%s: %s, the truth is %s", step, got, want)
		}
	}
	same("empty", u, 0)
	for i := range 40 { // more than one node; all the same record, which is one block
		u.create("com.example.same", fmt.Sprintf("k%d", i), obj{"$type": "com.example.same", "n": 1}).ok()
	}
	same("one block, many records", u, 0)
	picture := u.uploaded(onePixel)
	for _, rkey := range []string{"a", "b"} {
		u.create("com.example.picture", rkey, obj{"$type": "com.example.picture", "picture": picture, "name": rkey}).ok()
	}
	same("one file, two records", u, 0)
	u.uploaded([]byte("nothing refers to this"))
	same("a file that no record names", u, 1)
	u.del("com.example.picture", "a").ok()
	u.del("com.example.same", "k3").ok()
	same("after deletions", u, 1)

	token := u.ask(serviceAuth, "aud", h.b.ServiceDID, "lxm", methodCreateAccount).ok().str("token")
	r := h.post(hostB, createAccount, bearer(token), obj{"did": u.did, "handle": "alice.b.test", "email": h.email("m"), "password": userPassword}).ok()
	v := &user{h, hostB, u.did, "alice.b.test", r.str("accessJwt"), r.str("refreshJwt")}
	same("moved, empty", v, 0)
	v.importCAR(u.car()).ok()
	same("imported, without the file", v, 0)
	v.uploaded(onePixel)
	same("imported, with the file", v, 0)

	// The document is another one as soon as the directory has it, whoever sent it there.
	valid := func(want [2]bool) {
		t.Helper()
		h.clock.add(6 * time.Second)
		if got := [2]any{u.ask(status).ok().at("validDid"), v.ask(status).ok().at("validDid")}; got != [2]any{want[0], want[1]} {
			t.Errorf("validDid %v, want %v", got, want)
		}
	}
	valid([2]bool{true, false})
	key := v.ask("com.atproto.identity.getRecommendedDidCredentials").ok().at("verificationMethods").(obj)["atproto"].(string)
	u.plcUpdate(func(op *didplc.RegularOp) {
		op.Services[identity.ServicePDS] = didplc.OpService{Type: identity.ServicePDSType, Endpoint: h.b.PublicURL}
		op.VerificationMethods[identity.KeyAtproto] = key
	}, nil)
	valid([2]bool{false, true})
	h.check()
}
