package firehose_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/repodb"
	"github.com/jackc/pgx/v5"
)

// seed makes what writers and subscribers choose repeatable; what the scheduler does is not.
var seed = flag.Uint64("firehose.seed", 1, "seed of the random choices")

func random(t testing.TB, stream uint64) *rand.Rand {
	t.Logf("seed %d/%d", *seed, stream)
	return rand.New(rand.NewPCG(*seed, stream))
}

// node is one server process as far as writing and streams go. Nodes share nothing but the database.
type node struct {
	db    *db.DB
	hub   *firehose.Hub
	repos *repodb.Store
	tails *firehose.Tails
	log   *logged
}

func newNode(t testing.TB, d *db.DB, keys *keyring.Keyring, now func() time.Time, cfg firehose.Config) *node {
	t.Helper()
	return newNodeOn(t, d, d, keys, now, cfg)
}

// newNodeOn is a node whose streams are read on other connections.
func newNodeOn(t testing.TB, d, reads *db.DB, keys *keyring.Keyring, now func() time.Time, cfg firehose.Config) *node {
	t.Helper()
	n := &node{db: d, hub: firehose.NewHub(), log: &logged{t: t}}
	log := slog.New(slog.NewTextHandler(n.log, nil))
	n.repos = repodb.New(d, keys, now, log, repodb.Config{Hub: n.hub})
	n.tails = firehose.NewTails(reads, n.hub, now, log, cfg)
	t.Cleanup(func() {
		n.tails.Close()
		n.repos.Close()
	})
	return n
}

// logged keeps what was logged.
type logged struct {
	t    testing.TB
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), s)
}

func newKeys(t testing.TB) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// newRepo makes an account with its four events.
func newRepo(t testing.TB, d *db.DB, keys *keyring.Keyring, schema db.Schema) int64 {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	aid, err := d.Tenant(schema).Q().LockNextAID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	did, handle := fmt.Sprintf("did:plc:%024d", aid), fmt.Sprintf("user%d.test", aid)
	signer, err := keys.GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := keys.SealSigningKey(schema.String(), aid, signer)
	if err != nil {
		t.Fatal(err)
	}
	err = d.Tenant(schema).Tx(ctx, func(q *tenantdb.Queries) error {
		err := q.InsertSignupActor(ctx, tenantdb.InsertSignupActorParams{AID: aid, DID: did, Handle: handle, CreatingSince: now, CreatedAt: now})
		if err != nil {
			return err
		}
		if err := q.InsertSigningKey(ctx, tenantdb.InsertSigningKeyParams{AID: aid, Sealed: sealed, Public: signer.PublicDIDKey(), CreatedAt: now}); err != nil {
			return err
		}
		c, err := repodb.InsertRepo(ctx, q, aid, did, signer, now)
		if err != nil {
			return err
		}
		if _, err := q.UpdateActorCreated(ctx, tenantdb.UpdateActorCreatedParams{AID: aid, CreatingSince: now}); err != nil {
			return err
		}
		_, err = firehose.Append(ctx, q,
			firehose.NewIdentity(aid, did, handle, now), firehose.NewAccount(aid, did, true, "", now),
			firehose.NewCommit(aid, c, now), firehose.NewSync(aid, did, c.Head.Rev, c.Head.CID, c.Block, now))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return aid
}

func record(text string) []byte {
	b := dagcbor.AppendMapHead(nil, 3)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "text"), text)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "$type"), "app.bsky.feed.post")
	return dagcbor.AppendText(dagcbor.AppendText(b, "createdAt"), "2026-01-01T00:00:00.000Z")
}

// book is what was acknowledged: seq → rev.
type book struct {
	mu     sync.Mutex
	revs   map[int64]repo.TID
	unsure int // writes whose outcome nobody was told
}

func newBook() *book { return &book{revs: map[int64]repo.TID{}} }

func (b *book) ack(res repodb.Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.revs[res.Seq] = res.Rev
}

func (b *book) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.revs)
}

// write makes one random change to one of the accounts and books it. The errors it lets pass are those a client would
// be told of.
func (n *node) write(ctx context.Context, rnd *rand.Rand, schema db.Schema, aids []int64, b *book) error {
	aid, many, text := aids[rnd.IntN(len(aids))], rnd.IntN(10) == 0, rnd.Uint64()
	key := func(i int) string { return fmt.Sprintf("app.bsky.feed.post/k%d", (text+uint64(i)*7919)%60) }
	res, err := n.repos.Write(ctx, schema, aid, repodb.Options{}, func(v *repodb.View) ([]repo.Write, error) {
		count := 1
		if many {
			count = 5
		}
		var out []repo.Write
		used := map[string]bool{}
		for i := range count {
			path := key(i)
			if used[path] {
				continue
			}
			used[path] = true
			_, exists, err := v.Get(path)
			switch {
			case err != nil:
				return nil, err
			case exists && text%2 == 0:
				out = append(out, repo.Write{Action: repo.ActionDelete, Path: path})
			case exists:
				out = append(out, repo.Write{Action: repo.ActionUpdate, Path: path, Record: record(fmt.Sprint("new ", text, i))})
			default:
				out = append(out, repo.Write{Action: repo.ActionCreate, Path: path, Record: record(fmt.Sprint(text, i))})
			}
		}
		return out, nil
	})
	switch {
	case err == nil && res.Changed:
		b.ack(res)
	case errors.Is(err, db.ErrUnknownOutcome):
		b.mu.Lock()
		b.unsure++
		n.log.t.Log("unknown outcome:", err)
		b.mu.Unlock()
		return nil
	case errors.Is(err, repodb.ErrContention), db.IsUnavailable(err):
		return nil
	}
	return err
}

