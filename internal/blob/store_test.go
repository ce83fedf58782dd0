package blob

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/blob/store"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/repodb"
)

// everywhere runs a test on a disk and on S3.
func everywhere(t *testing.T, test func(t *testing.T, b *bed)) {
	t.Run("disk", func(t *testing.T) { test(t, newBed(t, "")) })
	t.Run("s3", func(t *testing.T) { test(t, newBed(t, s3Bucket(t))) })
}

func TestLife(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		alice, bob := b.account(), b.account()
		data, large := random(1000), random(40<<20) // S3: several parts
		one, two := b.upload(alice, data), b.upload(alice, large)
		b.wantGone(alice, data) // temporary: nobody sees it
		b.mustWrite(alice, "a", record("a", one, two))
		b.wantRead(alice, data)
		b.wantRead(alice, large)
		b.wantGone(bob, data)
		f, err := b.blobs.Open(t.Context(), b.schema, alice.AID, two.CID)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int64{30 << 20, 5, 40<<20 - 10} {
			if _, err := f.Seek(at, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			part := make([]byte, 10)
			if _, err := io.ReadFull(f, part); err != nil || !bytes.Equal(part, large[at:at+10]) {
				t.Errorf("at %d: %x %v", at, part, err)
			}
		}
		_ = f.Close()
		// The same bytes of another account are another blob.
		b.upload(bob, data)
		b.mustWrite(bob, "b", record("b", one))
		b.mustWrite(alice, "a", record("a", two))
		b.wantGone(alice, data)
		b.wantRead(bob, data)
		if n := b.emptyTrash(); n != 1 || b.objects() != 2 {
			t.Errorf("%d deleted, %d objects", n, b.objects())
		}
		b.clean()
		b.mustWrite(alice, "a", nil)
		b.emptyTrash()
		if b.objects() != 1 {
			t.Errorf("%d objects", b.objects())
		}
		// Uploading what is there costs no second object; what was lost comes back.
		b.upload(bob, data)
		if b.objects() != 1 {
			t.Errorf("%d objects", b.objects())
		}
		b.lose()
		if _, err := b.read(bob, one.CID); !errors.Is(err, ErrLost) {
			t.Errorf("read: %v", err)
		}
		b.upload(bob, data)
		b.wantRead(bob, data)
		if sum := b.clean(); sum.Blobs != 1 || sum.Objects != 1 || sum.Bytes != 1000 {
			t.Errorf("%+v", sum)
		}
	})
}

// lose deletes every object behind the store's back.
func (b *bed) lose() {
	b.t.Helper()
	for _, p := range b.blobs.Stores.set.All() {
		var all []string
		if err := p.List(b.t.Context(), b.schema.String(), func(f store.Found) error { all = append(all, f.Object); return nil }); err != nil {
			b.t.Fatal(err)
		}
		if bad := p.Remove(b.t.Context(), all); len(bad) > 0 {
			b.t.Fatal(bad)
		}
	}
}

// TestTypeSaidLast: bytes that do not tell their type have the one that was said last, until a record refers to them.
func TestTypeSaidLast(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		alice := b.account()
		words := []byte("WEBVTT, or is it?")
		say := func(said, want string) (info Info) {
			t.Helper()
			info, err := b.blobs.Upload(t.Context(), Upload{Owner: alice, ContentType: said}, bytes.NewReader(words))
			if err != nil || info.MimeType != want {
				t.Fatalf("%s: %v %v, want %s", said, info, err, want)
			}
			return info
		}
		say("", "application/octet-stream")
		say("text/plain", "text/plain")
		b.mustWrite(alice, "a", record("a", say("text/vtt", "text/vtt")))
		say("text/plain", "text/vtt")
		b.clean()
	})
}

func TestManyAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		owners := []Owner{b.account(), b.account(), b.account()}
		same := random(2000)
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				data := same
				if i%3 > 0 {
					data = random(500 + i)
				}
				if _, err := b.blobs.Upload(t.Context(), Upload{Owner: owners[i/20]}, bytes.NewReader(data)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		sum := b.clean()
		// i%3 == 0: the same bytes 7, 6 and 7 times by three accounts.
		if sum.Blobs != 43 || sum.Objects != 43 {
			t.Errorf("%+v", sum)
		}
	})
}

