package handlers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/did-method-plc/go-didplc"
	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	activate   = "com.atproto.server.activateAccount"
	deactivate = "com.atproto.server.deactivateAccount"
	status     = "com.atproto.server.checkAccountStatus"
	setHandle  = "com.atproto.identity.updateHandle"
)

// told is what a tenant's stream says after a number, an event a word: "identity(alice.a.test)", "account(active)".
func (h *house) told(tn *tenant.Tenant, after int64) string {
	h.t.Helper()
	stored, err := firehose.ListEvents(h.t.Context(), h.db.Tenant(tn.Schema).Q(), after, 1000, 1<<30)
	if err != nil {
		h.t.Fatal(err)
	}
	var words []string
	for i := range stored {
		if stored[i].Kind == firehose.KindNothing {
			continue
		}
		f, err := firehose.Decode(stored[i].AppendFrame(nil))
		if err != nil {
			h.t.Fatal(err)
		}
		switch f.Kind {
		case firehose.KindIdentity:
			words = append(words, "identity("+f.Handle+")")
		case firehose.KindAccount:
			state := f.Status
			if f.Active {
				state = "active" + state
			}
			words = append(words, "account("+state+")")
		default:
			words = append(words, strings.TrimPrefix(f.Kind.Type(), "#"))
		}
	}
	return strings.Join(words, " ")
}

func (h *house) lastSeq(tn *tenant.Tenant) int64 {
	h.t.Helper()
	seq, err := h.db.Tenant(tn.Schema).Q().GetLastSeq(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return seq
}

func TestDeactivateAndActivate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	u.create("app.bsky.feed.post", "", postRecord("one")).ok()
	seq := h.lastSeq(h.a)
	u.call(deactivate, obj{"deleteAfter": "2030-01-02T03:04:06Z"}).ok()
	if got := h.told(h.a, seq); got != "account(deactivated)" {
		t.Errorf("deactivation says %q", got)
	}
	for _, at := range query64(t, h.url, "SELECT extract(epoch FROM delete_after)::bigint FROM "+h.a.Schema.String()+".actor WHERE did = $1", u.did) {
		if at != 1893553446 {
			t.Errorf("deleteAfter is %d", at)
		}
	}
	u.create("app.bsky.feed.post", "", postRecord("two")).fails(401, "AccountDeactivated", "")
	h.get(hostA, "com.atproto.sync.getRepo", "", "did", u.did).fails(400, "RepoDeactivated", "")
	h.get(hostA, "com.atproto.identity.resolveHandle", "", "handle", u.handle).fails(400, "HandleNotFound", "")
	s := u.ask(status).ok()
	if s.at("activated") != false || s.at("validDid") != true || s.str("repoRev") == "" || fmt.Sprintf("%v %v %v", s.at("repoBlocks"), s.at("indexedRecords"), s.at("privateStateValues")) != "3 1 0" {
		t.Errorf("%s", s.body)
	}
	seq = h.lastSeq(h.a)
	u.call(activate, nil).ok()
	if got := h.told(h.a, seq); got != "account(active) identity(alice.a.test) sync" {
		t.Errorf("activation says %q", got)
	}
	if n := query64(t, h.url, "SELECT count(*) FROM "+h.a.Schema.String()+".actor WHERE delete_after IS NOT NULL"); n[0] != 0 {
		t.Error("the date of deletion stays")
	}
	u.create("app.bsky.feed.post", "", postRecord("three")).ok()
	u.call(deactivate, obj{"deleteAfter": "tomorrow"}).fails(400, "InvalidRequest", "")
	h.check()
}

