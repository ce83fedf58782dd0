package repodb

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// newKeys makes a keyring of the test's own.
func newKeys(t testing.TB) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// newStore opens a store for the test's duration.
func newStore(t testing.TB, d *db.DB, keys *keyring.Keyring, cfg Config) *Store {
	t.Helper()
	s := New(d, keys, time.Now, slog.New(slog.NewTextHandler(testLog{t}, nil)), cfg)
	t.Cleanup(s.Close)
	return s
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

// newRepo makes an account with an empty repository and its four events.
func newRepo(t testing.TB, d *db.DB, keys *keyring.Keyring, schema db.Schema) (aid int64, did string) {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	aid, err := d.Tenant(schema).Q().LockNextAID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	did = fmt.Sprintf("did:plc:%024d", aid)
	signer, err := keys.GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := keys.SealSigningKey(schema.String(), aid, signer)
	if err != nil {
		t.Fatal(err)
	}
	_, err = firehose.NewHub().Publish(ctx, d.Tenant(schema), func(q *tenantdb.Queries) ([]firehose.Event, error) {
		handle := fmt.Sprintf("user%d.test", aid)
		err := q.InsertSignupActor(ctx, tenantdb.InsertSignupActorParams{
			AID: aid, DID: did, Handle: handle, CreatingSince: now, CreatedAt: now,
		})
		if err != nil {
			return nil, err
		}
		err = q.InsertSigningKey(ctx, tenantdb.InsertSigningKeyParams{AID: aid, Sealed: sealed, Public: signer.PublicDIDKey(), CreatedAt: now})
		if err != nil {
			return nil, err
		}
		c, err := InsertRepo(ctx, q, aid, did, signer, now)
		if err != nil {
			return nil, err
		}
		if _, err := q.UpdateActorCreated(ctx, tenantdb.UpdateActorCreatedParams{AID: aid, CreatingSince: now}); err != nil {
			return nil, err
		}
		return []firehose.Event{
			firehose.NewIdentity(aid, did, handle, now),
			firehose.NewAccount(aid, did, true, "", now),
			firehose.NewCommit(aid, c, now),
			firehose.NewSync(aid, did, c.Head.Rev, c.Head.CID, c.Block, now),
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return aid, did
}

// testStore is a store on a fresh database with one tenant.
func testStore(t testing.TB, cfg Config) (*Store, db.Schema) {
	t.Helper()
	d := dbtest.New(t)
	return newStore(t, d, newKeys(t), cfg), dbtest.Tenant(t, d)
}

// post is a small record, different for each text.
func post(text string) []byte {
	b := dagcbor.AppendMapHead(nil, 3)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "text"), text)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "$type"), "app.bsky.feed.post")
	return dagcbor.AppendText(dagcbor.AppendText(b, "createdAt"), "2026-01-01T00:00:00.000Z")
}

// follow is a follow's record.
func follow(did string) []byte {
	b := dagcbor.AppendMapHead(nil, 3)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "$type"), "app.bsky.graph.follow")
	b = dagcbor.AppendText(dagcbor.AppendText(b, "subject"), did)
	return dagcbor.AppendText(dagcbor.AppendText(b, "createdAt"), "2026-01-01T00:00:00.000Z")
}

// writes is a build function that always wants the same.
func writes(w ...repo.Write) func(*View) ([]repo.Write, error) {
	return func(*View) ([]repo.Write, error) { return w, nil }
}

func create(path string, record []byte) repo.Write {
	return repo.Write{Action: repo.ActionCreate, Path: path, Record: record}
}

func update(path string, record []byte) repo.Write {
	return repo.Write{Action: repo.ActionUpdate, Path: path, Record: record}
}

func del(path string) repo.Write { return repo.Write{Action: repo.ActionDelete, Path: path} }

func mustWrite(t testing.TB, s *Store, schema db.Schema, aid int64, w ...repo.Write) Result {
	t.Helper()
	res, err := s.Write(t.Context(), schema, aid, Options{}, writes(w...))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// execSQL runs one statement beside the store.
func execSQL(t testing.TB, url, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// queryRow reads one value beside the store.
func queryRow(t testing.TB, url, sql string, to any, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(to); err != nil {
		t.Fatal(err)
	}
}