func TestExpiry(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		alice := b.account()
		kept, left := random(10), random(20)
		info := b.upload(alice, kept)
		b.upload(alice, left)
		b.mustWrite(alice, "a", record("a", info))
		b.ahead.Add(int64(23 * time.Hour))
		expire := func() {
			t.Helper()
			if err := b.blobs.Expire(t.Context(), b.schema, 24*time.Hour); err != nil {
				t.Fatal(err)
			}
			b.emptyTrash()
		}
		expire()
		if b.objects() != 2 {
			t.Error(b.objects())
		}
		b.ahead.Add(int64(2 * time.Hour))
		expire()
		if b.objects() != 1 {
			t.Error(b.objects())
		}
		b.wantRead(alice, kept)
		if err := b.write(alice, "b", record("b", Info{CID: dagcbor.RawCID(left), MimeType: "application/octet-stream", Size: 20})); !errors.Is(err, repodb.ErrBlobNotFound) {
			t.Errorf("write: %v", err)
		}
		b.clean()
	})
}

// broken reads some bytes and fails.
type broken struct{ n int }

var errBroken = errors.New("client went away")

func (r *broken) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, errBroken
	}
	n := min(r.n, len(p))
	r.n -= n
	return n, nil
}

func TestAbortedUpload(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		alice := b.account()
		for _, n := range []int{0, 1, 100_000, 30 << 20} {
			if _, err := b.blobs.Upload(t.Context(), Upload{Owner: alice}, &broken{n}); !errors.Is(err, errBroken) {
				t.Errorf("after %d bytes: %v", n, err)
			}
		}
		if _, err := b.blobs.Upload(t.Context(), Upload{Owner: alice}, strings.NewReader("")); !errors.Is(err, ErrEmpty) {
			t.Errorf("empty: %v", err)
		}
		if b.objects() != 0 || b.filesIn(b.dir) != 0 {
			t.Errorf("%d objects, %d files", b.objects(), b.filesIn(b.dir))
		}
		if _, err := b.blobs.Upload(t.Context(), Upload{Owner: Owner{b.schema, 999, "did:plc:nobody"}}, strings.NewReader("x")); !errors.Is(err, ErrNoAccount) {
			t.Errorf("no account: %v", err)
		}
		b.ahead.Add(int64(3 * time.Hour))
		b.emptyTrash()
		if b.objects() != 0 || b.filesIn(b.dir) != 0 {
			t.Errorf("%d objects, %d files", b.objects(), b.filesIn(b.dir))
		}
		b.clean()
	})
}

func (b *bed) filesIn(dir string) (n int) {
	b.t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.HasPrefix(e.Name(), store.LabelPrefix) {
			n++
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// TestCrashes cuts an upload off after each of its steps, as kill -9 would, and lets the sweep clear up.
func TestCrashes(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		alice := b.account()
		to, id, err := b.blobs.Stores.current(t.Context(), b.schema, "")
		if err != nil {
			t.Fatal(err)
		}
		spool := func(size int) *store.Spool {
			in := to.NewSpool()
			if err := in.Fill(bytes.NewReader(random(size))); err != nil {
				t.Fatal(err)
			}
			return in
		}
		spool(100_000) // received, and no more
		announce := func(object string) {
			if to.Announced() {
				b.exec("INSERT INTO pds.tenant_item (kind, key, number, due_at) VALUES (12, int2send($1::smallint) || convert_to($2, 'UTF8'), $1::smallint, $3)", id, object, b.now().Add(announceTime))
			}
		}
		in := spool(5000) // put, and no row
		object := store.NewObject(b.schema, alice.DID, in.CID)
		announce(object)
		if err := to.Put(t.Context(), alice.AID, object, in); err != nil {
			t.Fatal(err)
		}
		in = spool(200_000) // put, and a row, and not settled
		object = store.NewObject(b.schema, alice.DID, in.CID)
		announce(object)
		if err := to.Put(t.Context(), alice.AID, object, in); err != nil {
			t.Fatal(err)
		}
		a := &arrival{owner: alice, cid: in.CID.Bytes(), mime: "a/b", size: in.Size, store: id, object: object, announced: to.Announced()}
		if err := b.blobs.arrive(a); err != nil || !a.row.Made {
			t.Fatal(a.row, err)
		}
		sweep := func() {
			t.Helper()
			b.emptyTrash()
			if err := to.SweepOld(t.Context(), b.now().Add(-staleUpload)); err != nil {
				t.Fatal(err)
			}
		}
		sweep() // too early
		if b.objects() != 2 {
			t.Errorf("%d objects", b.objects())
		}
		if kinds, sum := b.verify(VerifyOptions{Deep: true}); len(kinds) > 0 || sum.Blobs != 1 {
			t.Error(kinds, sum)
		}
		b.ahead.Add(int64(2 * time.Hour))
		sweep()
		if sum := b.clean(); sum.Blobs != 1 || sum.Objects != 1 {
			t.Errorf("%+v", sum)
		}
		if n := b.filesIn(filepath.Join(b.dir)); to.Announced() && n != 0 || !to.Announced() && n != 1 {
			t.Errorf("%d files", n)
		}
	})
}