// An account whose document leads elsewhere, or names another key, is not activated; one without our rotation key is.
func TestActivateLooksAtTheDocument(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	u.call(deactivate, obj{}).ok()
	own, err := h.keys.GenerateSigningKey() // the user's rotation key
	if err != nil {
		t.Fatal(err)
	}
	u.plcUpdate(func(op *didplc.RegularOp) { op.RotationKeys = []string{own.PublicDIDKey(), op.RotationKeys[0]} }, nil)
	good := u.lastOp()
	for _, tt := range []struct {
		part   string
		change func(*didplc.RegularOp)
	}{
		{"atproto_pds", func(op *didplc.RegularOp) {
			op.Services[identity.ServicePDS] = didplc.OpService{Type: identity.ServicePDSType, Endpoint: "https://elsewhere.example.com"}
		}},
		{"atproto_pds", func(op *didplc.RegularOp) { op.Services = map[string]didplc.OpService{} }},
		{"signs the repository", func(op *didplc.RegularOp) { op.VerificationMethods[identity.KeyAtproto] = own.PublicDIDKey() }},
		{"no usable", func(op *didplc.RegularOp) { op.VerificationMethods = map[string]string{} }},
	} {
		u.plcUpdate(tt.change, own)
		u.call(activate, nil).fails(400, "InvalidRequest", tt.part)
		u.plcUpdate(func(op *didplc.RegularOp) {
			op.Services, op.VerificationMethods = good.Services, good.VerificationMethods
		}, own)
	}
	u.plcUpdate(func(op *didplc.RegularOp) { op.RotationKeys = []string{own.PublicDIDKey()} }, own)
	u.call(activate, nil).ok()
	// Taken down: the account is gone for this method.
	u.call(deactivate, obj{}).ok()
	u.setStatus("takedown_ref", "x")
	u.call(activate, nil).fails(400, "AccountNotFound", "")
}

func (u *user) lastOp() *didplc.RegularOp {
	u.t.Helper()
	last, err := u.plc.Last(u.t.Context(), u.did)
	if err != nil {
		u.t.Fatal(err)
	}
	op, err := identity.RegularForm(last)
	if err != nil {
		u.t.Fatal(err)
	}
	return op
}

// plcUpdate changes the user's DID behind the server's back, with the tenant's key or another.
func (u *user) plcUpdate(change func(*didplc.RegularOp), by identity.Signer) {
	u.t.Helper()
	if by == nil {
		s, err := u.tenants.RotationSigner(u.t.Context(), u.tenant())
		if err != nil {
			u.t.Fatal(err)
		}
		by = s
	}
	last, err := u.plc.Last(u.t.Context(), u.did)
	if err != nil {
		u.t.Fatal(err)
	}
	op, err := identity.NewUpdate(last, by, change)
	if err == nil {
		err = u.plc.Submit(u.t.Context(), u.did, op)
	}
	if err != nil {
		u.t.Fatal(err)
	}
	u.clock.add(10 * time.Minute) // the directory takes ten operations an hour
}

func TestUpdateHandle(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u, other := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	seq := h.lastSeq(h.a)
	u.call(setHandle, obj{"handle": "Alicia.a.test"}).ok()
	if got := h.told(h.a, seq); got != "identity(alicia.a.test)" {
		t.Errorf("a new handle says %q", got)
	}
	if got := h.get(hostA, "com.atproto.identity.resolveHandle", "", "handle", "alicia.a.test").ok().str("did"); got != u.did {
		t.Error(got)
	}
	h.get(hostA, "com.atproto.identity.resolveHandle", "", "handle", "alice.a.test").fails(400, "HandleNotFound", "")
	if op := u.lastOp(); len(op.AlsoKnownAs) != 1 || op.AlsoKnownAs[0] != "at://alicia.a.test" {
		t.Errorf("%v", op.AlsoKnownAs)
	}
	if got := u.ask("com.atproto.server.getSession").ok().str("handle"); got != "alicia.a.test" {
		t.Error(got)
	}
	// Nothing changes, and the network is told to look again.
	seq = h.lastSeq(h.a)
	u.call(setHandle, obj{"handle": "alicia.a.test"}).ok()
	if got := h.told(h.a, seq); got != "identity(alicia.a.test)" {
		t.Errorf("the same handle says %q", got)
	}
	h.createAccount(hostA, "alice") // free again
	seq = h.lastSeq(h.a)
	for _, tt := range [][3]string{
		{other.handle, "HandleNotAvailable", "Handle already taken: " + other.handle},
		{"al.a.test", "InvalidHandle", "too short"},
		{"admin.a.test", "HandleNotAvailable", ""},
		{"x.y.a.test", "InvalidHandle", ""},
		{"alice.b.test", "InvalidRequest", "External handle did not resolve to DID"},
		{"b.test", "", ""},
	} {
		r := u.call(setHandle, obj{"handle": tt[0]})
		if tt[1] == "" {
			if r.status != 400 {
				t.Errorf("%s: %d %s", tt[0], r.status, r.body)
			}
			continue
		}
		r.fails(400, tt[1], tt[2])
	}
	if got := h.told(h.a, seq); got != "" {
		t.Errorf("refusals say %q", got)
	}
	u.setStatus("takedown_ref", "x")
	u.call(setHandle, obj{"handle": "again.a.test"}).fails(401, "AccountTakedown", "")
}

