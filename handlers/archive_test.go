package handlers

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
)

func (h *house) archives() *act.Archives {
	log := slog.New(slog.NewTextHandler(h.log, nil))
	store := &archive.Store{DB: h.db, Blobs: h.blobs, Keys: h.keys, Now: h.clock.Now, Log: log, Program: "test"}
	return act.NewArchives(h.db, h.tenants, h.hub, store, h.clock.Now, log)
}

var archivist = act.Operator{Operator: auth.Operator{Name: "cli:test", Role: auth.RoleOwner}}

// backup keeps a tenant in a file.
func (h *house) backup(t *tenant.Tenant, o archive.Options) []byte {
	h.t.Helper()
	var file bytes.Buffer
	if o.Blobs == "" {
		o.Blobs = archive.BlobsIncluded
	}
	if _, _, err := h.archives().Backup(h.t.Context(), t, archivist, &file, o); err != nil {
		h.t.Fatal(err)
	}
	return file.Bytes()
}

func opening(file []byte, keys archive.Keys) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		in, err := keys.Unwrap(bytes.NewReader(file))
		return io.NopCloser(in), err
	}
}

func (h *house) restore(r act.Restore) act.Restored {
	h.t.Helper()
	out, err := h.archives().Restore(h.t.Context(), archivist, r)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// A tenant is put back while it is served and somebody listens: the numbers go on behind all that was said, and consumers
// hear anew of just the accounts that are not what they were.
func TestRestoreOverALivingTenant(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.log.allowed.Store(true) // events are lost, and the server says so
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	file := alice.uploaded([]byte("the bytes of a file"))
	alice.create("com.example.post", "kept", obj{"$type": "com.example.post", "file": file}).ok()
	archived := h.backup(h.a, archive.Options{})

	alice.create("com.example.post", "lost", exampleRecord("lost")).ok()
	carol := h.createAccount(hostA, "carol")
	live := h.hose(hostA, "?cursor=0")
	var seen int64
	for seen < 14 { // three sign-ups and two records
		seen = live.frame().Seq
	}
	_, lostRev := alice.head()

	_, err := h.archives().Restore(t.Context(), archivist, act.Restore{Open: opening(archived, archive.Keys{})})
	if !errors.Is(err, act.ErrLiving) {
		t.Fatalf("without being asked to replace: %v", err)
	}
	if alice.read("com.example.post", "lost").status != 200 {
		t.Fatal("a refused restore has changed something")
	}
	out := h.restore(act.Restore{Open: opening(archived, archive.Keys{}), Replace: true})
	if out.NextSeq <= seen || !out.Replaced || out.Loaded.Blobs != 1 || out.Loaded.BlobsKept != 1 {
		t.Fatalf("%+v", out)
	}
	heard := map[string][]string{}
	for len(heard[alice.did]) < 3 || len(heard[carol.did]) < 1 {
		f := live.frame()
		if f.Seq < out.NextSeq {
			t.Fatalf("number %d is given out after %d", f.Seq, seen)
		}
		heard[f.DID] = append(heard[f.DID], f.Kind.Type())
		if f.Kind == firehose.KindSync && f.Rev.String() <= lostRev {
			t.Errorf("the sync has the revision %s, and consumers know %s", f.Rev, lostRev)
		}
		if f.DID == carol.did && (f.Active || f.Status != "deleted") {
			t.Errorf("an account that is gone: %+v", f)
		}
	}
	if !slices.Contains(heard[alice.did], "#sync") || len(heard[bob.did]) != 0 {
		t.Errorf("heard %v", heard)
	}
	if alice.read("com.example.post", "lost").status == 200 || alice.read("com.example.post", "kept").status != 200 {
		t.Error("the records are not those of the archive")
	}
	alice.create("com.example.post", "after", exampleRecord("after")).ok()
	if f := live.frame(); f.DID != alice.did || f.Kind != firehose.KindCommit {
		t.Errorf("after the restore: %+v", f)
	}
	h.check()
	alice.soundBlobs()
}

// Under another master key an encrypted archive makes the same tenant; an open one is refused before anything is made.
func TestRestoreElsewhere(t *testing.T) {
	t.Parallel()
	from := newHouse(t)
	alice := from.createAccount(hostA, "alice")
	file := alice.uploaded([]byte("the bytes of a file"))
	alice.create("com.example.post", "one", obj{"$type": "com.example.post", "file": file}).ok()
	open := from.backup(from.a, archive.Options{})
	closed := from.backup(from.a, archive.Options{Lock: archive.Lock{Recipients: []string{archiveRecipient}}})

	to := newHouseWith(t, houseOptions{settings: map[string]string{"display_name": "elsewhere"}})
	const host = "c.test"
	_, err := to.archives().Restore(t.Context(), archivist, act.Restore{Open: opening(open, archive.Keys{}), Hostname: host})
	if !errors.Is(err, archive.ErrSealed) {
		t.Fatalf("secrets under another master key: %v", err)
	}
	if _, err := to.tenants.Get(t.Context(), host); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("a refused archive has left a tenant: %v", err)
	}
	out := to.restore(act.Restore{Open: opening(closed, archive.Keys{Identities: archiveIdentity}), Hostname: host})
	if out.Tenant.Hostname != host || out.Loaded.Blobs != 1 || out.Loaded.BlobsMissing != 0 || out.Told != 1 {
		t.Errorf("%+v", out)
	}
	to.b = out.Tenant
	to.check()
	moved := &user{house: to, host: host, did: alice.did, handle: "alice." + host}
	if again := moved.login(userPassword); again.did != alice.did { // the handle moved along
		t.Errorf("%+v", again)
	} else {
		again.create("com.example.post", "two", exampleRecord("two")).ok() // the key opens
		again.soundBlobs()
	}
	if heard := to.heard(out.Tenant, alice.did, signedUp+1); !strings.HasSuffix(heard, "account:active identity:alice.c.test sync commit") {
		t.Error(heard)
	}
	for i := 0; i < len(closed); i += len(closed)/7 + 1 {
		bad := bytes.Clone(closed)
		bad[i] ^= 1
		_, err := to.archives().Restore(t.Context(), archivist, act.Restore{Open: opening(bad, archive.Keys{Identities: archiveIdentity}), Hostname: "d.test"})
		if err == nil {
			t.Errorf("byte %d is another one", i)
		}
	}
	if _, err := to.tenants.Get(t.Context(), "d.test"); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("a damaged archive has left a tenant: %v", err)
	}
}

