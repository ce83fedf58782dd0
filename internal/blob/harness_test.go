package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob/blobtest"
	"github.com/auroralocus/locus/internal/blob/store"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/repodb"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if s3Server.stop != nil {
		s3Server.stop()
	}
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/auroralocus/locus/db/dbtest.start"), goleak.IgnoreTopFunction("os/exec.(*Cmd).watchCtx")); err != nil {
			fmt.Println("left over:", err)
		}
	}
	os.Exit(code)
}

// s3Server is versitygw, a real S3 server from the module proxy, one for all tests.
var s3Server struct {
	once     sync.Once
	endpoint string
	stop     func()
	err      error
	buckets  atomic.Int64
}

var s3Keys = Credentials{AccessKey: blobtest.AccessKey, SecretKey: blobtest.SecretKey}

// s3Bucket gives the location of a new bucket.
func s3Bucket(t testing.TB) string {
	t.Helper()
	s3Server.once.Do(func() { s3Server.endpoint, s3Server.stop, s3Server.err = blobtest.Start() })
	if s3Server.err != nil {
		t.Fatal(s3Server.err)
	}
	location, err := blobtest.Bucket(t.Context(), s3Server.endpoint, fmt.Sprintf("bucket-%d", s3Server.buckets.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// bed is a store with a tenant, its database, and a clock.
type bed struct {
	t      testing.TB
	url    string
	db     *db.DB
	keys   *keyring.Keyring
	schema db.Schema
	blobs  *Blobs
	repos  *repodb.Store
	ahead  atomic.Int64
	dir    string

	stall, patience, answer time.Duration
	journal                 store.JournalConfig
}

func (b *bed) now() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) }

func newBed(t testing.TB, location string) *bed {
	t.Helper()
	url := dbtest.URL(t)
	return bedOn(t, url, dbtest.Open(t, url), location)
}

// bedOn is newBed on a database that is open.
func bedOn(t testing.TB, url string, d *db.DB, location string) *bed {
	t.Helper()
	b := &bed{t: t, url: url, db: d, dir: t.TempDir()}
	b.schema = dbtest.Tenant(t, b.db)
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	b.keys = keys
	b.blobs = b.open(location)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	b.repos = repodb.New(b.db, keys, b.now, log, repodb.Config{})
	t.Cleanup(b.repos.Close)
	return b
}

// open is another process's store on the same database.
func (b *bed) open(location string) *Blobs {
	s := New(b.db, b.keys, b.now, slog.New(slog.NewTextHandler(testWriter{b.t}, nil)), Config{
		Location: location, StoreTime: b.patience,
		Stores: store.Config{DataDir: b.dir, S3: s3Keys, StallTime: b.stall, AnswerTime: b.answer, Journal: b.journal},
	})
	b.t.Cleanup(s.Close)
	return s
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) { w.t.Logf("%s", p); return len(p), nil }

// account makes an account with an empty repository.
func (b *bed) account() Owner {
	b.t.Helper()
	ctx, now := b.t.Context(), b.now()
	aid, err := b.db.Tenant(b.schema).Q().LockNextAID(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	o := Owner{b.schema, aid, fmt.Sprintf("did:plc:%024d", aid)}
	signer, err := b.keys.GenerateSigningKey()
	if err != nil {
		b.t.Fatal(err)
	}
	sealed, err := b.keys.SealSigningKey(b.schema.String(), aid, signer)
	if err != nil {
		b.t.Fatal(err)
	}
	err = b.db.Tenant(b.schema).Tx(ctx, func(q *tenantdb.Queries) error {
		err := q.InsertSignupActor(ctx, tenantdb.InsertSignupActorParams{AID: aid, DID: o.DID, Handle: fmt.Sprintf("u%d.test", aid), CreatingSince: now, CreatedAt: now})
		if err == nil {
			err = q.InsertSigningKey(ctx, tenantdb.InsertSigningKeyParams{AID: aid, Sealed: sealed, Public: signer.PublicDIDKey(), CreatedAt: now})
		}
		if err == nil {
			_, err = repodb.InsertRepo(ctx, q, aid, o.DID, signer, now)
		}
		if err == nil {
			_, err = q.UpdateActorCreated(ctx, tenantdb.UpdateActorCreatedParams{AID: aid, CreatingSince: now})
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

// arrive records an upload and says what came of it in a.row.
func (s *Blobs) arrive(a *arrival) error {
	s.recorder.begin(a)
	return <-a.done
}

func (b *bed) upload(o Owner, data []byte) Info {
	b.t.Helper()
	info, err := b.blobs.Upload(b.t.Context(), Upload{Owner: o}, bytes.NewReader(data))
	if err != nil {
		b.t.Fatal(err)
	}
	if want := dagcbor.RawCID(data); !info.CID.Equals(want) || info.Size != int64(len(data)) {
		b.t.Fatalf("got %v, want %s", info, want)
	}
	return info
}

// record is one that refers to blobs.
func record(text string, blobs ...Info) []byte {
	b := dagcbor.AppendMapHead(nil, 2)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "text"), text)
	b = dagcbor.AppendArrayHead(dagcbor.AppendText(b, "files"), len(blobs))
	for _, f := range blobs {
		b = dagcbor.AppendMapHead(b, 4)
		b = dagcbor.AppendLink(dagcbor.AppendText(b, "ref"), f.CID)
		b = dagcbor.AppendInt(dagcbor.AppendText(b, "size"), f.Size)
		b = dagcbor.AppendText(dagcbor.AppendText(b, "$type"), "blob")
		b = dagcbor.AppendText(dagcbor.AppendText(b, "mimeType"), f.MimeType)
	}
	return b
}

// write creates, replaces or (nil) deletes a record.
func (b *bed) write(o Owner, rkey string, rec []byte) error {
	path := "com.example.file/" + rkey
	_, err := b.repos.Write(b.t.Context(), b.schema, o.AID, repodb.Options{}, func(v *repodb.View) ([]repo.Write, error) {
		_, exists, err := v.Get(path)
		switch {
		case err != nil || rec == nil && !exists:
			return nil, err
		case rec == nil:
			return []repo.Write{{Action: repo.ActionDelete, Path: path}}, nil
		case exists:
			return []repo.Write{{Action: repo.ActionUpdate, Path: path, Record: rec}}, nil
		}
		return []repo.Write{{Action: repo.ActionCreate, Path: path, Record: rec}}, nil
	})
	return err
}

func (b *bed) mustWrite(o Owner, rkey string, rec []byte) {
	b.t.Helper()
	if err := b.write(o, rkey, rec); err != nil {
		b.t.Fatal(err)
	}
}

// read gets a blob's bytes as the public does.
func (b *bed) read(o Owner, c cid.Cid) ([]byte, error) {
	f, err := b.blobs.Open(b.t.Context(), b.schema, o.AID, c)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func (b *bed) wantRead(o Owner, data []byte) {
	b.t.Helper()
	got, err := b.read(o, dagcbor.RawCID(data))
	if err != nil || !bytes.Equal(got, data) {
		b.t.Fatalf("%d bytes, %v; want %d", len(got), err, len(data))
	}
}

func (b *bed) wantGone(o Owner, data []byte) {
	b.t.Helper()
	if _, err := b.read(o, dagcbor.RawCID(data)); !errors.Is(err, ErrNotFound) {
		b.t.Fatalf("read: %v", err)
	}
}

// objects counts what is in all stores.
func (b *bed) objects() int {
	b.t.Helper()
	n := 0
	for _, p := range b.blobs.Stores.set.All() {
		if err := p.ListAll(b.t.Context(), b.schema.String(), func(store.Found) error { n++; return nil }); err != nil {
			b.t.Fatal(err)
		}
	}
	return n
}

func (b *bed) emptyTrash() int {
	b.t.Helper()
	n, err := b.blobs.EmptyTrash(b.t.Context(), b.schema)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// verify gives the kinds of problems found.
func (b *bed) verify(o VerifyOptions) (kinds []string, sum Verified) {
	b.t.Helper()
	sum, err := b.blobs.Verify(context.WithoutCancel(b.t.Context()), b.schema, o, func(p Problem) error {
		kinds = append(kinds, p.Kind)
		if !o.Repair {
			b.t.Logf("found: %+v", p)
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return kinds, sum
}

// clean fails on any problem.
func (b *bed) clean() Verified {
	b.t.Helper()
	var told []Verified
	kinds, sum := b.verify(VerifyOptions{Deep: true, Young: time.Nanosecond, Progress: func(v Verified) { told = append(told, v) }})
	if len(kinds) > 0 {
		b.t.Fatalf("problems: %v", kinds)
	}
	if n := len(told); int64(n) < sum.Blobs+sum.Objects || n > 0 && (told[n-1].Blobs != sum.Blobs || told[n-1].Objects != sum.Objects) {
		b.t.Errorf("progress was told %d times for %+v", n, sum)
	}
	return sum
}

func (b *bed) exec(sql string, args ...any) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(b.t.Context())
	if _, err := conn.Exec(b.t.Context(), strings.ReplaceAll(sql, "pds.", b.schema.String()+"."), args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) count(sql string, args ...any) (n int64) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(b.t.Context())
	if err := conn.QueryRow(b.t.Context(), strings.ReplaceAll(sql, "pds.", b.schema.String()+"."), args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// infoOf is what uploading bytes of no known type gives.
func infoOf(data []byte) Info {
	return Info{CID: dagcbor.RawCID(data), MimeType: "application/octet-stream", Size: int64(len(data))}
}
