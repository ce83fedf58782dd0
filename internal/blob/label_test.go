package blob

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/blob/store"
)

// inControl notes the bed's tenant where those who look for all tenants find it.
func (b *bed) inControl() {
	b.t.Helper()
	b.exec(`INSERT INTO control.tenant (tenant_id, hostname, schema_name, service_did, node_id, state, revision, created_at)
		VALUES ((SELECT coalesce(max(tenant_id), 0) + 1 FROM control.tenant), $1, $1, 'did:web:x', 1, 1, 1, now())`, b.schema.String())
}

// on is a process whose folder for files is another one.
func (b *bed) on(dir string) (*Blobs, *bytes.Buffer) {
	said := new(bytes.Buffer)
	s := New(b.db, b.keys, b.now, slog.New(slog.NewTextHandler(said, nil)), Config{Stores: store.Config{DataDir: dir, S3: s3Keys}})
	b.t.Cleanup(s.Close)
	return s, said
}

// lately has a store look again at once.
func (s *Blobs) lately() {
	for _, p := range s.Stores.set.All() {
		p.Forget()
	}
}

func (b *bed) labelsIn(dir string) (n int) {
	b.t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "blobs", store.LabelPrefix+"*"))
	if err != nil {
		b.t.Fatal(err)
	}
	return len(paths)
}

// A process whose folder is another one than the files' serves nothing from it, takes nothing into it, deletes nothing,
// calls nothing lost, and leaves the folder as it is.
func TestOtherFolder(t *testing.T) {
	b := newBed(t, "")
	b.inControl()
	alice := b.account()
	data, gone := random(3000), random(3000)
	b.mustWrite(alice, "one", record("x", b.upload(alice, data)))
	b.mustWrite(alice, "two", record("x", b.upload(alice, gone)))
	other := t.TempDir()
	s, said := b.on(other)
	if err := s.Stores.Ready(t.Context()); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "adopt-folder") {
		t.Fatal(err)
	}
	if _, err := s.Upload(t.Context(), Upload{Owner: alice}, bytes.NewReader(random(100))); !errors.Is(err, ErrAway) {
		t.Error(err)
	}
	if _, err := s.Open(t.Context(), b.schema, alice.AID, infoOf(data).CID); !errors.Is(err, ErrAway) {
		t.Error(err)
	}
	b.mustWrite(alice, "two", nil) // its object is in the trash
	if n, err := s.EmptyTrash(t.Context(), b.schema); n != 0 || err != nil {
		t.Error(n, err)
	}
	if n := b.count("SELECT count(*) FROM pds.tenant_item WHERE kind = 12"); n != 1 {
		t.Errorf("%d in the trash", n)
	}
	var told []Problem
	sum, err := s.Verify(t.Context(), b.schema, VerifyOptions{Repair: true, Deep: true, Young: time.Nanosecond}, func(p Problem) error { told = append(told, p); return nil })
	if err != nil || len(told) != 1 || told[0].Kind != "away" || sum.Repaired != 0 {
		t.Errorf("%+v, %+v, %v", told, sum, err)
	}
	if _, err := s.Move(t.Context(), b.schema, "disk:"+t.TempDir(), nil); !errors.Is(err, ErrAway) {
		t.Error(err)
	}
	if got, err := os.ReadDir(other); err != nil || len(got) != 0 {
		t.Errorf("the other folder has %v, %v", got, err)
	}
	if n := strings.Count(said.String(), "is not the one that the database knows: nothing"); n != 1 {
		t.Errorf("said %d times:\n%s", n, said)
	}
	b.emptyLater()
	b.wantRead(alice, data)
	b.clean()
	if n := b.labelsIn(b.dir); n != 1 {
		t.Errorf("%d labels", n)
	}
}

// emptyLater empties the trash when all of it is due.
func (b *bed) emptyLater() {
	b.ahead.Add(int64(time.Hour))
	b.emptyTrash()
}

