package db_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

// A migration that others cannot work beside waits until they are gone. Programs that know it, or are somebody else's, are
// in nobody's way.
func TestAlone(t *testing.T) {
	ctx := t.Context()
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	migrations := []schema.Migration{{Version: 1}, {Version: 2, Alone: true}, {Version: 3}}
	connect := func(name string) (leave func()) {
		cfg, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		cfg.RuntimeParams["application_name"] = name
		c, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			c.Close(context.Background())
			for { // Postgres forgets it a moment later
				var n int
				if err := d.Tenant(dbtest.Tenant(t, d)).Tx(ctx, func(q *tenantdb.Queries) error {
					return db.RawTenant(q).QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity, (SELECT FROM pds_tenant.stream_head) x WHERE application_name = $1 AND datname = current_database()", name).Scan(&n)
				}); err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					return
				}
			}
		}
	}
	for _, name := range []string{"psql", "locust 1/1", "locus 1/2", "locus 9/9"} {
		leave := connect(name)
		if err := d.Alone(ctx, 1, migrations); err != nil {
			t.Errorf("beside %q: %v", name, err)
		}
		leave()
	}
	for _, name := range []string{"locus", "locus 9/1"} {
		leave := connect(name)
		if err := d.Alone(ctx, 1, migrations); !errors.Is(err, db.ErrBeside) || !strings.Contains(err.Error(), name) {
			t.Errorf("beside %q: %v", name, err)
		}
		for _, have := range []int64{-1, 2, 3} {
			if err := d.Alone(ctx, have, migrations); err != nil {
				t.Errorf("beside %q, at %d: %v", name, have, err)
			}
		}
		leave()
		if err := d.Alone(ctx, 1, migrations); err != nil {
			t.Errorf("%q is gone: %v", name, err)
		}
	}
}