// Of two accounts that want one handle at once, one gets it, and the other's document does not go on naming it.
func TestUpdateHandleRace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, b := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	for round := range 3 {
		want := fmt.Sprintf("wanted%d.a.test", round)
		var got [2]reply
		var wg sync.WaitGroup
		for i, u := range []*user{a, b} {
			wg.Go(func() { got[i] = u.call(setHandle, obj{"handle": want}) })
		}
		wg.Wait()
		winner, loser, lost := a, b, got[1]
		if got[0].status != 200 {
			winner, loser, lost = b, a, got[0]
		}
		if got[0].status == got[1].status {
			t.Fatalf("%d %s, %d %s", got[0].status, got[0].body, got[1].status, got[1].body)
		}
		lost.fails(400, "HandleNotAvailable", "")
		if op := winner.lastOp(); op.AlsoKnownAs[0] != "at://"+want {
			t.Errorf("winner: %v", op.AlsoKnownAs)
		}
		if op := loser.lastOp(); op.AlsoKnownAs[0] == "at://"+want {
			t.Errorf("loser: %v", op.AlsoKnownAs)
		}
		h.clock.add(30 * time.Minute)
	}
}

func TestDeleteAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u, other := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	session := u.ask("com.atproto.server.getSession").ok()
	for range 3 {
		u.create("app.bsky.feed.post", "", postRecord("mine")).ok()
	}
	u.create("app.bsky.graph.follow", "", obj{"$type": "app.bsky.graph.follow", "subject": other.did, "createdAt": createdAt}).ok()
	other.create("app.bsky.feed.post", "", postRecord("theirs")).ok()
	// Files: one that a record names, one that waits for its record, one that is taken down.
	file := u.uploaded(onePixel)
	u.create("app.bsky.feed.post", "", imagePost("look", file)).ok()
	u.uploaded(png(100))
	down := u.uploaded(png(200))
	h.post(hostA, "com.atproto.admin.updateSubjectStatus", asAdmin(), obj{"subject": obj{"$type": "com.atproto.admin.defs#repoBlobRef", "did": u.did, "cid": refOf(down)}, "takedown": obj{"applied": true}}).ok()
	if n := h.files(); n != 3 {
		t.Errorf("%d files", n)
	}
	u.call("com.atproto.server.requestAccountDelete", nil).ok()
	token := u.mailedToken(mail.KindDeleteAccount)
	const method = "com.atproto.server.deleteAccount"
	in := func(did, password, token string) obj { return obj{"did": did, "password": password, "token": token} }
	h.post(hostA, method, "", in(u.did, "wrong", token)).fails(401, "AuthenticationRequired", "Invalid did or password")
	h.post(hostA, method, "", in("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", userPassword, token)).fails(401, "AuthenticationRequired", "Invalid did or password")
	h.post(hostB, method, "", in(u.did, userPassword, token)).fails(401, "AuthenticationRequired", "Invalid did or password")
	h.post(hostA, method, "", in(u.did, userPassword, "AAAAA-AAAAA")).fails(400, "InvalidToken", "")
	h.post(hostA, method, "", in(other.did, userPassword, token)).fails(400, "InvalidToken", "") // another's
	h.clock.add(16 * time.Minute)
	h.post(hostA, method, "", in(u.did, userPassword, token)).fails(400, "ExpiredToken", "")
	u.call("com.atproto.server.requestAccountDelete", nil).ok()
	token = u.mailedToken(mail.KindDeleteAccount)

	if _, _, err := h.acts.SignInDevice(t.Context(), h.a, act.Visitor{}, act.Browser{}, act.Credentials{Identifier: u.did, Password: userPassword}, device.Stay{Remember: true}); err != nil {
		t.Fatal(err)
	}

	aid := query64(t, h.url, "SELECT aid FROM "+h.a.Schema.String()+".actor WHERE did = $1", u.did)[0]
	seq := h.lastSeq(h.a)
	h.post(hostA, method, "", in(u.did, userPassword, strings.ToLower(token))).ok()
	if got := h.told(h.a, seq); got != "account(deleted)" {
		t.Errorf("deletion says %q", got)
	}
	if got := h.told(h.a, 0); got != "identity(bob.a.test) account(active) commit sync commit account(deleted)" {
		t.Errorf("the stream is now %q", got)
	}
	h.leavesNothing(h.a, aid, 1)
	u.blobFile(refOf(file)).fails(400, "RepoNotFound", "")
	other.emptyTrash()
	if n := h.files(); n != 0 {
		t.Errorf("%d files of a deleted account", n)
	}
	// Nothing works any more; handle and address are free.
	u.ask("com.atproto.server.getSession").fails(403, "AccountNotFound", "")
	h.post(hostA, "com.atproto.server.refreshSession", bearer(u.refresh), nil).fails(400, "ExpiredToken", "")
	h.get(hostA, "com.atproto.sync.getRepoStatus", "", "did", u.did).fails(400, "RepoNotFound", "")
	h.post(hostA, method, "", in(u.did, userPassword, token)).fails(401, "AuthenticationRequired", "")
	h.post(hostA, createAccount, "", obj{"handle": u.handle, "email": session.str("email"), "password": userPassword}).ok()
	h.check()
}

