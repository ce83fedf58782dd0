package db_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
)

func secret(purpose string) tenantdb.InsertSecretParams {
	return tenantdb.InsertSecretParams{Purpose: purpose, Sealed: []byte("sealed"), Public: "", CreatedAt: time.Unix(1, 0)}
}

func queueSecret(b *db.Batch, purpose string) *db.Queued {
	p := secret(purpose)
	return b.Queue(tenantdb.InsertSecret, p.Purpose, p.Sealed, p.Public, p.CreatedAt)
}

// The answer to a write is lost: it happened, and the error says that nobody knows.
func TestUnknownOutcome(t *testing.T) {
	dbtest.Plain(t, "a proxy before one server loses the answer")
	url := dbtest.URL(t)
	p := dbtest.NewProxy(t, url)
	d := dbtest.Open(t, p.URL())
	tenant := d.Tenant(dbtest.Tenant(t, d))
	ctx := t.Context()

	writes := map[string]func(purpose string) error{
		"single statement": func(purpose string) error {
			p.CutAfterText(purpose)
			return tenant.Q().InsertSecret(ctx, secret(purpose))
		},
		"transaction": func(purpose string) error {
			return tenant.Tx(ctx, func(q *tenantdb.Queries) error {
				err := q.InsertSecret(ctx, secret(purpose))
				p.CutAfterText("commit")
				return err
			})
		},
		"batch": func(purpose string) error {
			b := tenant.Batch()
			queueSecret(b, purpose+"-1")
			queueSecret(b, purpose)
			p.CutAfterText(purpose + "-1")
			return b.Send(ctx)
		},
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			for i := range 3 { // the first prepares statements, later ones do not
				purpose := fmt.Sprintf("%s %d", name, i)
				err := write(purpose)
				if !errors.Is(err, db.ErrUnknownOutcome) || db.IsUnavailable(err) {
					t.Errorf("%s: %v", purpose, err)
				}
				if _, err := tenant.Q().GetSecret(ctx, purpose); err != nil {
					t.Errorf("%s did not happen: %v", purpose, err)
				}
				// The connection is replaced without anybody's help.
				if err := tenant.Q().InsertSecret(ctx, secret(purpose+" after")); err != nil {
					t.Error(err)
				}
			}
		})
	}

	t.Run("inside a transaction nothing happened", func(t *testing.T) {
		err := tenant.Tx(ctx, func(q *tenantdb.Queries) error {
			p.CutAfterText("inside")
			return q.InsertSecret(ctx, secret("inside"))
		})
		if !db.IsUnavailable(err) || errors.Is(err, db.ErrUnknownOutcome) {
			t.Errorf("%v", err)
		}
		if _, err := tenant.Q().GetSecret(ctx, "inside"); !db.IsNoRows(err) {
			t.Errorf("it happened: %v", err)
		}
	})
	t.Run("a read is tried again", func(t *testing.T) {
		p.CutAfterText("wanted")
		if _, err := tenant.Q().GetSecret(ctx, "wanted"); !db.IsNoRows(err) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a canceled write", func(t *testing.T) {
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		done := make(chan error, 1)
		err := tenant.Tx(ctx, func(q *tenantdb.Queries) error { // holds the row that the other waits for
			if _, err := q.LockNextAID(ctx); err != nil {
				return err
			}
			_, err := tenant.Q().LockNextAID(short)
			done <- err
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, db.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// Connections that died while idle cost no request: neither reads nor writes, in any form.
func TestDeadIdleConnections(t *testing.T) {
	dbtest.Plain(t, "a proxy before one server cuts lines")
	url := dbtest.URL(t)
	p := dbtest.NewProxy(t, url)
	d := dbtest.Open(t, p.URL())
	tenant := d.Tenant(dbtest.Tenant(t, d))
	ctx := t.Context()
	for i := range 5 {
		warm(t, tenant)
		p.CutAll()
		time.Sleep(20 * time.Millisecond)
		purpose := fmt.Sprint("p", i)
		var err error
		switch i {
		case 0:
			_, err = tenant.Q().GetLastSeq(ctx)
		case 1:
			err = tenant.Q().InsertSecret(ctx, secret(purpose))
		case 2:
			err = tenant.Tx(ctx, func(q *tenantdb.Queries) error { return q.InsertSecret(ctx, secret(purpose)) })
		case 3:
			b := tenant.Batch()
			queueSecret(b, purpose)
			err = b.Send(ctx)
		case 4:
			err = tenant.ReadTx(ctx, func(tx *db.ReadTx) error { _, err := tx.Q().GetLastSeq(ctx); return err })
		}
		if err != nil {
			t.Errorf("case %d: %v", i, err)
		}
	}
}

// warm opens several connections and prepares statements on them.
func warm(t *testing.T, tenant *db.Tenant) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			err := tenant.Tx(t.Context(), func(q *tenantdb.Queries) error {
				if _, err := q.GetLastSeq(t.Context()); err != nil {
					return err
				}
				time.Sleep(5 * time.Millisecond)
				return q.InsertSecret(t.Context(), secret(fmt.Sprint("warm", i)))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// The server is killed in the middle of writes, twice. What was acknowledged is there afterwards, what was refused is
// not, errors say which, and the same DB goes on by itself.
func TestServerKilled(t *testing.T) {
	dbtest.Plain(t, "it kills a server of its own")
	server := dbtest.Durable(t)
	d := dbtest.Open(t, server.URL())
	if err := d.MigrateControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	tenant := d.Tenant(dbtest.Tenant(t, d))
	ctx := t.Context()

	var acknowledged, refused sync.Map
	var unknown, stop atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; stop.Load() == 0; i++ {
				purpose := fmt.Sprintf("w%d-%d", w, i)
				var err error
				switch i % 3 {
				case 0:
					err = tenant.Q().InsertSecret(ctx, secret(purpose))
				case 1:
					err = tenant.Tx(ctx, func(q *tenantdb.Queries) error { return q.InsertSecret(ctx, secret(purpose)) })
				case 2:
					b := tenant.Batch()
					queueSecret(b, purpose)
					b.Queue(tenantdb.LockNextAID)
					err = b.Send(ctx)
				}
				switch {
				case err == nil:
					acknowledged.Store(purpose, true)
				case errors.Is(err, db.ErrUnknownOutcome):
					unknown.Add(1)
				case db.IsUnavailable(err):
					refused.Store(purpose, true)
					time.Sleep(5 * time.Millisecond)
				default:
					t.Errorf("%s: unclassified: %v", purpose, err)
				}
			}
		})
	}
	for range 2 {
		time.Sleep(300 * time.Millisecond)
		server.Kill()
		time.Sleep(100 * time.Millisecond)
		if err := d.Ping(ctx); !db.IsUnavailable(err) {
			t.Errorf("ping of a dead server: %v", err)
		}
		server.Start()
	}
	time.Sleep(300 * time.Millisecond)
	stop.Store(1)
	wg.Wait()
	n, r := 0, 0
	acknowledged.Range(func(k, _ any) bool {
		n++
		if _, err := tenant.Q().GetSecret(ctx, k.(string)); err != nil {
			t.Errorf("%v was acknowledged and is lost: %v", k, err)
		}
		return true
	})
	refused.Range(func(k, _ any) bool {
		r++
		if _, err := tenant.Q().GetSecret(ctx, k.(string)); !db.IsNoRows(err) {
			t.Errorf("%v was refused and happened: %v", k, err)
		}
		return true
	})
	t.Logf("%d acknowledged, %d refused, %d unknown", n, r, unknown.Load())
}

// A database that is not there is waited for, and the message says what and where, without the password.
func TestOpenDown(t *testing.T) {
	cfg := db.Config{URL: "postgres://someone:hunter2@127.0.0.1:1/locus", StartTimeout: 300 * time.Millisecond}
	started := time.Now()
	_, err := db.Open(t.Context(), cfg)
	if !db.IsUnavailable(err) || time.Since(started) < 90*time.Millisecond {
		t.Errorf("after %s: %v", time.Since(started), err)
	}
	for _, want := range []string{"locus", "127.0.0.1", "port 1", "refused"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	for _, url := range []string{cfg.URL, "postgres://someone:hunter2@127.0.0.1:port/locus", "postgres://someone:hunter2@[::1", "host=x password=hunter2 port=y"} {
		_, err := db.Open(t.Context(), db.Config{URL: url, StartTimeout: -1})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// It comes up while we wait.
func TestOpenWaits(t *testing.T) {
	dbtest.Plain(t, "a server of its own comes up late")
	p := dbtest.NewProxy(t, dbtest.URL(t))
	p.Down(true)
	time.AfterFunc(400*time.Millisecond, func() { p.Down(false) })
	d, err := db.Open(t.Context(), db.Config{URL: p.URL(), StartTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}

// Waiting does not help against a wrong name or encoding.
func TestOpenRefused(t *testing.T) {
	url := dbtest.EmptyURL(t)
	for what, bad := range map[string]string{
		"does not exist": strings.Replace(url, "/test_", "/missing_", 1),
		"SQL_ASCII":      dbtest.ASCIIURL(t),
	} {
		started := time.Now()
		_, err := db.Open(t.Context(), db.Config{URL: bad, StartTimeout: time.Minute})
		if err == nil || !strings.Contains(err.Error(), what) || time.Since(started) > 40*time.Second { // waiting would take a minute
			t.Errorf("%s: after %s: %v", what, time.Since(started), err)
		}
	}
	if _, err := db.Open(t.Context(), db.Config{}); err == nil {
		t.Error("no URL")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := db.Open(ctx, db.Config{URL: "postgres://x@127.0.0.1:1/y"})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("canceled: %v", err)
	}
}
