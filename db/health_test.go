package db_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
)

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestBlackHole: a network that swallows everything makes each way of asking wait a bounded time, whatever the caller's
// own patience. One line says that it began, one that it is over and how much was refused.
func TestBlackHole(t *testing.T) {
	dbtest.Plain(t, "a proxy before one server swallows everything")
	url := dbtest.URL(t)
	p := dbtest.NewProxy(t, url)
	log := &lines{}
	d, err := db.Open(t.Context(), db.Config{URL: p.URL() + "&connect_timeout=1", AnswerTimeout: 300 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil)), Sizes: db.Sizes{PoolConns: 20, SubPools: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	tenant := d.Tenant(dbtest.Tenant(t, d))
	ctx := context.WithoutCancel(t.Context())
	ways := map[string]func(i string) error{
		"read": func(string) error { _, err := tenant.Q().GetLastSeq(ctx); return err },
		"rows": func(string) error {
			_, err := tenant.Q().ListRepoHeads(ctx, tenantdb.ListRepoHeadsParams{MaxRows: 5})
			return err
		},
		"statement": func(i string) error { return tenant.Q().InsertSecret(ctx, secret(i)) },
		"transaction": func(i string) error {
			return tenant.Tx(ctx, func(q *tenantdb.Queries) error { return q.InsertSecret(ctx, secret(i)) })
		},
		"batch": func(i string) error {
			b := tenant.Batch()
			queueSecret(b, i)
			return b.Send(ctx)
		},
		"ping": func(string) error { return d.Ping(ctx) },
	}
	all := func(round string, check func(name string, err error, took time.Duration)) {
		var wg sync.WaitGroup
		for name, way := range ways {
			wg.Go(func() {
				began := time.Now()
				err := way(round + name)
				check(name, err, time.Since(began))
			})
		}
		wg.Wait()
	}
	all("before", func(name string, err error, _ time.Duration) {
		if err != nil {
			t.Error(name, err)
		}
	})
	p.BlackHole(true)
	for _, round := range []string{"first", "second"} { // connections that are there, then new ones
		all(round, func(name string, err error, took time.Duration) {
			if !db.IsUnavailable(err) && !errors.Is(err, db.ErrUnknownOutcome) {
				t.Errorf("%s: %v", name, err)
			}
			if took > time.Minute { // the statement itself would wait for good
				t.Errorf("%s was refused after %v", name, took)
			}
		})
	}
	p.BlackHole(false)
	time.Sleep(1100 * time.Millisecond) // calm
	all("after", func(name string, err error, _ time.Duration) {
		if err != nil {
			t.Error(name, err)
		}
	})
	text := log.String()
	for _, line := range []string{"the database does not answer", "the database answers again"} {
		if strings.Count(text, line) != 1 {
			t.Errorf("%q is in the log %d times:\n%s", line, strings.Count(text, line), text)
		}
	}
	if n := strings.Count(text, "\n"); n > 4 {
		t.Errorf("%d lines for one outage:\n%s", n, text)
	}
}
