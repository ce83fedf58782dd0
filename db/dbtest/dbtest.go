// Package dbtest gives tests a real Postgres: one server for all test processes of a machine's user, started by the
// first, gone soon after the last. A test gets a database with the control schema ([New]) and in it as many tenants as
// it wants ([Tenant]).
//
// LOCUS_TEST_DATABASE_URL names a server to be used instead; its user must be allowed to create databases.
// LOCUS_TEST_PGBOUNCER_URL names a PgBouncer in front of it, for all databases: then everything but the making of databases
// goes through it. LOCUS_TEST_TENANT_ROLES=1 has tenants' statements run with the rights of roles of their own.
package dbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/schema"
)

// New makes a database of the test's own, with the control schema at its newest version, and opens it. It is dropped
// after the test.
func New(t testing.TB) *db.DB {
	t.Helper()
	return Open(t, URL(t))
}

// Open opens a database for the test's duration.
func Open(t testing.TB, url string) *db.DB {
	t.Helper()
	return OpenNodes(t, url, nil)
}

// OpenNodes is Open with further databases, by their names in control.node.
func OpenNodes(t testing.TB, url string, nodes map[string]string) *db.DB {
	t.Helper()
	return OpenConfig(t, db.Config{URL: url, Nodes: nodes})
}

// OpenConfig is Open with more to say than where.
func OpenConfig(t testing.TB, cfg db.Config) *db.DB {
	t.Helper()
	var cluster bool
	cfg.Nodes, cluster = withWorkers(cfg.URL, cfg.Nodes)
	cfg.StartTimeout, cfg.TenantRoles = 10*time.Second, os.Getenv(rolesEnv) != ""
	d, err := db.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if cluster && hasControl(t, d) {
		if err := d.LearnNodes(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// hasControl is false of a database that a test has left empty.
func hasControl(t testing.TB, d *db.DB) bool {
	t.Helper()
	_, err := d.Control().ListNodes(t.Context(), 1)
	if err != nil && !db.IsUndefined(err) {
		t.Fatal(err)
	}
	return err == nil
}

var databases atomic.Int64

// URL makes a database like New's and tells where it is, for tests that open it themselves.
func URL(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	if onCitus(t) {
		return createOnCitus(t, name, true)
	}
	template, err := template()
	if err != nil {
		t.Fatal(err)
	}
	return create(t, name, "TEMPLATE "+template)
}

// CopyURL makes a database that has what another one has, to which nobody may be connected.
func CopyURL(t testing.TB, of string) string {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	return create(t, fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1)), "TEMPLATE "+strings.TrimPrefix(u.Path, "/"))
}

// EmptyURL makes a database with nothing in it.
func EmptyURL(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	if onCitus(t) {
		return createOnCitus(t, name, false)
	}
	return create(t, name, "TEMPLATE template0 ENCODING 'UTF8'")
}

// ASCIIURL makes a database with the encoding SQL_ASCII, which nobody should serve from.
func ASCIIURL(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	return create(t, name, "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
}

func create(t testing.TB, name, how string) string {
	t.Helper()
	server, err := serverURL()
	if err != nil {
		t.Fatal(err)
	}
	// Copying files is the faster strategy with fsync off; on a server with fsync it would mean a checkpoint.
	if err := exec(t.Context(), server, "CREATE DATABASE "+name+" "+how+" STRATEGY file_copy"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := exec(ctx, server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	if through := os.Getenv(throughEnv); through != "" {
		return withDatabase(through, name) + "&pgbouncer=true"
	}
	return withDatabase(server, name)
}

const (
	throughEnv = "LOCUS_TEST_PGBOUNCER_URL"
	rolesEnv   = "LOCUS_TEST_TENANT_ROLES"
)

var tenants atomic.Int64

// Tenant makes a tenant's schema, empty and at its newest version, in d. It has no row in control.
func Tenant(t testing.TB, d *db.DB) db.Schema {
	t.Helper()
	n := tenants.Add(1)
	s, err := db.ParseSchema(fmt.Sprintf("t_test_%d", n))
	if err != nil {
		t.Fatal(err)
	}
	if node := workerFor(d, n); node != 0 {
		s = s.On(node)
	}
	if err := d.CreateTenantSchema(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// template makes the database that New's are copies of, once per set of migrations.
var template = sync.OnceValues(func() (string, error) {
	server, err := serverURL()
	if err != nil {
		return "", err
	}
	migrations, err := schema.ControlMigrations()
	if err != nil {
		return "", err
	}
	script := schema.Script(schema.ControlName, migrations)
	sum := sha256.Sum256([]byte(script))
	name := "template_" + hex.EncodeToString(sum[:8])

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	// Test processes start at once: one makes it, the others wait.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(71200)"); err != nil {
		return "", err
	}
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil || there {
		return name, err
	}
	making := name + "_making" // renamed when complete: this process may be killed on the way
	for _, sql := range []string{
		"DROP DATABASE IF EXISTS " + making + " WITH (FORCE)",
		"CREATE DATABASE " + making + " TEMPLATE template0 ENCODING 'UTF8'",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return "", fmt.Errorf("%s: %w", sql, err)
		}
	}
	if err := exec(ctx, withDatabase(server, making), script); err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+making+" RENAME TO "+name)
	return name, err
})

// exec runs a script on a connection of its own.
func exec(ctx context.Context, url, script string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.PgConn().Exec(ctx, script).ReadAll(); err != nil {
		return fmt.Errorf("%.80s: %w", script, err)
	}
	return nil
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic("dbtest: the server's URL: " + err.Error()) // LOCUS_TEST_DATABASE_URL must be a URL
	}
	u.Path = "/" + name
	return u.String()
}
