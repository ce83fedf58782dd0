package db_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
)

// walled is a database whose tenants have roles, straight and through PgBouncer.
func walled(t *testing.T, test func(t *testing.T, url string, d *db.DB)) {
	t.Run("straight", func(t *testing.T) {
		url := dbtest.URL(t)
		test(t, url, openWithRoles(t, url))
	})
	t.Run("PgBouncer", func(t *testing.T) {
		dbtest.Plain(t, "PgBouncer stands before one server; before a worker it is TestCitusThroughPgBouncer")
		url := dbtest.URL(t)
		test(t, url, openWithRoles(t, dbtest.NewBouncer(t, url, 0).URL))
	})
}

// ways are all ways in which a statement runs in a tenant's name.
var ways = map[string]func(ctx context.Context, tenant *db.Tenant, sql string) error{
	"row": func(ctx context.Context, tenant *db.Tenant, sql string) error {
		var n int
		return db.RawTenant(tenant.Q()).QueryRow(ctx, sql).Scan(&n)
	},
	"rows": func(ctx context.Context, tenant *db.Tenant, sql string) error {
		rows, err := db.RawTenant(tenant.Q()).Query(ctx, sql)
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		return rows.Err()
	},
	"exec": func(ctx context.Context, tenant *db.Tenant, sql string) error {
		_, err := db.RawTenant(tenant.Q()).Exec(ctx, sql)
		return err
	},
	"transaction": func(ctx context.Context, tenant *db.Tenant, sql string) error {
		return tenant.Tx(ctx, func(q *tenantdb.Queries) error {
			_, err := db.RawTenant(q).Exec(ctx, sql)
			return err
		})
	},
	"batch": func(ctx context.Context, tenant *db.Tenant, sql string) error {
		b := tenant.Batch()
		b.Queue(sql)
		return b.Send(ctx)
	},
	"long read": func(ctx context.Context, tenant *db.Tenant, sql string) error {
		return tenant.ReadTx(ctx, func(tx *db.ReadTx) error {
			return tx.Stream(ctx, sql, nil, func([][]byte) error { return nil })
		})
	},
	"background": func(ctx context.Context, tenant *db.Tenant, sql string) error {
		_, err := db.RawTenant(tenant.Q()).Exec(db.InBackground(ctx), sql)
		return err
	},
}

// A statement that names another tenant's schema, or control, is refused in each way in which it runs, also when others ran
// on the same connection before; the tenant's own are served.
func TestRolesReachNothingElse(t *testing.T) {
	walled(t, func(t *testing.T, url string, d *db.DB) {
		refusals := []string{"42501"}
		if dbtest.Workers(url) != nil { // which refuses to plan it before it looks for rights, and control is elsewhere
			refusals = append(refusals, "0A000", "42P01")
		}
		mine, theirs := dbtest.Tenant(t, d), dbtest.Tenant(t, d)
		for name, run := range ways {
			for range 3 { // other tenants' statements come between
				for _, s := range []db.Schema{mine, theirs} {
					if err := run(t.Context(), d.Tenant(s), "SELECT count(*)::int FROM pds_tenant.stream_head"); err != nil {
						t.Errorf("%s: its own: %v", name, err)
					}
				}
				for _, table := range []string{theirs.String() + ".stream_head", "control.tenant", theirs.String() + ".tenant_item"} {
					err := run(t.Context(), d.Tenant(mine), "SELECT count(*)::int FROM pds_tenant.stream_head, "+table)
					var pg *pgconn.PgError
					if !errors.As(err, &pg) || !slices.Contains(refusals, pg.Code) {
						t.Errorf("%s reached %s: %v", name, table, err)
					}
				}
			}
		}
	})
}

