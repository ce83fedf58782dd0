package blob

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db/dbtest"
)

// TestRoundTrips counts them, when everything is warm: an upload costs one. A record without blobs costs one, as if
// there were none; one that names a blob costs one more, which reads whether it is there; so does a download.
func TestRoundTrips(t *testing.T) {
	url := dbtest.URL(t)
	p := dbtest.NewProxy(t, url)
	b := bedOn(t, url, dbtest.Open(t, p.URL()), "")
	alice := b.account()
	n := 0
	var last Info
	steps := []struct {
		what string
		want int64
		do   func()
	}{
		{"upload", 1, func() { last = b.upload(alice, random(1000)) }},
		{"record that names a blob", 2, func() { b.mustWrite(alice, fmt.Sprint("with", n), record("x", last)) }},
		{"record without blobs", 1, func() { b.mustWrite(alice, fmt.Sprint("without", n), record("x")) }},
		{"download", 1, func() {
			if _, err := b.read(alice, last.CID); err != nil {
				t.Error(err)
			}
		}},
	}
	dearer := map[string]int64{}
	for n = range 200 {
		for _, s := range steps {
			before := p.Trips()
			s.do()
			got := p.Trips() - before
			if got < s.want {
				t.Errorf("%s: %d round trips, want %d", s.what, got, s.want)
			}
			if n >= 100 {
				dearer[s.what] += got - s.want
			}
		}
	}
	for what, more := range dearer {
		if more > 10 { // a connection that prepares a statement late takes one or two
			t.Errorf("%s: %d round trips too many in 100", what, more)
		}
	}
}

// TestPlansStay: Postgres plans a statement that is called all the time a few times only. Planning UpsertBlobs costs more
// than running it.
func TestPlansStay(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	for i := range 60 {
		info := b.upload(alice, random(1000))
		b.mustWrite(alice, fmt.Sprint("with", i), record("x", info))
		b.mustWrite(alice, fmt.Sprint("without", i), record("x"))
	}
	batch := b.db.Tenant(b.schema).Batch()
	looked := 0
	batch.Queue("SELECT generic_plans, custom_plans, statement FROM pg_prepared_statements /* pds_tenant.actor and others */").Each(func(row pgx.Row) error {
		var generic, custom int
		var statement string
		err := row.Scan(&generic, &custom, &statement)
		if generic+custom < 30 {
			return err
		}
		looked++
		if custom > 10 {
			t.Errorf("planned %d times of %d: %s", custom, generic+custom, statement)
		}
		return err
	})
	if err := batch.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if looked < 5 {
		t.Errorf("only %d statements were called often by this connection", looked)
	}
}
