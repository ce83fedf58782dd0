package db_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// asOwner connects as a tenant's owner.
func asOwner(t testing.TB, server string, s db.Schema, password string) *pgx.Conn {
	t.Helper()
	u, err := url.Parse(dbtest.Where(server, s))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(db.ShareRole(strings.TrimPrefix(u.Path, "/"), s), password)
	c, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// An owner reads what is the tenant's, and nothing else; nothing can be written. It is the same after a migration.
func TestShare(t *testing.T) {
	ctx := t.Context()
	server := dbtest.URL(t)
	d := dbtest.Open(t, server)
	mine, other := dbtest.Tenant(t, d), dbtest.Tenant(t, d)
	t.Cleanup(func() { _ = d.Unshare(context.WithoutCancel(ctx), mine) })
	record := shareRecord(t)
	err := d.Tenant(mine).Tx(ctx, func(q *tenantdb.Queries) error {
		_, err := db.RawTenant(q).Exec(ctx, `WITH a AS (INSERT INTO pds_tenant.actor (aid, did, handle, head_rev, record_count, created_at) VALUES (1, 'did:plc:alice', 'alice.test', 1, 1, $1)),
 c AS (INSERT INTO pds_tenant.account (aid, email, created_at) VALUES (1, 'alice@example.com', $1)),
 l AS (INSERT INTO pds_tenant.record (aid, path, rev, cid, value, indexed_at, link_to) VALUES (1, 'app.bsky.graph.follow/3k', 1, $3, '\xa0', $1, 'did:plc:bob'))
INSERT INTO pds_tenant.record (aid, path, rev, cid, value, indexed_at) VALUES (1, 'app.bsky.feed.post/3k', 1, $3, $2, $1)`, time.Now(), record, shareCID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Share(ctx, mine, "it's a secret"); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at first", "after a migration"} {
		c := asOwner(t, server, mine, "it's a secret")
		var uri, cid, rev string
		var got []byte
		if err := c.QueryRow(ctx, "SELECT uri, cid, rev, record FROM records_json WHERE did = 'did:plc:alice' AND uri LIKE '%/app.bsky.feed.post/%'").Scan(&uri, &cid, &rev, &got); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if uri != "at://did:plc:alice/app.bsky.feed.post/3k" || cid != shareCIDText || rev != "2222222222223" {
			t.Errorf("%s: %s %s %s", when, uri, cid, rev)
		}
		want, err := dagcbor.ToJSON(nil, record)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(anyOf(t, []byte(strings.ReplaceAll(string(want), `\u0000`, "\ufffd"))), anyOf(t, got)); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
		var followers int
		if err := c.QueryRow(ctx, "SELECT count(*) FROM followers WHERE subject = 'did:plc:bob' AND follower = 'did:plc:alice'").Scan(&followers); err != nil || followers != 1 {
			t.Errorf("%s: %d followers: %v", when, followers, err)
		}
		for _, view := range []string{"accounts", "records", "blobs", "blob_uses", "events", "links"} {
			if _, err := c.Exec(ctx, "SELECT * FROM "+view); err != nil {
				t.Errorf("%s: %s: %v", when, view, err)
			}
		}
		_, _ = c.Exec(ctx, "SET default_transaction_read_only = off") // that is not what holds
		for _, sql := range []string{
			"SELECT * FROM " + mine.String() + ".tenant_item", "SELECT * FROM " + mine.String() + ".account", "SELECT * FROM " + mine.String() + ".record",
			"SELECT * FROM " + other.String() + ".actor", "SELECT * FROM control.tenant",
			"DELETE FROM accounts", "INSERT INTO links VALUES ('a', 'b', 'c', 'd')", "UPDATE records SET bytes = 1",
			"CREATE TABLE x (a int)", "CREATE SCHEMA x", "CREATE ROLE x", "COPY accounts TO '/tmp/x'", "SELECT pg_read_file('PG_VERSION')",
		} {
			_, err := c.Exec(ctx, sql)
			if pg := (*pgconn.PgError)(nil); !errors.As(err, &pg) || pg.Code != "42501" && pg.Code != "55000" && pg.Code != "25006" {
				t.Errorf("%s: %s: %v", when, sql, err)
			}
		}
		c.Close(ctx)
		if err := d.Remigrate(ctx, mine); err != nil {
			t.Fatal(err)
		}
	}
	if _, shared, err := d.Shared(ctx, mine); err != nil || !shared {
		t.Errorf("shared %v: %v", shared, err)
	}
	c := asOwner(t, server, mine, "it's a secret")
	if err := d.Unshare(ctx, mine); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("a connection outlived its login")
	}
	if _, shared, err := d.Shared(ctx, mine); err != nil || shared {
		t.Errorf("shared %v: %v", shared, err)
	}
}

const shareCIDText = "bafyreihyrpefhacm6kkp4ql6j6udakdit7g3dmkzfriqfykhjw6cad5lrm"

var shareCID = func() []byte {
	raw, err := dagcbor.FromJSON([]byte(`{"x":{"$link":"`+shareCIDText+`"}}`), dagcbor.Limits{})
	if err != nil {
		panic(err)
	}
	return raw[len(raw)-36:]
}()

// shareRecord has everything that a record may have.
func shareRecord(t testing.TB) []byte {
	t.Helper()
	text := fmt.Sprintf(`{"$type":"app.bsky.feed.post","text":"Grüße \"quoted\" \\ \n \u0000 👋","n":[0,23,24,255,256,65536,4294967296,9007199254740991,-1,-25,-9007199254740991],
"deep":{"list":[[],{},[[{"x":null}]],true,false]},"link":{"$link":%q},"bytes":{"$bytes":"AAH+/w"},"none":{"$bytes":""},"long":%q,"empty":""}`, shareCIDText, strings.Repeat("x", 300))
	raw, err := dagcbor.FromJSON([]byte(text), dagcbor.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func anyOf(t testing.TB, text []byte) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// What is no block is null, and no error that would end a whole query.
func TestShareDamaged(t *testing.T) {
	ctx := t.Context()
	server := dbtest.URL(t)
	d := dbtest.Open(t, server)
	s := dbtest.Tenant(t, d)
	if _, err := d.Share(ctx, s, "x"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Unshare(context.WithoutCancel(ctx), s) })
	c := asOwner(t, server, s, "x")
	whole := shareRecord(t)
	for n := range len(whole) {
		var got []byte
		if err := c.QueryRow(ctx, "SELECT record_json($1::bytea)", whole[:n]).Scan(&got); err != nil || got != nil {
			t.Fatalf("%d bytes: %s %v", n, got, err)
		}
	}
}

// Every query of docs/sql.md runs.
func TestShareQueries(t *testing.T) {
	ctx := t.Context()
	page, err := os.ReadFile("../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	server := dbtest.URL(t)
	d := dbtest.Open(t, server)
	s := dbtest.Tenant(t, d)
	if _, err := d.Share(ctx, s, "x"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Unshare(context.WithoutCancel(ctx), s) })
	c := asOwner(t, server, s, "x")
	queries := strings.Split(string(page), "```sql\n")[1:]
	if len(queries) != 10 {
		t.Errorf("%d queries", len(queries))
	}
	for _, q := range queries {
		q, _, _ = strings.Cut(q, "```")
		if _, err := c.Exec(ctx, q); err != nil {
			t.Errorf("%s%v", q, err)
		}
	}
}

// A statement that outlives its time is ended, whatever its login says.
func TestShareLong(t *testing.T) {
	ctx := t.Context()
	server := dbtest.URL(t)
	d := dbtest.Open(t, server)
	s := dbtest.Tenant(t, d)
	if _, err := d.Share(ctx, s, "x"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Unshare(context.WithoutCancel(ctx), s) })
	c := asOwner(t, server, s, "x")
	if _, err := c.Exec(ctx, "SET statement_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { _, err := c.Exec(ctx, "SELECT pg_sleep(3600)"); ended <- err }()
	for over := int64(0); over == 0; {
		var err error
		if over, err = d.EndShared(ctx, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; err == nil {
		t.Error("it was not ended")
	}
}

// BenchmarkRecordJSON is what 100 records cost that are read as JSON, beside such that are not.
func BenchmarkRecordJSON(b *testing.B) {
	ctx := b.Context()
	server := dbtest.URL(b)
	d := dbtest.Open(b, server)
	s := dbtest.Tenant(b, d)
	if _, err := d.Share(ctx, s, "x"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Unshare(context.WithoutCancel(ctx), s) })
	c := asOwner(b, server, s, "x")
	post, err := dagcbor.FromJSON([]byte(`{"$type":"app.bsky.feed.post","text":"Just some words that somebody wrote today, as people do.","langs":["en"],"createdAt":"2026-01-01T00:00:00.000Z",
"reply":{"root":{"uri":"at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/3kaaaaaaaaaa2","cid":"`+shareCIDText+`"},"parent":{"uri":"at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/3kaaaaaaaaaa2","cid":"`+shareCIDText+`"}}}`), dagcbor.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	for _, form := range []string{"octet_length", "record_json"} {
		b.Run(form, func(b *testing.B) {
			for b.Loop() {
				var n int64
				// CASE keeps Postgres from finding out that all are the same.
				err := c.QueryRow(ctx, "SELECT count("+form+"(CASE WHEN i > 0 THEN $1::bytea END)) FROM generate_series(1, 100) i", post).Scan(&n)
				if err != nil || n != 100 {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100, "µs/record")
		})
	}
}

// Two databases of one server give a tenant of the same name two logins, and a login of an older version gets its new name
// with its next password: in the one database alone where the other has rights for it, too.
func TestShareRoles(t *testing.T) {
	dbtest.Plain(t, "no worker has a login of an older version")
	ctx := t.Context()
	server, elsewhere := dbtest.URL(t), dbtest.URL(t)
	d := dbtest.Open(t, server)
	s := dbtest.Tenant(t, d)
	name := func(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
	clean := func(url string) string { url, _, _ = strings.Cut(url, "?"); return url }
	mine, theirs := db.ShareRole(name(clean(server)), s), db.ShareRole(name(clean(elsewhere)), s)
	if mine == theirs || len(mine) > 63 || len(db.ShareRole("x", db.Schema{})) > 63 {
		t.Errorf("%s, %s", mine, theirs)
	}
	old := db.ShareRoleBefore(s)
	exec := func(url, sql string) {
		t.Helper()
		c, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(ctx)
		if _, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	there := func(role string) (yes bool) {
		t.Helper()
		c, err := pgx.Connect(ctx, server)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(ctx)
		if err := c.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role).Scan(&yes); err != nil {
			t.Fatal(err)
		}
		return yes
	}
	t.Cleanup(func() { _ = d.Unshare(context.WithoutCancel(ctx), s) })

	exec(server, "CREATE ROLE "+old+" LOGIN PASSWORD 'before'; CREATE SCHEMA sql_"+s.String()+"; GRANT USAGE ON SCHEMA sql_"+s.String()+" TO "+old)
	if role, yes, err := d.Shared(ctx, s); err != nil || !yes || role != old {
		t.Errorf("%s %v %v", role, yes, err)
	}
	if err := d.Remigrate(ctx, s); err != nil { // a migration leaves it as it is
		t.Fatal(err)
	}
	if role, err := d.Share(ctx, s, "now"); err != nil || role != mine || there(old) {
		t.Errorf("%s %v, the old one is there: %v", role, err, there(old))
	}
	asOwner(t, server, s, "now")
	if err := d.Unshare(ctx, s); err != nil || there(mine) {
		t.Fatal(err)
	}

	exec(server, "CREATE ROLE "+old+" LOGIN PASSWORD 'before'")
	exec(elsewhere, "CREATE SCHEMA mine; GRANT USAGE ON SCHEMA mine TO "+old)
	t.Cleanup(func() {
		if c, err := pgx.Connect(context.Background(), elsewhere); err == nil {
			_, _ = c.Exec(context.Background(), "DROP OWNED BY "+old+"; DROP ROLE "+old, pgx.QueryExecModeSimpleProtocol)
			_ = c.Close(context.Background())
		}
	})
	if role, err := d.Share(ctx, s, "now"); err != nil || role != mine || !there(old) {
		t.Errorf("%s %v, the other deployment's is there: %v", role, err, there(old))
	}
	if err := d.Unshare(ctx, s); err != nil || there(mine) || !there(old) {
		t.Errorf("%v: mine %v, theirs %v", err, there(mine), there(old))
	}
}

// A process that dies in a migration, wherever that is, leaves the owner's login to the next one: it reads again.
func TestShareKilled(t *testing.T) {
	dbtest.Plain(t, "the process that dies reaches the database through a proxy")
	ctx, server := t.Context(), dbtest.URL(t)
	d := dbtest.Open(t, server)
	mine := dbtest.Tenant(t, d)
	t.Cleanup(func() { _ = d.Unshare(context.WithoutCancel(ctx), mine) })
	if _, err := d.Share(ctx, mine, "it's a secret"); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	newest, err := db.LatestTenantVersion()
	if err != nil {
		t.Fatal(err)
	}
	deaths := 0
	for n, died := 1, true; died; n++ {
		// The newest migration runs once more.
		if _, err := conn.Exec(ctx, "DELETE FROM "+mine.String()+".goose_db_version WHERE version_id = $1", newest); err != nil {
			t.Fatal(err)
		}
		proxy := dbtest.NewProxy(t, server)
		mortal := dbtest.Open(t, proxy.URL())
		if n%2 == 0 {
			proxy.DieBefore(n)
		} else {
			proxy.DieAfter(n)
		}
		ended := make(chan error, 1)
		go func() { ended <- mortal.MigrateTenant(ctx, mine) }()
		for alive := true; alive && proxy.Cuts() == 0; {
			select {
			case err := <-ended:
				ended <- err
				alive = false
			case <-time.After(time.Millisecond):
			}
		}
		mortal.Close()
		err := <-ended
		if died = proxy.Disarm() > 0; died {
			deaths++
		} else if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		if err := d.MigrateTenant(ctx, mine); err != nil {
			t.Fatalf("killed at %d: %v", n, err)
		}
		owner := asOwner(t, server, mine, "it's a secret")
		var rows int
		if err := owner.QueryRow(ctx, "SELECT count(*) FROM records_json").Scan(&rows); err != nil {
			t.Fatalf("killed at %d: %v", n, err)
		}
		_ = owner.Close(ctx)
	}
	if deaths < 10 {
		t.Errorf("killed at %d statements only", deaths)
	}
}
