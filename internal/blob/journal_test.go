package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// journaled has a store's disk keep small uploads in its journal from the first on, in segments of a size.
func (b *bed) journaled(s *Store, size int64) *disk {
	b.t.Helper()
	to, _, err := s.current(b.t.Context(), b.schema, "")
	if err != nil {
		b.t.Fatal(err)
	}
	d := to.backend.(*disk)
	j := d.journal
	j.mu.Lock()
	j.after, j.size = 0, size
	j.next()
	j.rest()
	free := len(j.free)
	j.mu.Unlock()
	if free != 1 {
		b.t.Fatal("no segment")
	}
	return d
}

// dies is what kill -9 does to a journal: its locks are gone, its files stay.
func (d *disk) dies() {
	j := d.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	for _, s := range append(j.free, j.current) {
		if s != nil {
			_ = s.file.Close()
		}
	}
	j.free, j.current, j.pending = nil, nil, map[string]*entry{}
}

func (d *disk) journals(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(d.incoming, journalPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// another is a store of the same place in another process, which has begun.
func (b *bed) another() *Store {
	b.t.Helper()
	s := b.open("")
	if err := s.Ready(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.store = s
	return s
}

// TestJournalKilled: a process dies with uploads in every state.
func TestJournalKilled(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	d := b.journaled(b.store, 1<<20)
	kept := random(9000)
	b.mustWrite(alice, "a", record("a", b.upload(alice, kept)))
	gone := random(100)
	b.mustWrite(alice, "b", record("b", b.upload(alice, gone)))
	b.mustWrite(alice, "b", nil)
	b.emptyTrash()
	again := random(5000)
	b.half(alice, again) // a row, and no sync
	to, _, _ := b.store.current(t.Context(), b.schema, "")
	in := to.newSpool()
	if err := in.fill(bytes.NewReader(random(3000))); err != nil {
		t.Fatal(err)
	}
	if err := to.put(t.Context(), alice.AID, newObject(b.schema, alice.DID, in.cid), in); err != nil { // no row
		t.Fatal(err)
	}
	if b.objects() != 3 {
		t.Fatalf("%d objects", b.objects())
	}

	// As long as its process lives a segment is nobody else's.
	b.ahead.Add(int64(3 * time.Hour))
	b.open("")
	b.sweepDisk()
	if b.objects() != 3 || len(d.journals(t)) == 0 {
		t.Fatalf("%d objects, %v", b.objects(), d.journals(t))
	}
	b.ahead.Store(0)

	d.dies()
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
	if sum := b.clean(); sum.Blobs != 2 || sum.Objects != 2 || len(d.journals(t)) != 0 {
		t.Errorf("%+v %v", sum, d.journals(t))
	}
}

// TestJournalPowerLoss: what was acknowledged is there, whatever the disk holds of files that nobody synced.
func TestJournalPowerLoss(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	d := b.journaled(b.store, 1<<20)
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
			err = hurt(d.file(row.Object))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	bob := b.account()
	folder := random(10)
	b.mustWrite(bob, "a", record("a", b.upload(bob, folder)))
	if err := os.RemoveAll(filepath.Dir(d.file(newObject(b.schema, bob.DID, dagcbor.RawCID(folder))))); err != nil {
		t.Fatal(err)
	}
	// An upload that was never acknowledged: the row is there, and the segment was not synced either.
	torn := b.half(alice, random(800))
	if err := os.Remove(d.file(torn.object)); err != nil {
		t.Fatal(err)
	}
	d.dies()
	for _, path := range d.journals(t) {
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
	if sum := b.clean(); sum.Blobs != 6 || sum.Objects != 6 || len(d.journals(t)) != 0 {
		t.Errorf("%+v %v", sum, d.journals(t))
	}
}

// TestJournalRotates: full segments are used again, and what was in them before means nothing any more.
func TestJournalRotates(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	d := b.journaled(b.store, 60_000)
	var wg sync.WaitGroup
	var kept [200][]byte
	for i := range kept {
		kept[i] = random(2000 + i*30)
	}
	var next atomic.Int64
	for range 8 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(kept)); i = next.Add(1) - 1 {
				if _, err := b.store.Upload(context.WithoutCancel(t.Context()), Upload{Owner: alice}, bytes.NewReader(kept[i])); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(d.journals(t)); n == 0 || n > maxSegments {
		t.Errorf("%d segments", n)
	}
	// A blob that was deleted does not come back with a segment of before.
	for _, data := range kept[:50] {
		b.exec("UPDATE pds.blob SET created_at = 'epoch' WHERE cid = $1", dagcbor.RawCID(data).Bytes())
	}
	if err := b.store.Expire(t.Context(), b.schema, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := b.emptyTrash(); n != 50 || b.objects() != 150 {
		t.Errorf("%d deleted, %d objects", n, b.objects())
	}
	d.journal.mu.Lock()
	d.journal.rest()
	d.journal.mu.Unlock()
	d.dies()
	b.another()
	if sum := b.clean(); sum.Blobs != 150 || sum.Objects != 150 {
		t.Errorf("%+v", sum)
	}
	b.ahead.Add(int64(2 * time.Hour))
	b.sweepDisk()
	if sum := b.clean(); sum.Objects != 150 || len(d.journals(t)) != 0 {
		t.Errorf("%+v %v", sum, d.journals(t))
	}
}

// TestJournalEnds: a segment ends after a while, and with its process, and leaves ordinary files.
func TestJournalEnds(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	d := b.journaled(b.store, 1<<20)
	d.journal.idle = 100 * time.Millisecond
	data := random(1000)
	b.upload(alice, data)
	for range 100 {
		d.journal.mu.Lock()
		ended := d.journal.current == nil && d.journal.working == 0
		d.journal.mu.Unlock()
		if ended {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, path := range d.journals(t) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		err = readSegment(f, func(r journaled) error { return fmt.Errorf("%s is in %s", r.object, path) })
		_ = f.Close()
		if err != nil {
			t.Error(err)
		}
	}
	b.upload(alice, random(1001))
	b.store.Close()
	if len(d.journals(t)) != 0 {
		t.Error(d.journals(t))
	}
	b.another()
	if sum := b.clean(); sum.Blobs != 2 || sum.Objects != 2 {
		t.Errorf("%+v", sum)
	}
}

// TestJournalFails: a disk that takes no more of the journal takes ordinary files.
func TestJournalFails(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	d := b.journaled(b.store, 1<<20)
	b.upload(alice, random(1000))
	broken := func() {
		t.Helper()
		d.journal.mu.Lock()
		defer d.journal.mu.Unlock()
		s := d.journal.current
		if s == nil {
			t.Fatal("no segment")
		}
		_ = s.file.Close() // writes and syncs fail from here
	}
	broken()
	for range 5 { // neither the first nor those behind it are refused
		data := random(1000)
		b.mustWrite(alice, fmt.Sprint(len(data)), record("x", b.upload(alice, data)))
		b.wantRead(alice, data)
	}
	// The record was written, and cannot be synced: the file is.
	to, _, err := b.store.current(t.Context(), b.schema, "")
	if err != nil {
		t.Fatal(err)
	}
	for d.journal.append(1, "probe", nil) == nil {
		time.Sleep(5 * time.Millisecond) // the next segment is on its way
	}
	d.journal.settle("probe")
	in := to.newSpool()
	if err := in.fill(bytes.NewReader(random(700))); err != nil {
		t.Fatal(err)
	}
	object := newObject(b.schema, alice.DID, in.cid)
	if err := to.put(t.Context(), alice.AID, object, in); err != nil || in.entry == nil {
		t.Fatal(in.entry, err)
	}
	broken()
	if err := to.sync(object, in); err != nil {
		t.Error(err)
	}
	if err := os.Remove(d.file(object)); err != nil {
		t.Fatal(err)
	}
	if err := d.journal.syncObject(object); err != nil {
		t.Error("an object that was deleted:", err)
	}
	to.discard(t.Context(), alice.AID, object)
	b.clean()
}

// TestJournalDoubt: nobody knows whether a row was inserted. The sweep finds out, long after the segment was used again.
func TestJournalDoubt(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	d := b.journaled(b.store, 1<<20)
	to, _, err := b.store.current(t.Context(), b.schema, "")
	if err != nil {
		t.Fatal(err)
	}
	a := b.half(alice, random(500))
	to.doubt(alice.AID, a.object)
	in := to.newSpool()
	if err := in.fill(bytes.NewReader(random(600))); err != nil {
		t.Fatal(err)
	}
	object := newObject(b.schema, alice.DID, in.cid)
	if err := to.put(t.Context(), alice.AID, object, in); err != nil {
		t.Fatal(err)
	}
	to.doubt(alice.AID, object)
	b.store.Close()
	if len(d.journals(t)) != 0 {
		t.Error(d.journals(t))
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
	b := newBed(t, "")
	alice := b.account()
	d := b.journaled(b.store, 1<<20)
	data := random(1000)
	info := b.upload(alice, data)
	b.mustWrite(alice, "a", record("a", info))
	row, err := b.db.Tenant(b.schema).Q().GetBlob(t.Context(), tenantdb.GetBlobParams{AID: alice.AID, CID: info.CID.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.file(row.Object)); err != nil {
		t.Fatal(err)
	}
	d.dies()
	gate, err := os.Create(filepath.Join(d.incoming, adoptGate))
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	if ok, err := tryLock(gate); !ok || err != nil {
		t.Fatal(ok, err)
	}
	s := b.open("")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	_ = gate.Close()
	b.store = s
	b.wantRead(alice, data) // and the first who uses the place adopts
	if _, err := os.Stat(d.file(row.Object)); errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzReadSegment(f *testing.F) {
	dir := f.TempDir()
	s, err := makeSegment(dir, 1<<16)
	if err != nil {
		f.Fatal(err)
	}
	defer s.drop(true)
	object := "t_1/00/did:plc:abc/" + dagcbor.RawCID([]byte("x")).String() + ".random"
	for i := range 3 {
		if err := s.write(int64(i), object, bytes.Repeat([]byte("x"), i*40)); err != nil {
			f.Fatal(err)
		}
		s.at = s.written
	}
	text, err := os.ReadFile(s.path)
	if err != nil {
		f.Fatal(err)
	}
	whole := text[:s.written]
	f.Add(whole, 0, byte(0))
	f.Add(whole[:len(whole)-5], 0, byte(0))
	f.Add(whole, segmentHead+24, byte(0xff))
	f.Add(whole, segmentHead+40, byte('/'))
	f.Add([]byte(journalMagic), 0, byte(0))
	f.Fuzz(func(t *testing.T, text []byte, at int, with byte) {
		text = bytes.Clone(text)
		if at >= 0 && at < len(text) {
			text[at] ^= with
		}
		err := readSegment(bytes.NewReader(text), func(r journaled) error {
			if len(r.data) > pieceSize || strings.HasPrefix(r.object, "/") || !filepath.IsLocal(r.object) {
				t.Errorf("%q, %d bytes", r.object, len(r.data))
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