// Neither can a statement put another role in the place of the tenant's, or change tables.
func TestRolesStay(t *testing.T) {
	walled(t, func(t *testing.T, _ string, d *db.DB) {
		tenant := d.Tenant(dbtest.Tenant(t, d))
		for _, sql := range []string{
			"RESET ROLE /* pds_tenant. */", "SET ROLE none -- pds_tenant.", "-- name: X\n  reset all -- pds_tenant.", "SET SESSION AUTHORIZATION DEFAULT -- pds_tenant.",
			"SELECT set_config('role', 'none', false) FROM pds_tenant.stream_head", "SELECT 1 FROM pds_tenant.stream_head; RESET ROLE",
			"DISCARD ALL -- pds_tenant.", "DO $$ BEGIN RESET ROLE; END $$ -- pds_tenant.",
		} {
			if _, err := db.RawTenant(tenant.Q()).Exec(t.Context(), sql); !errors.Is(err, db.ErrRoles) {
				t.Errorf("%s: %v", sql, err)
			}
		}
		var pg *pgconn.PgError
		for _, sql := range []string{"DROP TABLE pds_tenant.tenant_item", "ALTER TABLE pds_tenant.tenant_item ADD COLUMN more int", "CREATE TABLE pds_tenant.more (id int)"} {
			if _, err := db.RawTenant(tenant.Q()).Exec(t.Context(), sql); !errors.As(err, &pg) || pg.Code != "42501" {
				t.Errorf("%s: %v", sql, err)
			}
		}
	})
}