// load writes with n writers until stop is closed.
func (n *node) load(t testing.TB, wg *sync.WaitGroup, stop <-chan struct{}, schema db.Schema, aids []int64, b *book, writers int, stream uint64) {
	for w := range writers {
		rnd := rand.New(rand.NewPCG(*seed, stream*100+uint64(w)))
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := n.write(context.Background(), rnd, schema, aids, b); err != nil {
					t.Error("write:", err)
					return
				}
			}
		})
	}
}

// seen is what a subscriber got.
type seen struct {
	seq   int64
	frame []byte
}

// follow subscribes and keeps everything up to the number that last gives, once it is known (0: not yet). It reconnects
// with its cursor whenever the stream ends, and after every reconnect-th event if that is not 0.
func (n *node) follow(t testing.TB, schema db.Schema, cursor int64, reconnect int, last func() int64) []seen {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out []seen
	for {
		sub, err := n.tails.Subscribe(ctx, schema, firehose.From{Seq: cursor, HasSeq: true})
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, firehose.ErrFutureCursor) {
				t.Error("subscribe at", cursor, err)
				return out
			}
			time.Sleep(20 * time.Millisecond) // the database is away
			continue
		}
		got := 0
		for reconnect == 0 || got < reconnect {
			if end := last(); end > 0 && cursor >= end {
				sub.Close()
				return out
			}
			step, stop := context.WithTimeout(ctx, 50*time.Millisecond)
			batch, err := sub.Next(step, nil)
			stop()
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				continue
			}
			if err != nil {
				if ctx.Err() != nil {
					t.Errorf("subscriber stands at %d, end is %d", cursor, last())
					sub.Close()
					return out
				}
				break
			}
			for _, it := range batch {
				if it.Seq <= cursor {
					t.Errorf("event %d behind cursor %d", it.Seq, cursor)
				}
				out = append(out, seen{it.Seq, it.Frame()})
				cursor = it.Seq
				if got++; got == reconnect {
					break // what else the batch has comes again
				}
			}
		}
		sub.Close()
	}
}

// stored reads the whole table.
func stored(t testing.TB, d *db.DB, schema db.Schema) []firehose.Stored {
	t.Helper()
	var out []firehose.Stored
	for after := int64(0); ; {
		page, err := firehose.ListEvents(t.Context(), d.Tenant(schema).Q(), after, 1000, 8<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return out
		}
		out = append(out, page...)
		after = page[len(page)-1].Seq
	}
}

// audit proves the stream: every acknowledged write is in it exactly once, seq, time_us and each repository's rev rise,
// and repodb.Check holds for every repository (since and prevData chain, each commit undone from its own blocks).
func audit(t testing.TB, n *node, schema db.Schema, b *book) []firehose.Stored {
	t.Helper()
	all := stored(t, n.db, schema)
	revs := map[int64]repo.TID{}
	var us int64
	type commit struct {
		aid int64
		rev repo.TID
	}
	commits, bySeq := map[commit]int{}, map[int64]commit{}
	for i := range all {
		e := &all[i]
		before := e.Seq - 1
		if e.Kind == firehose.KindNothing {
			before = int64(e.Rev)
		}
		if i > 0 && before != all[i-1].Seq {
			t.Errorf("event %d follows %d", e.Seq, all[i-1].Seq)
		}
		if e.TimeUS < us+firehose.OpTimes && e.Kind != firehose.KindNothing {
			t.Errorf("event %d: time %d is too near to %d", e.Seq, e.TimeUS, us)
		}
		us = e.TimeUS
		if e.Kind != firehose.KindCommit {
			continue
		}
		if e.Rev <= revs[e.AID] {
			t.Errorf("event %d: rev %s does not rise", e.Seq, e.Rev)
		}
		revs[e.AID] = e.Rev
		commits[commit{e.AID, e.Rev}]++
		bySeq[e.Seq] = commit{e.AID, e.Rev}
	}
	for seq, rev := range b.revs {
		if c := bySeq[seq]; c.rev != rev || commits[c] != 1 {
			t.Errorf("acknowledged write %s (seq %d): there is %s, %d times", rev, seq, c.rev, commits[c])
		}
	}
	err := n.repos.CheckTenant(t.Context(), schema, func(r repodb.Report) error {
		for _, p := range r.Problems {
			t.Errorf("%s: %s", r.DID, p)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d events, %d acknowledged, %d with unknown outcome", len(all), len(b.revs), b.unsure)
	return all
}

// same compares what a subscriber got behind cursor with the table.
func same(t testing.TB, who string, got []seen, all []firehose.Stored, cursor int64) {
	t.Helper()
	i := 0
	for k := range all {
		e := &all[k]
		if e.Seq <= cursor || e.Kind == firehose.KindNothing {
			continue
		}
		if i >= len(got) {
			t.Errorf("%s got %d events, not %d", who, len(got), e.Seq)
			return
		}
		if got[i].seq != e.Seq || !bytes.Equal(got[i].frame, e.AppendFrame(nil)) {
			t.Errorf("%s: event %d came where %d belongs, or is another", who, got[i].seq, e.Seq)
			return
		}
		i++
	}
	if i != len(got) {
		t.Errorf("%s got %d events too many", who, len(got)-i)
	}
}

// execSQL runs one statement beside the nodes.
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
