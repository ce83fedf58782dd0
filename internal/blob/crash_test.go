package blob

import (
	"bytes"
	"errors"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob/store"
)

// half puts an upload and inserts its row, and does nothing of what comes then.
func (b *bed) half(o Owner, data []byte) *arrival {
	b.t.Helper()
	to, id, err := b.blobs.Stores.current(b.t.Context(), b.schema, "")
	if err != nil {
		b.t.Fatal(err)
	}
	in := to.NewSpool()
	defer in.Drop()
	if err := in.Fill(bytes.NewReader(data)); err != nil {
		b.t.Fatal(err)
	}
	a := &arrival{owner: o, cid: in.CID.Bytes(), mime: "a/b", size: in.Size, store: id, object: store.NewObject(b.schema, o.DID, in.CID)}
	if err := to.Put(b.t.Context(), o.AID, a.object, in); err != nil {
		b.t.Fatal(err)
	}
	if err := b.blobs.arrive(a); err != nil || !a.row.Made {
		b.t.Fatal(a.row, err)
	}
	return a
}

func (b *bed) sweepDisk() {
	b.t.Helper()
	for _, p := range b.blobs.Stores.set.All() {
		if err := p.SweepOld(b.t.Context(), b.now().Add(-staleUpload)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// file is an object's on the first disk.
func (b *bed) file(object string) string {
	return filepath.Join(b.dir, "blobs", filepath.FromSlash(object))
}

// incoming is the folder of what is on its way to the first disk.
func (b *bed) incoming() string { return filepath.Join(b.dir, "blobs", ".incoming") }

// unmark takes away what says that an object is provisional.
func (b *bed) unmark(object string) {
	b.t.Helper()
	marks, err := filepath.Glob(filepath.Join(b.incoming(), "*"+path.Base(object)))
	if err != nil || len(marks) != 1 {
		b.t.Fatal(marks, err)
	}
	if err := os.Remove(marks[0]); err != nil {
		b.t.Fatal(err)
	}
}

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
	if e, err := os.ReadDir(b.incoming()); err != nil || len(e) > 0 {
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
			if err := hurt(t, b.file(a.object)); err != nil {
				t.Fatal(err)
			}
			b.unmark(a.object)
			b.mustWrite(alice, "a", record("a", b.upload(alice, again)))
			b.wantRead(alice, again)
			s := b.half(alice, swept)
			if err := hurt(t, b.file(s.object)); err != nil {
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
type unsyncable struct{ store.Objects }

var errSync = errors.New("input/output error")

func (unsyncable) Sync(string, *store.Spool) error { return errSync }

// TestSyncFails: the row is there already, and goes again.
func TestSyncFails(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	kept := random(10)
	b.upload(alice, kept)
	to, _, err := b.blobs.Stores.current(t.Context(), b.schema, "")
	if err != nil {
		t.Fatal(err)
	}
	well := to.Objects
	to.Objects = unsyncable{well}
	for _, data := range [][]byte{random(100), random(200_000), kept} {
		if _, err := b.blobs.Upload(t.Context(), Upload{Owner: alice}, bytes.NewReader(data)); !errors.Is(err, errSync) {
			t.Errorf("%d bytes: %v", len(data), err)
		}
	}
	to.Objects = well
	b.blobs.Close() // what was to be settled is
	if sum := b.clean(); sum.Blobs != 1 || sum.Objects != 1 || b.filesIn(filepath.Join(b.dir)) != 1 {
		t.Errorf("%+v", sum)
	}
}
