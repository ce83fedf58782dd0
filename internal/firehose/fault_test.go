package firehose_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// TestPostgresKilled: the server is ended with SIGKILL twice in mid-write and comes back.
func TestPostgresKilled(t *testing.T) {
	server := dbtest.Durable(t)
	d, keys := dbtest.Open(t, server.URL()), newKeys(t)
	if err := d.MigrateControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &rig{schema: dbtest.Tenant(t, d), book: newBook()}
	for range 3 {
		r.aids = append(r.aids, newRepo(t, d, keys, r.schema))
	}
	r.a = newNode(t, d, keys, time.Now, firehose.Config{})
	r.b = newNode(t, dbtest.Open(t, server.URL()), keys, time.Now, firehose.Config{})
	rnd := random(t, 21)
	stop, end := make(chan struct{}), atomic.Int64{}
	var writers, readers sync.WaitGroup
	r.a.load(t, &writers, stop, r.schema, r.aids, r.book, 3, 4)
	r.b.load(t, &writers, stop, r.schema, r.aids, r.book, 3, 5)
	var a, b []seen
	readers.Go(func() { a = r.a.follow(t, r.schema, 0, 0, end.Load) })
	readers.Go(func() { b = r.b.follow(t, r.schema, 0, 9, end.Load) })
	for range 2 {
		time.Sleep(time.Duration(300+rnd.IntN(500)) * time.Millisecond)
		server.Kill()
		time.Sleep(time.Duration(rnd.IntN(200)) * time.Millisecond)
		server.Start()
	}
	booked := r.book.len()
	for began := time.Now(); r.book.len() < booked+50; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("nothing is written after the restart")
		}
	}
	close(stop)
	writers.Wait()
	end.Store(r.last(t))
	readers.Wait()
	all := audit(t, r.a, r.schema, r.book)
	same(t, "subscriber on a", a, all, 0)
	same(t, "subscriber on b", b, all, 0)
}

// TestAnswersLost: connections die after a group of commits was sent and before its answer.
func TestAnswersLost(t *testing.T) {
	url, keys := dbtest.URL(t), newKeys(t)
	d := dbtest.Open(t, url)
	writes, reads := dbtest.NewProxy(t, url), dbtest.NewProxy(t, url)
	r := &rig{schema: dbtest.Tenant(t, d), book: newBook()}
	for range 4 {
		r.aids = append(r.aids, newRepo(t, d, keys, r.schema))
	}
	r.a = newNodeOn(t, dbtest.Open(t, writes.URL()), dbtest.Open(t, reads.URL()), keys, time.Now, firehose.Config{})
	r.b = newNode(t, d, keys, time.Now, firehose.Config{})
	rnd := random(t, 23)
	stop, end := make(chan struct{}), atomic.Int64{}
	var writers, readers sync.WaitGroup
	r.a.load(t, &writers, stop, r.schema, r.aids, r.book, 4, 6)
	r.b.load(t, &writers, stop, r.schema, r.aids, r.book, 2, 7)
	var a, b []seen
	readers.Go(func() { a = r.a.follow(t, r.schema, 0, 0, end.Load) })
	readers.Go(func() { b = r.b.follow(t, r.schema, 0, 0, end.Load) })
	for i := range 16 {
		time.Sleep(time.Duration(40+rnd.IntN(60)) * time.Millisecond)
		if i%4 == 3 {
			reads.CutAll()
		} else {
			writes.CutAfter(1 + rnd.IntN(4))
		}
	}
	time.Sleep(100 * time.Millisecond)
	for more := 0; writes.Disarm() < 8; more++ { // a slow machine sends less in the time
		if more == 1000 {
			t.Error("too few answers were lost")
			break
		}
		writes.CutAfter(1)
		time.Sleep(20 * time.Millisecond)
	}
	close(stop)
	writers.Wait()
	end.Store(r.last(t))
	readers.Wait()
	all := audit(t, r.b, r.schema, r.book)
	if r.book.unsure > 0 {
		t.Error("writes stayed unknown although the database answers:", r.book.unsure)
	}
	same(t, "subscriber on a", a, all, 0)
	same(t, "subscriber on b", b, all, 0)
}

// A node in a process of its own, for TestNodeKilled. It writes until it is killed and prints each acknowledgement.
const childEnv = "LOCUS_FIREHOSE_TEST_NODE"

type childTask struct {
	URL, Master, Schema string
	AIDs                []int64
	Stream              uint64
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := runChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func runChild(text string) error {
	var task childTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		return err
	}
	master, err := keyring.LoadMaster(task.Master)
	if err != nil {
		return err
	}
	keys, err := keyring.New(master, 0)
	if err != nil {
		return err
	}
	schema, err := db.ParseSchema(task.Schema)
	if err != nil {
		return err
	}
	ctx := context.Background()
	d, err := db.Open(ctx, db.Config{URL: task.URL})
	if err != nil {
		return err
	}
	n := &node{db: d, hub: firehose.NewHub()}
	n.repos = repodb.New(d, keys, time.Now, slog.New(slog.DiscardHandler), repodb.Config{Hub: n.hub})
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 4 {
		rnd := rand.New(rand.NewPCG(*seed, task.Stream*100+uint64(w)))
		wg.Go(func() {
			b := newBook()
			for {
				if n.write(ctx, rnd, schema, task.AIDs, b) != nil {
					return
				}
				mu.Lock()
				for seq, rev := range b.revs {
					fmt.Printf("%d %d\n", seq, int64(rev)) // acknowledged, as far as the world can know
					delete(b.revs, seq)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return io.ErrUnexpectedEOF
}

// TestNodeKilled: processes that write are ended with SIGKILL, one after the other; another node goes on writing to the
// same repositories.
func TestNodeKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master")
	master, err := keyring.LoadOrCreateMaster(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.New(master, 0)
	if err != nil {
		t.Fatal(err)
	}
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	r := &rig{schema: dbtest.Tenant(t, d), book: newBook()}
	for range 3 {
		r.aids = append(r.aids, newRepo(t, d, keys, r.schema))
	}
	r.a = newNode(t, d, keys, time.Now, firehose.Config{})
	stop, end := make(chan struct{}), atomic.Int64{}
	var writers, readers sync.WaitGroup
	var a []seen
	readers.Go(func() { a = r.a.follow(t, r.schema, 0, 0, end.Load) })
	r.a.load(t, &writers, stop, r.schema, r.aids, r.book, 2, 8)
	rnd := random(t, 25)
	for i := range 3 {
		task, err := json.Marshal(childTask{URL: url, Master: path, Schema: r.schema.String(), AIDs: r.aids, Stream: uint64(30 + i)})
		if err != nil {
			t.Fatal(err)
		}
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+string(task))
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		after := 60 + rnd.IntN(150)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			seq, rev, ok := strings.Cut(lines.Text(), " ")
			s, err1 := strconv.ParseInt(seq, 10, 64)
			v, err2 := strconv.ParseInt(rev, 10, 64)
			if !ok || err1 != nil || err2 != nil {
				continue // cut off in mid-line: nobody was told
			}
			r.book.mu.Lock()
			r.book.revs[s] = repo.TID(v)
			r.book.mu.Unlock()
			if n == after {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait() // killed
	}
	booked := r.book.len()
	for began := time.Now(); r.book.len() < booked+20; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("the other node writes no more")
		}
	}
	close(stop)
	writers.Wait()
	// What a killed node had sent may still be on its way in the server.
	time.Sleep(200 * time.Millisecond)
	end.Store(r.last(t))
	readers.Wait()
	all := audit(t, r.a, r.schema, r.book)
	same(t, "subscriber", a, all, 0)
}