const (
	archiveIdentity  = "AGE-SECRET-KEY-1M3UKX0UQJQTR2SCCF5FPYDE2URZC8QKJ07L327RGL3F7A875NU5QJQMMWC"
	archiveRecipient = "age1rxxxt5yejyvxu9ztsd70zuctuhjj4yflt637g5h90cmcnuj9aahqev5s86"
)

// A copy has the people and what they wrote, with keys of its own, and speaks to nobody. Files are copied, not shared.
func TestClone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	file := alice.uploaded([]byte("the bytes of a file"))
	alice.create("com.example.post", "one", obj{"$type": "com.example.post", "file": file}).ok()
	out, err := h.archives().Clone(t.Context(), archivist, h.a, "copy.test", 0, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !out.Tenant.Settings.Isolated || len(out.Tenant.Settings.Crawlers) != 0 || out.Tenant.Settings.DisplayName == h.a.Settings.DisplayName {
		t.Errorf("%+v", out.Tenant.Settings)
	}
	copied := (&user{house: h, host: "copy.test", did: alice.did, handle: "alice.copy.test"}).login(userPassword)
	copied.create("com.example.post", "two", exampleRecord("two")).ok()
	if alice.read("com.example.post", "two").status == 200 {
		t.Error("the copy writes into the original")
	}
	if s := (&user{house: h, host: "copy.test", did: alice.did, access: alice.access}).ask("com.atproto.server.getSession"); s.status == 200 {
		t.Error("a session of the original opens the copy")
	}
	copied.del("com.example.post", "one").ok()
	if n, err := h.blobs.EmptyTrash(t.Context(), out.Tenant.Schema); err != nil || n != 1 {
		t.Errorf("%d objects deleted: %v", n, err)
	}
	alice.soundBlobs()
	for _, nsid := range []string{"app.bsky.feed.getTimeline", "app.bsky.actor.getProfile"} {
		if got := copied.ask(nsid, "actor", alice.did); got.status == 200 {
			t.Errorf("%s of a copy: %d", nsid, got.status)
		}
	}
	if a, b := h.keyOf(h.a, alice.did), h.keyOf(out.Tenant, alice.did); a == b {
		t.Error("the copy signs with the key of the original")
	}
	h.b = out.Tenant
	h.check()
}