// No generated statement looks as if it changed roles.
func TestGeneratedStatementsKeepTheRole(t *testing.T) {
	d := dbtest.New(t)
	tenant := d.Tenant(dbtest.Tenant(t, d))
	q := reflect.ValueOf(tenant.Q())
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // they are looked at, not sent
	for i := range q.NumMethod() {
		m := q.Type().Method(i)
		if m.Type.NumIn() < 2 || m.Type.In(1) != reflect.TypeFor[context.Context]() {
			continue
		}
		args := []reflect.Value{reflect.ValueOf(ctx)}
		for j := 2; j < m.Type.NumIn(); j++ {
			args = append(args, reflect.Zero(m.Type.In(j)))
		}
		out := q.Method(i).Call(args)
		if err, _ := out[len(out)-1].Interface().(error); errors.Is(err, db.ErrRoles) {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}

// A tenant's role is made with it and goes with it. One that is made anew under its name is served at once on the
// connections that are there.
func TestRolesComeAndGo(t *testing.T) {
	walled(t, func(t *testing.T, url string, d *db.DB) {
		s := dbtest.Tenant(t, d)
		for range 3 {
			for name, run := range ways {
				if err := run(t.Context(), d.Tenant(s), "SELECT count(*)::int FROM pds_tenant.stream_head"); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if n := rolesOf(t, url, s); n != 1 {
				t.Errorf("%d roles", n)
			}
			if err := d.DropTenantSchema(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if n := rolesOf(t, url, s); n != 0 {
				t.Errorf("%d roles are left", n)
			}
			if err := d.CreateTenantSchema(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// rolesOf counts the roles that may use a schema, beside its owner.
func rolesOf(t *testing.T, at string, s db.Schema) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	err = conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_roles r WHERE rolname ~ ('^locus_[0-9a-f]{8}_' || $1 || '$')
AND EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a WHERE a.grantee = r.oid AND n.nspname = $1)`, s.String()).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func openWithRoles(t *testing.T, url string) *db.DB {
	t.Helper()
	nodes := dbtest.Workers(url)
	d, err := db.Open(t.Context(), db.Config{URL: url, TenantRoles: true, Nodes: nodes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if nodes != nil {
		if err := d.LearnNodes(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// Tenants of a deployment that had no roles get theirs; without one, the error says what to do.
func TestMakeTenantRoles(t *testing.T) {
	url := dbtest.URL(t)
	before := dbtest.Open(t, url)
	var schemas []db.Schema
	for i := range 3 {
		s := dbtest.Tenant(t, before)
		err := before.Control().InsertTenant(t.Context(), controldb.InsertTenantParams{
			TenantID: int64(i + 1), Hostname: fmt.Sprintf("h%d.test", i), SchemaName: s.String(), ServiceDID: fmt.Sprintf("did:web:h%d.test", i), NodeID: s.Node(), State: 1, Settings: []byte("{}"),
		})
		if err != nil {
			t.Fatal(err)
		}
		schemas = append(schemas, s)
	}
	d := openWithRoles(t, url)
	for name, run := range ways {
		err := run(t.Context(), d.Tenant(schemas[0]), "SELECT count(*)::int FROM pds_tenant.stream_head")
		if !errors.Is(err, db.ErrNoTenantRole) || !strings.Contains(err.Error(), "locus tenant roles") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, want := range []int{3, 0} {
		last := db.RolesMade{}
		got, err := d.MakeTenantRoles(t.Context(), false, func(p db.RolesMade) { last = p })
		if err != nil || got.Made != want || got.Seen != 3 || got.Total != 3 || last != got {
			t.Errorf("%+v, %v; told %+v; want %d", got, err, last, want)
		}
	}
	if got, err := d.MakeTenantRoles(t.Context(), true, nil); err != nil || got.Made != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, s := range schemas {
		if err := d.Tenant(s).Q().InsertSecret(t.Context(), secret("x")); err != nil {
			t.Error(err)
		}
		if err := d.DropTenantSchema(t.Context(), s); err != nil { // roles are the server's: the database alone takes none along
			t.Error(err)
		}
	}
}

// A login that is no superuser, and may make roles, does all of it; one that may not is told what is missing.
func TestRolesWithoutSuperuser(t *testing.T) {
	base := dbtest.URL(t)
	for name, can := range map[string]bool{"may": true, "may not": false} {
		t.Run(name, func(t *testing.T) {
			d, err := db.Open(t.Context(), db.Config{URL: limitedLogin(t, base, can), TenantRoles: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Close)
			s, err := db.ParseSchema(fmt.Sprintf("t_limited_%t", can))
			if err != nil {
				t.Fatal(err)
			}
			err = d.CreateTenantSchema(t.Context(), s)
			if !can {
				if !errors.Is(err, db.ErrNoRoles) || !strings.Contains(err.Error(), "CREATEROLE") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, run := range ways {
				if err := run(t.Context(), d.Tenant(s), "SELECT count(*)::int FROM pds_tenant.stream_head"); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				var pg *pgconn.PgError
				err := run(t.Context(), d.Tenant(s), "SELECT count(*)::int FROM pds_tenant.stream_head, control.tenant")
				if !errors.As(err, &pg) || pg.Code != "42501" {
					t.Errorf("%s reached control: %v", name, err)
				}
			}
			if err := d.DropTenantSchema(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
}

// limitedLogin is a URL of a login that owns nothing but may use the database.
func limitedLogin(t *testing.T, base string, roles bool) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	login, createRole := fmt.Sprintf("limited_%d_%t", os.Getpid(), roles), "NOCREATEROLE"
	if roles {
		createRole = "CREATEROLE"
	}
	script := fmt.Sprintf(`DROP ROLE IF EXISTS %[1]s; CREATE ROLE %[1]s LOGIN NOSUPERUSER PASSWORD 'limited' %[2]s; GRANT CREATE ON DATABASE %[3]s TO %[1]s;
GRANT USAGE ON SCHEMA control TO %[1]s; GRANT ALL ON ALL TABLES IN SCHEMA control TO %[1]s`, login, createRole, strings.TrimPrefix(u.Path, "/"))
	if _, err := conn.Exec(t.Context(), script); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := conn.Exec(context.Background(), fmt.Sprintf("DROP OWNED BY %[1]s; DROP ROLE %[1]s", login)); err != nil {
			t.Error(err)
		}
	})
	u.User = url.UserPassword(login, "limited")
	q := u.Query()
	q.Del("user")
	u.RawQuery = q.Encode()
	return u.String()
}
