package act_test

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/tenant"
)

// Tables of control that may go on naming a tenant that was removed for good, and why. All others must not.
var staysInControl = map[string]string{
	"audit":          "what was done to it",
	"job":            "the same",
	"usage_day":      "what is to be paid for it",
	"operator_token": "it opens nothing any more",
	"tls_name":       "a name's certificate is the deployment's: it goes a day after nobody has the name and it has expired",
	"tls_item":       "the same",
	"tls_order":      "authorities count them for some days",
	"plc_operation":  "DIDs are their owners'",
	"stream_note":    "goes after some seconds",
	"idempotency":    "goes after a day",
	"doctor":         "is written anew at its next look",
	"doctor_node":    "the same",
}

// Tables of control that say nothing of any tenant.
var noTenants = []string{
	"node", "counter", "deployment", "blob_place", "usage_writer", "usage_gauge", "process", "operator_answer", "operator_secret", "tls_lock",
	"master_key", "deployment_proof", "spare", "goose_db_version",
}

// When a tenant is gone for good, nothing in control names it but what is meant to stay: of each table that there is, that is
// decided, and each that must be empty had something. Another tenant keeps what it has.
func TestPurgeOfControl(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	conn := dial(t, m.url)
	defer closed(t, conn)
	ctx, l := t.Context(), m.process()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	const host = "gone.two.test"
	one, err := l.CreateTenant(ctx, act.Operator{}, tenant.Spec{Hostname: host, HandleDomains: []string{host}})
	if err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO control.operator_token (token_id, token_hash, label, role, tenant_id, created_by, created_at) VALUES ('its-own', 'x', '', 4, $1, '', now()), ('another', 'y', '', 1, NULL, '', now())", one.ID)
	others := []operator.Ref{operator.OfTenant(m.tenant.ID, "mod"), operator.OfTenant(one.ID*10, "mod"), operator.OfToken("another")}
	for i, who := range append([]operator.Ref{operator.OfTenant(one.ID, "mod"), operator.OfToken("its-own")}, others...) {
		key := fmt.Append(nil, "key ", i)
		exec("INSERT INTO control.operator_factor (who, factor_id, kind, name, counter, created_at) VALUES ($1, $2, 2, '', 0, now())", string(who), key)
		exec("INSERT INTO control.operator_session (session_hash, who, way, created_at, seen_at, ends_at, address, agent) VALUES ($1, $2, 'app', now(), now(), now(), '', '')", key, string(who))
		exec("INSERT INTO control.operator_link (link_hash, who, created_by, created_at, ends_at) VALUES ($1, $2, '', now(), now())", key, string(who))
	}
	left, err := l.parts.Tenants.KeepLeft(ctx, one, 1, m.now().Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	exec("CREATE SCHEMA " + left)
	exec("INSERT INTO control.due (tenant_id, kind, due_at, last_at, floor_at, held_until) VALUES ($1, 'mail', now(), now(), now(), now())", one.ID)
	exec("INSERT INTO control.crawler (tenant_id, url, told_seq, next_at) VALUES ($1, 'https://relay.test', 1, now())", one.ID)
	exec("INSERT INTO control.handle_elsewhere (reversed, tenant_id) VALUES ('tset.enoyna', $1)", one.ID)
	exec("INSERT INTO control.handles_listed (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING", one.ID)
	exec("INSERT INTO control.tenant_proof (tenant_id) VALUES ($1)", one.ID)
	exec("INSERT INTO control.quota_reached (tenant_id, quota, day, at) VALUES ($1, 'requests', now(), now())", one.ID)
	if _, err := l.parts.Tenants.Delete(ctx, one, "", m.now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO control.tenant_move (tenant_id, move_id, source, target, started_at) VALUES ($1, 'm', 1, 1, now())", one.ID)

	tables := list(t, conn, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'control' ORDER BY 1")
	numbered := list(t, conn, "SELECT table_name::text FROM information_schema.columns WHERE table_schema = 'control' AND column_name = 'tenant_id'")
	naming := fmt.Sprintf(`\m%s(_[a-z]+)?\M|\mtenant:%d:|%s|its-own`, one.Schema, one.ID, regexp.QuoteMeta(host))
	names := func(table string) (rows int) {
		t.Helper()
		sql := "SELECT count(*) FROM control." + table + " x WHERE x::text ~ $1"
		args := []any{naming}
		if slices.Contains(numbered, table) {
			sql, args = sql+" OR x.tenant_id = $2", append(args, one.ID)
		}
		if err := conn.QueryRow(ctx, sql, args...).Scan(&rows); err != nil {
			t.Fatal(table, err)
		}
		return rows
	}
	goes := func(table string) bool { return staysInControl[table] == "" && !slices.Contains(noTenants, table) }
	for _, table := range tables {
		if n := names(table); goes(table) && n == 0 {
			t.Errorf("nothing in control.%s names the tenant: does it go with a tenant?", table)
		}
	}
	if _, err := l.jobs.Do(ctx, act.PurgeTenant(one.ID, act.Operator{}, false, true), nil); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if n := names(table); n > 0 && staysInControl[table] == "" {
			t.Errorf("%d rows of control.%s name a tenant that is gone", n, table)
		}
	}
	nothing(t, conn, one)
	for _, table := range []string{"operator_factor", "operator_session", "operator_link"} {
		if kept := list(t, conn, "SELECT DISTINCT who FROM control."+table); len(kept) != len(others) {
			t.Errorf("%s of others: %v", table, kept)
		}
	}
	for _, table := range append(slices.Clone(noTenants), "tenant") {
		if !slices.Contains(tables, table) {
			t.Errorf("there is no control.%s", table)
		}
	}
}

// A copy that a tenant left in a database that cannot be asked keeps nobody from removing the tenant; it goes as soon as it
// can.
func TestPurgeLeavesWhatCannotBeAsked(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	conn := dial(t, m.url)
	defer closed(t, conn)
	ctx, l := t.Context(), m.process()
	one, err := l.CreateTenant(ctx, act.Operator{}, tenant.Spec{Hostname: "gone.two.test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "INSERT INTO control.node (node_id, dsn_ref, label) VALUES (77, 'unknown here', 'x')"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.parts.Tenants.KeepLeft(ctx, one, 77, m.now().Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.parts.Tenants.Delete(ctx, one, "", m.now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.jobs.Do(ctx, act.PurgeTenant(one.ID, act.Operator{}, false, true), nil); err != nil {
		t.Fatal(err)
	}
	var due bool
	err = conn.QueryRow(ctx, "SELECT drop_at <= $2 FROM control.leftover WHERE schema_name = $1", db.LeftBehind(one.Schema), m.now()).Scan(&due)
	if err != nil || !due {
		t.Errorf("the copy is not due (%v): %v", due, err)
	}
}

func list(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}