// A drill finds what is wrong with an archive, and leaves nothing.
func TestDrill(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.log.allowed.Store(true)
	alice := h.createAccount(hostA, "alice")
	file := alice.uploaded([]byte("the bytes of a file"))
	alice.create("com.example.post", "one", obj{"$type": "com.example.post", "file": file}).ok()
	drill := func(o archive.Options) act.Drilled {
		t.Helper()
		out, err := h.archives().Drill(t.Context(), act.Operator{}, act.Restore{Name: "drilled", Open: opening(h.backup(h.a, o), archive.Keys{}), Progress: func(string, int64, int64) {}}, h.repos)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, mode := range []archive.BlobMode{archive.BlobsIncluded, archive.BlobsReferred} {
		if out := drill(archive.Options{Blobs: mode}); !out.OK() || out.Repos != 1 || out.Loaded.Blobs != 1 {
			t.Errorf("%s: %+v", mode, out)
		}
	}
	proof := func() act.TenantProof {
		t.Helper()
		list, err := act.ListTenantProofs(t.Context(), h.db)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(list, func(p act.TenantProof) bool { return p.TenantID == h.a.ID })
		return list[at]
	}
	if p := proof(); p.ProvedAt == nil || p.Archive != "drilled" || p.MadeAt == nil || p.FailedAt != nil {
		t.Errorf("after a drill that found nothing: %+v", p)
	}
	found, err := filepath.Glob(filepath.Join(h.blobDir, h.a.Schema.String(), "*", "*", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v %v", found, err)
	}
	if err := os.Remove(found[0]); err != nil {
		t.Fatal(err)
	}
	h.exec(h.a, "DELETE FROM pds.record")
	if out := drill(archive.Options{}); out.OK() || out.Found < 2 {
		t.Errorf("a tenant that lacks records and a file: %+v", out)
	}
	if p := proof(); p.ProvedAt == nil || p.FailedAt == nil || p.Problem == "" {
		t.Errorf("after a drill that found something: %+v", p)
	}
	sum, err := act.ReadProofs(t.Context(), h.db, h.clock.Now().Add(time.Hour))
	if err != nil || sum.Tenants != 2 || sum.Never != 1 || sum.Stale != 1 || sum.Failing != 1 || sum.Deployment != nil {
		t.Errorf("proofs: %+v, %v", sum, err)
	}
	h.exec(h.a, "DO $$ BEGIN IF EXISTS (SELECT FROM pg_namespace WHERE nspname LIKE 't\\_drill\\_%') THEN RAISE 'a drill has left a schema'; END IF; END $$")
}

// keyOf is the did:key that an account signs with.
func (h *house) keyOf(t *tenant.Tenant, did string) string {
	h.t.Helper()
	q := h.db.Tenant(t.Schema).Q()
	a, err := q.GetActorStatus(h.t.Context(), did)
	if err != nil {
		h.t.Fatal(err)
	}
	key, err := q.GetSigningKey(h.t.Context(), a.AID)
	if err != nil {
		h.t.Fatal(err)
	}
	return key.Public
}
