package handlers

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/did-method-plc/go-didplc"
	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

func (h *house) aid(tn *tenant.Tenant, did string) int64 {
	h.t.Helper()
	ids := query64(h.t, h.url, "SELECT aid FROM "+tn.Schema.String()+".actor WHERE did = $1", did)
	if len(ids) != 1 {
		h.t.Fatalf("%d accounts of %s", len(ids), did)
	}
	return ids[0]
}

// Accounts are deleted when their date has come and they were held for three days, by any number of processes, once;
// those activated meanwhile are not, and one that never came into use goes without a word.
func TestDeleteAfter(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	due, saved, later, hasty := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob"), h.createAccount(hostA, "carol"), h.createAccount(hostA, "dave")
	due.create("app.bsky.feed.post", "", postRecord("one")).ok()
	day := func(n int) string {
		return h.clock.Now().Add(time.Duration(n) * 24 * time.Hour).UTC().Format(time.RFC3339)
	}
	due.call(deactivate, obj{"deleteAfter": day(4)}).ok()
	saved.call(deactivate, obj{"deleteAfter": day(4)}).ok()
	saved.call(activate, nil).ok()
	later.call(deactivate, obj{"deleteAfter": day(30)}).ok()
	token := due.ask(serviceAuth, "aud", h.b.ServiceDID, "lxm", methodCreateAccount).ok().str("token")
	moved := h.post(hostB, createAccount, bearer(token), obj{"did": due.did, "handle": "alice.b.test", "email": h.email("m"), "password": userPassword}).ok()
	movedAID, dueAID, hastyAID := h.aid(h.b, moved.str("did")), h.aid(h.a, due.did), h.aid(h.a, hasty.did)
	sweepers := make([]*account.Sweeper, 3)
	for i := range sweepers {
		sweepers[i] = account.NewSweeper(h.db, h.tenants, h.hub, h.plc, h.documents, h.clock.Now, slog.New(slog.DiscardHandler))
	}
	sweep := func() {
		t.Helper()
		var wg sync.WaitGroup
		for _, s := range sweepers {
			wg.Go(func() {
				if err := s.Sweep(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	seq := h.lastSeq(h.a)
	sweep()
	if got := h.told(h.a, seq); got != "" {
		t.Errorf("before the date: %q", got)
	}
	// A session is enough to set a date, so nobody loses an account by it before having seen the mail.
	hasty.call(deactivate, obj{"deleteAfter": day(-300)}).ok()
	hasty.call(deactivate, obj{"deleteAfter": day(-1)}).ok() // told once
	later.call(deactivate, obj{"deleteAfter": day(40)}).ok()
	later.call(deactivate, obj{"deleteAfter": day(20)}).ok()
	until := h.clock.Now().Add(account.HoldTime).UTC().Format("2006-01-02")
	var notices []queuedMail
	dates := 0
	for _, m := range h.queued(h.a) {
		switch m.Handle {
		case hasty.handle:
			notices = append(notices, m)
		case later.handle:
			dates++
		}
	}
	if dates != 2 { // 30 days, and 20 instead of 40
		t.Errorf("%d mails about dates", dates)
	}
	if len(notices) != 1 || notices[0].Kind != mail.KindDeletionSet || !strings.HasPrefix(notices[0].Date, until) {
		t.Errorf("%+v", notices)
	}
	seq = h.lastSeq(h.a)
	h.clock.add(account.HoldTime - time.Hour)
	sweep()
	h.aid(h.a, hasty.did)
	h.clock.add(2 * time.Hour)
	sweep()
	sweep()
	if got := h.told(h.a, seq); got != "account(deleted)" {
		t.Errorf("after three days: %q", got)
	}
	h.leavesNothing(h.a, hastyAID, 1)
	h.leavesNothing(h.b, movedAID, 0)
	h.aid(h.a, due.did)
	seq = h.lastSeq(h.a)
	h.clock.add(25 * time.Hour)
	sweep()
	sweep()
	if got := h.told(h.a, seq); got != "account(deleted)" {
		t.Errorf("after the date: %q", got)
	}
	h.leavesNothing(h.a, dueAID, 1)
	h.aid(h.a, saved.did)
	h.aid(h.a, later.did)
	if got := h.told(h.b, 0); got != "" {
		t.Errorf("an account nobody knew says %q", got)
	}
	h.check()
}

// awayDirectory answers nobody while it is away.
type awayDirectory struct {
	identity.Directory
	away bool
}

func (d *awayDirectory) Resolve(ctx context.Context, did string) (*identity.Document, error) {
	if d.away {
		return nil, identity.ErrDIDUnavailable
	}
	return d.Directory.Resolve(ctx, did)
}

// An account that moved here and was never activated is not deleted while its DID leads here, or while nobody can say
// where it leads: with it would go the key that the DID names.
func TestArrivalIsKept(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	arrive := func(label string) (*user, *user) {
		u := h.createAccount(hostA, label)
		token := u.ask(serviceAuth, "aud", h.b.ServiceDID, "lxm", methodCreateAccount).ok().str("token")
		r := h.post(hostB, createAccount, bearer(token), obj{"did": u.did, "handle": label + ".b.test", "email": h.email("m"), "password": userPassword}).ok()
		return u, &user{h, hostB, u.did, label + ".b.test", r.str("accessJwt"), r.str("refreshJwt")}
	}
	leadsTo := func(u *user, tn *tenant.Tenant) {
		u.plcUpdate(func(op *didplc.RegularOp) {
			op.Services[identity.ServicePDS] = didplc.OpService{Type: identity.ServicePDSType, Endpoint: tn.PublicURL}
		}, nil)
	}
	here := func(u *user) bool {
		return query64(t, h.url, "SELECT count(*) FROM "+h.b.Schema.String()+".actor WHERE did = $1", u.did)[0] == 1
	}
	directory := &awayDirectory{Directory: h.plc}
	documents := identity.NewResolver(identity.ResolverConfig{Now: h.clock.Now, PLC: directory})
	defer documents.Close()
	sweep := func() error {
		return account.NewSweeper(h.db, h.tenants, h.hub, h.plc, documents, h.clock.Now, slog.New(slog.DiscardHandler)).Sweep(t.Context())
	}
	oldA, newA := arrive("alice")
	_, newB := arrive("bob")
	leadsTo(oldA, h.b)
	directory.away = true
	h.clock.add(account.MovedLife + time.Hour)
	if err := sweep(); !errors.Is(err, identity.ErrDIDUnavailable) {
		t.Errorf("the directory is away: %v", err)
	}
	if !here(newA) || !here(newB) {
		t.Fatal("deleted without asking")
	}
	directory.away = false
	if err := sweep(); err != nil {
		t.Error(err)
	}
	if !here(newA) || here(newB) {
		t.Errorf("the one whose DID leads here: %v, the other: %v", here(newA), here(newB))
	}
	// It has its time again, each time; then its DID goes elsewhere.
	for range 2 {
		h.clock.add(account.MovedLife + time.Hour)
		if err := sweep(); err != nil || !here(newA) {
			t.Errorf("%v, here: %v", err, here(newA))
		}
	}
	leadsTo(oldA, h.a)
	h.clock.add(account.MovedLife - 2*time.Hour)
	if err := sweep(); err != nil || !here(newA) {
		t.Errorf("before the date: %v, here: %v", err, here(newA))
	}
	h.clock.add(3 * time.Hour)
	if err := sweep(); err != nil || here(newA) {
		t.Errorf("%v, here: %v", err, here(newA))
	}
	// Nobody waits for ever.
	_, newC := arrive("carol")
	directory.away = true
	h.clock.add(account.MovedLife + 29*24*time.Hour)
	if err := sweep(); err == nil || !here(newC) {
		t.Errorf("%v, here: %v", err, here(newC))
	}
	h.clock.add(2 * 24 * time.Hour)
	if err := sweep(); err != nil || here(newC) {
		t.Errorf("%v, here: %v", err, here(newC))
	}
	if got := h.told(h.b, 0); got != "" {
		t.Errorf("told: %q", got)
	}
	h.check()
}

// A purge that was cut off goes on, slice by slice.
func TestPurgeGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	aid := h.aid(h.a, u.did)
	h.exec(h.a, "INSERT INTO pds.record (aid, path, rev, cid, value, indexed_at) SELECT $1, 'com.example.x/' || n, 1, '', '', '2026-01-01Z' FROM generate_series(1, 5000) n", aid)
	tdb := h.db.Tenant(h.a.Schema)
	_, err := h.hub.Publish(t.Context(), tdb, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return account.Delete(t.Context(), q, h.clock.Now(), aid)
	})
	if err != nil {
		t.Fatal(err)
	}
	slice := func() (done bool) {
		err := tdb.Tx(t.Context(), func(q *tenantdb.Queries) (err error) {
			done, err = account.Purge(t.Context(), q, aid)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	if slice() {
		t.Error("5000 records in one slice")
	}
	// Somebody else is at it: nothing to do for us.
	conn, err := pgx.Connect(t.Context(), h.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT 1 FROM "+h.a.Schema.String()+".account_item WHERE kind = 12 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	if !slice() {
		t.Error("two at one purge")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := account.NewSweeper(h.db, h.tenants, h.hub, h.plc, h.documents, h.clock.Now, slog.New(slog.DiscardHandler)).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.leavesNothing(h.a, aid, 1)
}

// What has run out goes: tokens, reserved keys, mail.
func TestSweepExpired(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	u.call("com.atproto.server.requestAccountDelete", nil).ok()
	token := u.mailedToken(mail.KindDeleteAccount)
	h.post(hostA, "com.atproto.server.reserveSigningKey", "", obj{"did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}).ok()
	h.post(hostA, "com.atproto.server.reserveSigningKey", "", obj{}).ok()
	h.exec(h.a, "UPDATE pds.tenant_item SET kind = 6, flags = 3 WHERE kind = 5")
	counts := func() [3]int64 {
		var out [3]int64
		for i, table := range []string{"account_item WHERE kind = 4", "tenant_item WHERE kind = 14", "tenant_item WHERE kind = 6"} {
			out[i] = query64(t, h.url, "SELECT count(*) FROM "+h.a.Schema.String()+"."+table)[0]
		}
		return out
	}
	sweeper := account.NewSweeper(h.db, h.tenants, h.hub, h.plc, h.documents, h.clock.Now, slog.New(slog.DiscardHandler))
	for _, tt := range []struct {
		wait time.Duration
		want [3]int64
	}{{0, [3]int64{1, 2, 1}}, {20 * time.Minute, [3]int64{1, 2, 1}}, {25 * time.Hour, [3]int64{0, 1, 1}}, {7 * 24 * time.Hour, [3]int64{0, 0, 0}}} {
		h.clock.add(tt.wait)
		if err := sweeper.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := counts(); got != tt.want {
			t.Errorf("after %s: %v, want %v", tt.wait, got, tt.want)
		}
	}
	h.post(hostA, "com.atproto.server.deleteAccount", "", obj{"did": u.did, "password": userPassword, "token": token}).fails(400, "InvalidToken", "")
}
