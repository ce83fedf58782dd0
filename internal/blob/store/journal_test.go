package store

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// withJournal is a disk that keeps small uploads in its journal from the first on.
func withJournal(t *testing.T, cfg JournalConfig) *disk {
	t.Helper()
	cfg.After = -1
	d := newDisk(t.TempDir(), cfg)
	t.Cleanup(d.close)
	if err := d.prepare("x"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.labelFile("x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j := d.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next()
	j.rest()
	if len(j.free) != 1 {
		t.Fatal("no segment")
	}
	return d
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// putNew puts an upload, and no more.
func (d *disk) putNew(t *testing.T, data []byte) (object string, in *Spool) {
	t.Helper()
	in = d.NewSpool()
	if err := in.Fill(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	schema, err := db.ParseSchema("t_7")
	if err != nil {
		t.Fatal(err)
	}
	object = NewObject(schema, "did:plc:abc", in.CID)
	if err := d.Put(t.Context(), 1, object, in); err != nil {
		t.Fatal(err)
	}
	return object, in
}

// keep is a whole upload.
func (d *disk) keep(t *testing.T, data []byte) {
	t.Helper()
	object, in := d.putNew(t, data)
	defer in.Drop()
	if err := d.Sync(object, in); err != nil {
		t.Fatal(err)
	}
	d.Settle(1, object)
	f, size, err := d.Open(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data) || size != int64(len(data)) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(data), err)
	}
}

func (d *disk) journals(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(d.incoming, journalPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestJournalEnds: a segment ends after a while, and with its process, and leaves ordinary files.
func TestJournalEnds(t *testing.T) {
	d := withJournal(t, JournalConfig{Size: 1 << 20, Idle: 100 * time.Millisecond})
	d.keep(t, random(1000))
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
	d.keep(t, random(1001))
	d.close()
	if len(d.journals(t)) != 0 {
		t.Error(d.journals(t))
	}
	n := 0
	if err := d.List(t.Context(), "t_7", func(f Found) error { n++; return d.whole(f.Object) }); err != nil || n != 2 {
		t.Errorf("%d objects, %v", n, err)
	}
}

// TestJournalFails: a disk that takes no more of the journal takes ordinary files.
func TestJournalFails(t *testing.T) {
	d := withJournal(t, JournalConfig{Size: 1 << 20})
	d.keep(t, random(1000))
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
		d.keep(t, random(1000))
	}
	// The record was written, and cannot be synced: the file is.
	for d.journal.append(1, "probe", nil) == nil {
		time.Sleep(5 * time.Millisecond) // the next segment is on its way
	}
	d.journal.settle("probe")
	object, in := d.putNew(t, random(700))
	defer in.Drop()
	if in.entry == nil {
		t.Fatal("not in the journal")
	}
	broken()
	if err := d.Sync(object, in); err != nil {
		t.Error(err)
	}
	if err := os.Remove(d.file(object)); err != nil {
		t.Fatal(err)
	}
	if err := d.journal.syncObject(object); err != nil {
		t.Error("an object that was deleted:", err)
	}
	d.Discard(t.Context(), 1, object)
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
