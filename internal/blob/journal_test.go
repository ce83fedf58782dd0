package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob/store"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// journaled is a bed whose disk keeps small uploads in its journal from the first on, in segments of a size.
func journaled(t *testing.T, size int64) *bed {
	t.Helper()
	b := newBed(t, "")
	b.journal = store.JournalConfig{After: -1, Size: size}
	b.blobs = b.open("")
	to, _, err := b.blobs.Stores.current(t.Context(), b.schema, "")
	if err != nil {
		t.Fatal(err)
	}
	probe := func() { // the first one has a segment made, and does not wait for it
		in := to.NewSpool()
		defer in.Drop()
		if err := in.Fill(bytes.NewReader(random(10))); err != nil {
			t.Fatal(err)
		}
		object := store.NewObject(b.schema, "probe", in.CID)
		if err := to.Put(t.Context(), 0, object, in); err != nil {
			t.Fatal(err)
		}
		to.Discard(t.Context(), 0, object)
	}
	probe()
	for range 1000 {
		for _, path := range b.journals() {
			if info, err := os.Stat(path); err == nil && info.Size() == size {
				if probe(); inSegment(path, "probe") {
					return b
				}
			}
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no segment")
	return nil
}

// inSegment says whether the journal's file holds this text.
func inSegment(path, text string) bool {
	data, err := os.ReadFile(path)
	return err == nil && bytes.Contains(data, []byte(text))
}

// dies is what kill -9 and another machine's start are to the files: another process finds them as they are at this
// moment, and no lock on them.
func (b *bed) dies() {
	b.t.Helper()
	dir := b.t.TempDir()
	err := filepath.WalkDir(b.dir, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(b.dir, path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir():
			return os.MkdirAll(filepath.Join(dir, rel), 0o750)
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) { // gone since it was listed
			return nil
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, rel), data, 0o600)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.dir = dir
}

func (b *bed) journals() []string {
	b.t.Helper()
	paths, err := filepath.Glob(filepath.Join(b.incoming(), "journal-*"))
	if err != nil {
		b.t.Fatal(err)
	}
	return paths
}

// another has the same blobs in another process, which has begun.
func (b *bed) another() {
	b.t.Helper()
	b.journal = store.JournalConfig{} // a few small uploads need none
	s := b.open("")
	if err := s.Stores.Ready(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.blobs = s
}

// TestJournalKilled: a process dies with uploads in every state.
func TestJournalKilled(t *testing.T) {
	b := journaled(t, 1<<20)
	alice := b.account()
	kept := random(9000)
	b.mustWrite(alice, "a", record("a", b.upload(alice, kept)))
	gone := random(100)
	b.mustWrite(alice, "b", record("b", b.upload(alice, gone)))
	b.mustWrite(alice, "b", nil)
	b.emptyTrash()
	again := random(5000)
	b.half(alice, again) // a row, and no sync
	to, _, _ := b.blobs.Stores.current(t.Context(), b.schema, "")
	in := to.NewSpool()
	if err := in.Fill(bytes.NewReader(random(3000))); err != nil {
		t.Fatal(err)
	}
	if err := to.Put(t.Context(), alice.AID, store.NewObject(b.schema, alice.DID, in.CID), in); err != nil { // no row
		t.Fatal(err)
	}
	if b.objects() != 3 {
		t.Fatalf("%d objects", b.objects())
	}

	// As long as its process lives a segment is nobody else's.
	b.ahead.Add(int64(3 * time.Hour))
	b.open("")
	b.sweepDisk()
	if b.objects() != 3 || len(b.journals()) == 0 {
		t.Fatalf("%d objects, %v", b.objects(), b.journals())
	}
	b.ahead.Store(0)

	b.dies()
	b.another()
	b.wantRead(alice, kept)
	b.wantGone(alice, gone)
	if b.objects() != 3 { // a row may come yet
		t.Errorf("%d objects", b.objects())
	}
	b.mustWrite(alice, "c", record("c", b.upload(alice, again))) // the client tries again
	b.wantRead(alice, again)
	b.ahead.Add(int64(2 * time.Hour))
	b.sweepDisk()
	if sum := b.clean(); sum.Blobs != 2 || sum.Objects != 2 || len(b.journals()) != 0 {
		t.Errorf("%+v %v", sum, b.journals())
	}
}

// TestJournalPowerLoss: what was acknowledged is there, whatever the disk holds of files that nobody synced.
func TestJournalPowerLoss(t *testing.T) {
	b := journaled(t, 1<<20)
	alice := b.account()
	var all [][]byte
	for i, hurt := range []func(path string) error{
		os.Remove,
		func(path string) error { return os.Truncate(path, 0) },
		func(path string) error { return os.Truncate(path, 7) },
		func(path string) error { return os.WriteFile(path, make([]byte, 5000), 0o600) },
		func(string) error { return nil },
	} {
		data := random(5000 + i)
		info := b.upload(alice, data)
		b.mustWrite(alice, fmt.Sprint(i), record("x", info))
		all = append(all, data)
		row, err := b.db.Tenant(b.schema).Q().GetBlob(t.Context(), tenantdb.GetBlobParams{AID: alice.AID, CID: info.CID.Bytes()})
		if err == nil {
			err = hurt(b.file(row.Object))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	bob := b.account()
	folder := random(10)
	b.mustWrite(bob, "a", record("a", b.upload(bob, folder)))
	if err := os.RemoveAll(filepath.Dir(b.file(store.NewObject(b.schema, bob.DID, dagcbor.RawCID(folder))))); err != nil {
		t.Fatal(err)
	}
	// An upload that was never acknowledged: the row is there, and the segment was not synced either.
	torn := b.half(alice, random(800))
	if err := os.Remove(b.file(torn.object)); err != nil {
		t.Fatal(err)
	}
	b.dies()
	for _, path := range b.journals() {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(text, []byte(torn.object)); at > 0 {
			clear(text[at+len(torn.object)+100:])
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}

	b.another()
	for _, data := range all {
		b.wantRead(alice, data)
	}
	b.wantRead(bob, folder)
	b.ahead.Add(int64(2 * time.Hour))
	b.sweepDisk()
	if sum := b.clean(); sum.Blobs != 6 || sum.Objects != 6 || len(b.journals()) != 0 {
		t.Errorf("%+v %v", sum, b.journals())
	}
}

// TestJournalRotates: full segments are used again, and what was in them before means nothing any more.
func TestJournalRotates(t *testing.T) {
	b := journaled(t, 60_000)
	alice := b.account()
	var wg sync.WaitGroup
	var kept [200][]byte
	for i := range kept {
		kept[i] = random(2000 + i*30)
	}
	var next atomic.Int64
	for range 8 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(kept)); i = next.Add(1) - 1 {
				if _, err := b.blobs.Upload(context.WithoutCancel(t.Context()), Upload{Owner: alice}, bytes.NewReader(kept[i])); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(b.journals()); n == 0 || n > 4 {
		t.Errorf("%d segments", n)
	}
	// A blob that was deleted does not come back with a segment of before.
	for _, data := range kept[:50] {
		b.exec("UPDATE pds.blob SET created_at = 'epoch' WHERE cid = $1", dagcbor.RawCID(data).Bytes())
	}
	if err := b.blobs.Expire(t.Context(), b.schema, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := b.emptyTrash(); n != 50 || b.objects() != 150 {
		t.Errorf("%d deleted, %d objects", n, b.objects())
	}
	b.dies()
	b.another()
	if sum := b.clean(); sum.Blobs != 150 || sum.Objects != 150 {
		t.Errorf("%+v", sum)
	}
	b.ahead.Add(int64(2 * time.Hour))
	b.sweepDisk()
	if sum := b.clean(); sum.Objects != 150 || len(b.journals()) != 0 {
		t.Errorf("%+v %v", sum, b.journals())
	}
}

// TestJournalDoubt: nobody knows whether a row was inserted. The sweep finds out, long after the segment was used again.
func TestJournalDoubt(t *testing.T) {
	b := journaled(t, 1<<20)
	alice := b.account()
	to, _, err := b.blobs.Stores.current(t.Context(), b.schema, "")
	if err != nil {
		t.Fatal(err)
	}
	a := b.half(alice, random(500))
	to.Doubt(alice.AID, a.object)
	in := to.NewSpool()
	if err := in.Fill(bytes.NewReader(random(600))); err != nil {
		t.Fatal(err)
	}
	object := store.NewObject(b.schema, alice.DID, in.CID)
	if err := to.Put(t.Context(), alice.AID, object, in); err != nil {
		t.Fatal(err)
	}
	to.Doubt(alice.AID, object)
	b.blobs.Close()
	if len(b.journals()) != 0 {
		t.Error(b.journals())
	}
	b.another()
	b.ahead.Add(int64(2 * time.Hour))
	b.sweepDisk()
	if sum := b.clean(); sum.Blobs != 1 || sum.Objects != 1 {
		t.Errorf("%+v", sum)
	}
}

// TestAdoptInTurn: one who begins while another adopts waits for it.
func TestAdoptInTurn(t *testing.T) {
	b := journaled(t, 1<<20)
	alice := b.account()
	data := random(1000)
	info := b.upload(alice, data)
	b.mustWrite(alice, "a", record("a", info))
	row, err := b.db.Tenant(b.schema).Q().GetBlob(t.Context(), tenantdb.GetBlobParams{AID: alice.AID, CID: info.CID.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(b.file(row.Object)); err != nil {
		t.Fatal(err)
	}
	b.dies()
	gate, err := os.Create(filepath.Join(b.incoming(), ".adopting"))
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	if err := syscall.Flock(int(gate.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	s := b.open("")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Stores.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	_ = gate.Close()
	b.blobs = s
	b.wantRead(alice, data) // and the first who uses the place adopts
	if _, err := os.Stat(b.file(row.Object)); errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