// leavesNothing asks every table that has an aid: only so many events may have it.
func (h *house) leavesNothing(tn *tenant.Tenant, aid int64, events int64) {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(h.t.Context())
	rows, _ := conn.Query(h.t.Context(), "SELECT table_name::text FROM information_schema.columns WHERE table_schema = $1 AND column_name = 'aid' ORDER BY 1", tn.Schema.String())
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 8 {
		h.t.Fatalf("tables with accounts: %v %v", tables, err)
	}
	for _, table := range tables {
		want := int64(0)
		if table == "repo_event" {
			want = events
		}
		if n := query64(h.t, h.url, "SELECT count(*) FROM "+tn.Schema.String()+"."+table+" WHERE aid = $1", aid)[0]; n != want {
			h.t.Errorf("%d rows of the account in %s, want %d", n, table, want)
		}
	}
}

// Taken-down accounts may be deleted; an account without a mail address cannot be asked.
func TestDeleteAccountTakenDown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	u.call("com.atproto.server.requestAccountDelete", nil).ok()
	u.setStatus("takedown_ref", "x")
	u.call("com.atproto.server.requestAccountDelete", nil).fails(401, "AccountTakedown", "")
	h.post(hostA, "com.atproto.server.deleteAccount", "", obj{"did": u.did, "password": userPassword, "token": u.mailedToken(mail.KindDeleteAccount)}).ok()
	v := h.createAccount(hostA, "bob")
	h.exec(h.a, "UPDATE pds.account SET email = NULL")
	v.call("com.atproto.server.requestAccountDelete", nil).fails(400, "InvalidRequest", "does not have an email address")
}

// Writes that race with a deletion leave nothing behind, and no event follows the last one.
func TestDeleteAccountDuringWrites(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	aid := query64(t, h.url, "SELECT aid FROM "+h.a.Schema.String()+".actor WHERE did = $1", u.did)[0]
	u.call("com.atproto.server.requestAccountDelete", nil).ok()
	token := u.mailedToken(mail.KindDeleteAccount)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if r := u.create("app.bsky.feed.post", "", postRecord("again")); r.status != 200 && r.status/100 != 4 {
					t.Errorf("%d %s", r.status, r.body)
				}
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	h.post(hostA, "com.atproto.server.deleteAccount", "", obj{"did": u.did, "password": userPassword, "token": token}).ok()
	time.Sleep(50 * time.Millisecond)
	stop()
	wg.Wait()
	h.leavesNothing(h.a, aid, 1)
	if got := h.told(h.a, 0); got != "account(deleted)" {
		t.Errorf("%q", got)
	}
}
