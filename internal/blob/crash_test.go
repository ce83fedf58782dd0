package blob

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
)

// half puts an upload and inserts its row, and does nothing of what comes then.
func (b *bed) half(o Owner, data []byte) *arrival {
	b.t.Helper()
	to, id, err := b.store.current(b.t.Context(), b.schema, "")
	if err != nil {
		b.t.Fatal(err)
	}
	in := to.newSpool()
	defer in.drop()
	if err := in.fill(bytes.NewReader(data)); err != nil {
		b.t.Fatal(err)
	}
	a := &arrival{owner: o, cid: in.cid.Bytes(), mime: "a/b", size: in.size, store: id, object: newObject(b.schema, o.DID, in.cid)}
	if err := to.put(b.t.Context(), o.AID, a.object, in); err != nil {
		b.t.Fatal(err)
	}
	if err := b.store.arrive(a); err != nil || !a.row.Made {
		b.t.Fatal(a.row, err)
	}
	return a
}

func (b *bed) sweepDisk() {
	b.t.Helper()
	for _, p := range b.store.opened() {
		if err := p.sweep(b.t.Context(), b.now().Add(-staleUpload), b.store.referrer(p.location)); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bed) disk() *disk { return b.store.opened()[0].backend.(*disk) }

// TestDoubtful: an upload ended between its row and its sync. Its bytes are there, and nobody knows for how long: the
// same bytes that come again are kept themselves.
func TestDoubtful(t *testing.T) {
	b := newBed(t, "")
	alice, data := b.account(), random(5000)
	first := b.half(alice, data)
	b.upload(alice, data)
	row, err := b.db.Tenant(b.schema).Q().GetBlob(t.Context(), tenantdb.GetBlobParams{AID: alice.AID, CID: first.cid})
	if err != nil || row.Object == first.object {
		t.Fatalf("%+v %v", row, err)
	}
	if n := b.emptyTrash(); n != 1 || b.objects() != 1 {
		t.Errorf("%d deleted, %d objects", n, b.objects())
	}
	other := random(90_000)
	b.half(alice, other) // and nobody comes again
	b.ahead.Add(int64(2 * time.Hour))
	b.sweepDisk()
	if e, err := os.ReadDir(b.disk().incoming); err != nil || len(e) > 0 {
		t.Error(e, err)
	}
	if sum := b.clean(); sum.Blobs != 2 || sum.Objects != 2 {
		t.Errorf("%+v", sum)
	}
}

// TestPowerLoss is about what a disk may hold after one: a row is there, and the bytes are not, or not all, or others.
func TestPowerLoss(t *testing.T) {
	damage := map[string]func(t *testing.T, path string) error{
		"gone":  func(_ *testing.T, path string) error { return os.Remove(path) },
		"empty": func(_ *testing.T, path string) error { return os.Truncate(path, 0) },
		"zeros": func(_ *testing.T, path string) error { return os.WriteFile(path, make([]byte, 5000), 0o600) },
	}
	for name, hurt := range damage {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, "")
			alice := b.account()
			again, swept := random(5000), random(5000)
			a := b.half(alice, again)
			if err := hurt(t, b.disk().file(a.object)); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(b.disk().mark(alice.AID, a.object)); err != nil {
				t.Fatal(err)
			}
			b.mustWrite(alice, "a", record("a", b.upload(alice, again)))
			b.wantRead(alice, again)
			s := b.half(alice, swept)
			if err := hurt(t, b.disk().file(s.object)); err != nil {
				t.Fatal(err)
			}
			b.ahead.Add(int64(2 * time.Hour))
			b.sweepDisk()
			b.emptyTrash()
			if sum := b.clean(); sum.Blobs != 1 || sum.Objects != 1 {
				t.Errorf("%+v", sum)
			}
		})
	}
}

// unsyncable is a disk that cannot sync.
type unsyncable struct{ backend }

var errSync = errors.New("input/output error")

func (unsyncable) sync(string, *spool) error { return errSync }

// TestSyncFails: the row is there already, and goes again.
func TestSyncFails(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	kept := random(10)
	b.upload(alice, kept)
	to, _, err := b.store.current(t.Context(), b.schema, "")
	if err != nil {
		t.Fatal(err)
	}
	for busy := true; busy; time.Sleep(time.Millisecond) { // what settles the first one reads to.backend
		b.store.mu.Lock()
		busy = b.store.settles
		b.store.mu.Unlock()
	}
	well := to.backend
	to.backend = unsyncable{well}
	for _, data := range [][]byte{random(100), random(200_000), kept} {
		if _, err := b.store.Upload(t.Context(), Upload{Owner: alice}, bytes.NewReader(data)); !errors.Is(err, errSync) {
			t.Errorf("%d bytes: %v", len(data), err)
		}
	}
	to.backend = well
	b.store.Close() // what was to be settled is
	if sum := b.clean(); sum.Blobs != 1 || sum.Objects != 1 || b.filesIn(filepath.Join(b.dir)) != 1 {
		t.Errorf("%+v", sum)
	}
}