// A disk that goes and comes: files are not there meanwhile, nothing is lost, and nobody has to do anything.
func TestDiskGoesAndComes(t *testing.T) {
	b := newBed(t, "")
	b.inControl()
	alice := b.account()
	var all [][]byte
	for i := range 40 { // the journal too
		data := random(100 + i*5000)
		all = append(all, data)
		b.mustWrite(alice, "r"+string(rune('a'+i%26))+string(rune('a'+i/26)), record("x", b.upload(alice, data)))
	}
	s, said := b.on(b.dir)
	if err := s.Stores.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	place, mounted := filepath.Join(b.dir, "blobs"), filepath.Join(b.dir, "the disk")
	if err := os.Rename(place, mounted); err != nil {
		t.Fatal(err)
	}
	for _, mountPoint := range []bool{false, true} { // as a path that is not there, and as the empty folder below
		if mountPoint {
			if err := os.Mkdir(place, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, data := range all {
			if _, err := s.Open(t.Context(), b.schema, alice.AID, infoOf(data).CID); !errors.Is(err, ErrAway) {
				t.Fatal(err)
			}
		}
		if _, err := s.Upload(t.Context(), Upload{Owner: alice}, bytes.NewReader(random(300_000))); !errors.Is(err, ErrAway) {
			t.Error(err)
		}
		for _, p := range s.Stores.set.All() {
			has := s.Stores.referrer(p.Location)
			if err := p.Sweep(t.Context(), time.Now(), has); !errors.Is(err, ErrAway) {
				t.Error(err)
			}
			if err := p.Recover(t.Context(), has); err != nil && !errors.Is(err, ErrAway) {
				t.Error(err)
			}
			if failed := p.Remove(t.Context(), []string{"x/y/z"}); !errors.Is(failed["x/y/z"], ErrAway) {
				t.Error(failed)
			}
			if _, err := p.Stat(t.Context(), "x/y/z"); !errors.Is(err, ErrAway) {
				t.Error(err)
			}
		}
		if sum, err := s.Verify(t.Context(), b.schema, VerifyOptions{Repair: true}, func(Problem) error { return nil }); err != nil || sum.Problems != 1 || sum.Repaired != 0 {
			t.Errorf("%+v, %v", sum, err)
		}
	}
	if got, err := os.ReadDir(place); err != nil || len(got) != 0 {
		t.Errorf("the mount point has %v, %v", got, err)
	}
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(mounted, place); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	for _, data := range all {
		if f, err := s.Open(t.Context(), b.schema, alice.AID, infoOf(data).CID); err != nil {
			t.Fatal(err)
		} else {
			f.Close()
		}
	}
	if a, c := strings.Count(said.String(), "nothing is served from it"), strings.Count(said.String(), "is there again"); a != 1 || c != 1 {
		t.Errorf("said %d and %d times:\n%s", a, c, said)
	}
	b.clean()
}

// A place from before there were labels gets one where its files are, and is refused where they are not; two processes
// with a folder each do not both get theirs.
func TestOlderPlace(t *testing.T) {
	b := newBed(t, "")
	b.inControl()
	alice := b.account()
	data := random(3000)
	b.mustWrite(alice, "one", record("x", b.upload(alice, data)))
	forget := func() {
		b.exec("DELETE FROM control.blob_place")
		paths, _ := filepath.Glob(filepath.Join(b.dir, "blobs", store.LabelPrefix+"*"))
		for _, p := range paths {
			if err := os.Remove(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	forget()
	other := t.TempDir()
	wrong, _ := b.on(other)
	if err := wrong.Stores.Ready(t.Context()); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "0 of 1 files") {
		t.Fatal(err)
	}
	if n := b.count("SELECT count(*) FROM control.blob_place"); n != 0 || b.labelsIn(other) != 0 {
		t.Fatal("the wrong folder has a label")
	}
	right, _ := b.on(b.dir)
	if err := right.Stores.Ready(t.Context()); err != nil || b.labelsIn(b.dir) != 1 {
		t.Fatal(err)
	}
	// A folder shared by two processes is labelled once, also at once.
	forget()
	errs := make(chan error)
	for range 4 {
		s, _ := b.on(b.dir)
		go func() { errs <- s.Stores.Ready(t.Context()) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := b.labelsIn(b.dir); n != 1 {
		t.Errorf("%d labels", n)
	}
	// A crash between the database and the folder leaves an offer that counts.
	var id string
	paths, _ := filepath.Glob(filepath.Join(b.dir, "blobs", store.LabelPrefix+"*"))
	for _, p := range paths {
		if id = p; os.Rename(p, p+".new") != nil {
			t.Fatal(p)
		}
	}
	again, _ := b.on(b.dir)
	if err := again.Stores.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(id); err != nil {
		t.Error(err)
	}
	b.blobs.lately()
	b.wantRead(alice, data)
	b.clean()
}

// Two new processes on two machines, each with a folder of its own: the second is told.
func TestFolderEach(t *testing.T) {
	b := newBed(t, "")
	one, two := t.TempDir(), t.TempDir()
	first, _ := b.on(one)
	second, _ := b.on(two)
	if err := first.Stores.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Stores.Ready(t.Context()); !errors.Is(err, ErrAway) {
		t.Fatal(err)
	}
	// Nor is a folder of another deployment taken by a database that knows nothing of it.
	c := newBed(t, "")
	stranger, _ := c.on(one)
	if err := stranger.Stores.Ready(t.Context()); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "another database") {
		t.Fatal(err)
	}
}

// The operator says which folder is the right one, and processes on the others stop.
func TestAdopt(t *testing.T) {
	b := newBed(t, "")
	b.inControl()
	alice := b.account()
	data := random(3000)
	b.mustWrite(alice, "one", record("x", b.upload(alice, data)))
	other := t.TempDir()
	s, said := b.on(other)
	if err := s.Stores.Ready(t.Context()); !errors.Is(err, ErrAway) {
		t.Fatal(err)
	}
	if found, err := s.Stores.Adopt(t.Context(), b.schema, "", false); !errors.Is(err, ErrAway) || found.Asked != 1 || found.There != 0 {
		t.Fatal(found, err)
	}
	if err := os.CopyFS(filepath.Join(other, "blobs"), os.DirFS(filepath.Join(b.dir, "blobs"))); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{other} { // brought back from a backup, without its label
		paths, _ := filepath.Glob(filepath.Join(p, "blobs", store.LabelPrefix+"*"))
		for _, l := range paths {
			_ = os.Remove(l)
		}
	}
	if found, err := s.Stores.Adopt(t.Context(), b.schema, "", false); err != nil || found.There != 1 {
		t.Fatal(found, err)
	}
	time.Sleep(time.Second)
	f, err := s.Open(t.Context(), b.schema, alice.AID, infoOf(data).CID)
	if err != nil {
		t.Fatal(err, said)
	}
	f.Close()
	b.blobs.lately() // its trust ends
	if _, err := b.read(alice, infoOf(data).CID); !errors.Is(err, ErrAway) {
		t.Error(err)
	}
	// An empty one, on purpose.
	third, _ := b.on(t.TempDir())
	if _, err := third.Stores.Adopt(t.Context(), b.schema, "", true); err != nil {
		t.Fatal(err)
	}
	if err := third.Stores.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// A bucket of the same name that is another one: nothing in it is called an orphan, and nothing that is not in it lost.
func TestOtherBucket(t *testing.T) {
	location := s3Bucket(t)
	b := newBed(t, location)
	b.inControl()
	alice := b.account()
	b.mustWrite(alice, "one", record("x", b.upload(alice, random(3000))))
	b.clean()
	id := ""
	for _, p := range b.blobs.Stores.set.All() {
		var err error
		if id, err = b.db.Control().GetBlobPlace(t.Context(), p.Location); err != nil {
			t.Fatal(err)
		}
		if failed := p.Remove(t.Context(), []string{store.LabelPrefix + id}); len(failed) > 0 {
			t.Fatal(failed)
		}
	}
	b.blobs.lately()
	kinds, sum := b.verify(VerifyOptions{Repair: true, Young: time.Nanosecond})
	if len(kinds) != 1 || kinds[0] != "away" || sum.Repaired != 0 {
		t.Errorf("%v, %+v", kinds, sum)
	}
	if found, err := b.blobs.Stores.Adopt(t.Context(), b.schema, location, false); err != nil || found.There != 1 {
		t.Fatal(found, err)
	}
	time.Sleep(time.Second)
	b.clean()
}
