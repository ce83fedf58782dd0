package db_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/schema"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// beforeAccountItem is the version in which the rare rows of accounts still had tables of their own.
const beforeAccountItem = 15

// itemRows fills each of these tables: two accounts, one of them with all there is, and everything that may be null both
// ways.
const itemRows = `
INSERT INTO x.actor (aid, did, handle, created_at) SELECT n, 'did:x:' || n, 'h' || n, '2026-01-01Z' FROM generate_series(1, 3) n;
UPDATE x.actor SET session_epoch = 4 WHERE aid = 1;
INSERT INTO x.account (aid, email, password_hash, created_at) VALUES (1, 'a@mail', 'h', '2026-01-02Z'), (2, 'b@mail', NULL, '2026-01-02Z');
INSERT INTO x.signing_key VALUES (1, '\x01', 'did:key:1', '2026-01-03Z'), (2, '\x02', 'did:key:2', '2026-01-03Z'), (3, '\x03', 'did:key:3', '2026-01-03Z');
INSERT INTO x.totp VALUES (1, '\xaa', '2026-01-04 00:00:00.123456Z', 77, '2026-01-03Z'), (2, '\xbb', NULL, 0, '2026-01-03Z');
INSERT INTO x.backup_code VALUES (1, '\x0102'), (1, '\x0103'), (2, '\x0102');
INSERT INTO x.passkey VALUES (1, '\xc1', 'phone', '\xd1', '\xe1', 'usb,nfc', 29, 5, '2026-01-05Z', '2026-01-03Z', '2026-01-06Z'),
  (1, '\xc2', '', '\xd2', '\x', '', -1, 0, NULL, '2026-01-03Z', NULL), (2, '\xc1', 'key', '\xd1', '\xe1', '', 1, 0, NULL, '2026-01-03Z', NULL);
INSERT INTO x.email_token VALUES (1, 'confirm_email', '\xf1', '2026-01-03Z', '2026-01-03 00:15Z'), (1, 'reset_password', '\xf2', '2026-01-03Z', '2026-01-04Z'), (2, 'confirm_email', '\xf3', '2026-01-03Z', '2026-01-05Z');
INSERT INTO x.app_password VALUES (1, 'one', '\x11', true, '2026-01-03Z', '2026-06-01Z', '2026-01-07Z'), (1, 'zwölf ☃', '\x12', false, '2026-01-03Z', NULL, NULL), (2, 'one', '\x11', false, '2026-01-03Z', NULL, NULL);
INSERT INTO x.device SELECT decode(d, 'hex'), '\x01', NULL, '2026-01-03Z', '2026-01-03Z', '2027-01-01Z', 'agent', 'address' FROM unnest('{dd01,dd02}'::text[]) d;
INSERT INTO x.trusted_browser VALUES (1, '\xdd01', '2026-01-03Z', '2026-12-01Z'), (2, '\xdd01', '2026-01-04Z', '2026-12-02Z');
INSERT INTO x.device_account VALUES (1, '\xdd01', '', 4, true, '2026-01-03Z', '2026-01-04Z', '2026-12-01Z'),
  (1, '\xdd02', 'urn:request', 4, false, '2026-01-05Z', '2026-01-05Z', '2026-12-02Z'), (2, '\xdd01', '', 0, false, '2026-01-04Z', '2026-01-06Z', '2026-12-03Z');
INSERT INTO x.oauth_consent VALUES (1, 'https://app.example/ü', 'atproto', '2026-01-03Z'), (2, 'https://app.example/ü', '', '2026-01-04Z');
INSERT INTO x.preference VALUES (1, repeat('[{"$type":"a#b"}]', 2000), '2026-01-03Z'), (2, '[]', '2026-01-04Z');
INSERT INTO x.activity VALUES (1, 9, '{"e":[]}'), (2, 1, '');
INSERT INTO x.signup_request VALUES (1, '{"type":"plc_operation"}', '2026-01-03Z', '2026-01-04Z', NULL, 'de'), (2, '', '2026-01-02Z', NULL, '2026-01-05Z', '');
INSERT INTO x.purge VALUES (98, '2026-01-05Z'), (99, '2026-01-04Z');
INSERT INTO x.uncounted VALUES (1), (3);
INSERT INTO x.refresh_token VALUES ('t1', 1, '2026-05-01Z', 't2', 'one', '2026-01-03Z'), ('t2', 1, '2026-06-01Z', NULL, NULL, '2026-01-03Z');`

// itemTables says of each moved table which statement shows its rows, and the query that reads the same now. The query's
// rows are those of all accounts.
var itemTables = map[string]struct {
	sql string
	now func(context.Context, *tenantdb.Queries, int64) (any, error)
}{
	"signing_key": {"SELECT sealed, public FROM x.signing_key ORDER BY aid", func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
		return q.GetSigningKey(ctx, aid)
	}},
	"totp": {"SELECT sealed, confirmed_at, last_step, created_at FROM x.totp ORDER BY aid", func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) { return q.GetTOTP(ctx, aid) }},
	"passkey": {"SELECT credential_id, name, public_key, aaguid, transports, flags, sign_count, warned_at, created_at, last_used_at FROM x.passkey ORDER BY aid, created_at, credential_id",
		func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
			return q.ListPasskeys(ctx, tenantdb.ListPasskeysParams{AID: aid, MaxRows: 9})
		}},
	"email_token": {"SELECT aid, purpose, expires_at FROM x.email_token WHERE aid = 1 AND purpose = 'reset_password'",
		func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
			if aid != 1 {
				return nil, pgx.ErrNoRows
			}
			return q.GetEmailToken(ctx, []byte{0xf2})
		}},
	"app_password": {"SELECT name, privileged, created_at, expires_at, last_used_at FROM x.app_password ORDER BY aid, created_at DESC, name",
		func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
			return q.ListAppPasswords(ctx, tenantdb.ListAppPasswordsParams{AID: aid, MaxRows: 9})
		}},
	"app_password by its MAC": {"SELECT name, privileged, expires_at FROM x.app_password WHERE password_mac = '\\x11' ORDER BY aid",
		func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
			return q.GetAppPasswordByMAC(ctx, tenantdb.GetAppPasswordByMACParams{AID: aid, PasswordMac: []byte{0x11}})
		}},
	"trusted_browser": {"SELECT b.device, b.trusted_at, b.expires_at, d.agent, d.address FROM x.trusted_browser b JOIN x.device d ON d.id = b.device ORDER BY aid",
		func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
			return q.ListTrustedBrowsers(ctx, tenantdb.ListTrustedBrowsersParams{AID: aid, MaxRows: 9})
		}},
	"device_account": {"SELECT s.aid, a.did, a.handle, a.deactivated_at, a.takedown_ref, c.email, s.request, s.epoch, s.remembered, s.signed_in_at, s.proven_at, s.expires_at FROM x.device_account s JOIN x.actor a ON a.aid = s.aid JOIN x.account c ON c.aid = s.aid WHERE s.device = '\\xdd01' ORDER BY s.signed_in_at DESC",
		func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
			if aid != 1 {
				return nil, pgx.ErrNoRows
			}
			return q.ListDeviceAccounts(ctx, tenantdb.ListDeviceAccountsParams{Device: []byte{0xdd, 1}, MaxRows: 9})
		}},
	"device_account by its account": {"SELECT d.id, d.agent, d.address, d.rotated_at, d.created_at, s.remembered, s.signed_in_at FROM x.device_account s JOIN x.device d ON d.id = s.device ORDER BY aid, d.rotated_at DESC, d.id",
		func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
			return q.ListDevicesOf(ctx, tenantdb.ListDevicesOfParams{AID: aid, MaxRows: 9})
		}},
	"oauth_consent": {"SELECT granted FROM x.oauth_consent ORDER BY aid", func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
		return q.GetOAuthConsent(ctx, tenantdb.GetOAuthConsentParams{AID: aid, ClientID: "https://app.example/ü"})
	}},
	"preference": {"SELECT value FROM x.preference ORDER BY aid", func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
		return q.GetPreference(ctx, aid)
	}},
	"activity": {"SELECT body FROM x.activity ORDER BY aid", func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) { return q.GetActivity(ctx, aid) }},
	"signup_request": {"SELECT aid, genesis, lang, created_at, approving_at, rejected_at FROM x.signup_request ORDER BY aid",
		func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
			return q.LockSignupRequest(ctx, aid)
		}},
	"backup_code": {"SELECT count(*)::int FROM x.backup_code GROUP BY aid UNION ALL SELECT 0 ORDER BY 1 DESC",
		func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
			return q.CountBackupCodes(ctx, aid)
		}},
	"purge": {"SELECT aid FROM x.purge ORDER BY created_at", func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
		if aid != 1 {
			return nil, pgx.ErrNoRows
		}
		return q.ListPurges(ctx, 9)
	}},
	"uncounted": {"SELECT aid FROM x.uncounted ORDER BY aid", func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
		if aid != 1 {
			return nil, pgx.ErrNoRows
		}
		return q.ListUncounted(ctx, tenantdb.ListUncountedParams{MaxRows: 9})
	}},
	"refresh_token": {"SELECT token_id, aid, expires_at, next_id, app_password_name FROM x.refresh_token WHERE token_id = 't1'",
		func(ctx context.Context, q *tenantdb.Queries, aid int64) (any, error) {
			if aid != 1 {
				return nil, pgx.ErrNoRows
			}
			return q.GetRefreshToken(ctx, "t1")
		}},
}

// movedBothWays fills a schema at an older version, brings it to the newest, and back, twice. shown has statements about
// the old tables, by a name; now gives the same rows from what they became.
func movedBothWays(t *testing.T, before int64, fill string, shown map[string]string, now func(q *tenantdb.Queries, name string) []string) {
	t.Helper()
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	ctx := t.Context()
	s := mustParse(t, "t_moved")
	if err := d.EmptySchema(ctx, s); err != nil {
		t.Fatal(err)
	}
	to := func(version int64) {
		t.Helper()
		if err := d.To(ctx, s.String(), schema.Tenant(s.String()), version); err != nil {
			t.Fatal(err)
		}
	}
	latest, err := db.LatestTenantVersion()
	if err != nil {
		t.Fatal(err)
	}
	to(before)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	own := func(sql string) string { return strings.ReplaceAll(sql, "x.", s.String()+".") }
	if _, err := conn.Exec(ctx, own(fill), pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for name, sql := range shown {
		if want[name] = textRows(t, conn, own(sql)); len(want[name]) == 0 {
			t.Errorf("no rows in %s", name)
		}
	}
	whole := dumpRows(t, conn, s.String())
	for range 2 {
		to(latest)
		for name := range shown {
			if diff := cmp.Diff(want[name], now(d.Tenant(s).Q(), name)); diff != "" {
				t.Errorf("%s (-before +after):\n%s", name, diff)
			}
		}
		to(before)
		if diff := cmp.Diff(whole, dumpRows(t, conn, s.String())); diff != "" {
			t.Errorf("down again (-before +after):\n%s", diff)
		}
	}
}

// What accounts have goes into account_item and out of it again, each row and each value.
func TestAccountItemsAreMoved(t *testing.T) {
	shown := map[string]string{}
	for name, table := range itemTables {
		shown[name] = table.sql
	}
	movedBothWays(t, beforeAccountItem, itemRows, shown, func(q *tenantdb.Queries, name string) (got []string) {
		for aid := int64(1); aid <= 3; aid++ {
			rows, err := itemTables[name].now(t.Context(), q, aid)
			if db.IsNoRows(err) {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			got = append(got, texts(rows)...)
		}
		if n, err := q.DeleteEmailToken(t.Context(), []byte{0xf9}); !db.IsNoRows(err) {
			t.Errorf("a token that nobody has: %v %v", n, err)
		}
		return got
	})
}

// textRows gives the rows of a statement, each as one text.
func textRows(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(sql, err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		parts := make([]string, len(values))
		for i, v := range values {
			parts[i] = text(reflect.ValueOf(v))
		}
		return strings.Join(parts, " | "), err
	})
	if err != nil {
		t.Fatal(sql, err)
	}
	return out
}

// dumpRows gives all rows of all tables of a schema but those that an upgrade adds to: rows of accounts are made for
// signing keys that have none.
func dumpRows(t *testing.T, conn *pgx.Conn, name string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, table := range textRows(t, conn, "SELECT tablename::text FROM pg_tables WHERE schemaname = '"+name+"' ORDER BY 1") {
		if table == schema.VersionTable {
			continue
		}
		sql := "SELECT r::text FROM " + name + "." + table + " r"
		if table == "account" {
			sql += " WHERE email IS NOT NULL"
		}
		out[table] = textRows(t, conn, sql+" ORDER BY 1")
	}
	return out
}

// texts gives what a generated query answered as textRows does.
func texts(answer any) []string {
	v := reflect.ValueOf(answer)
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8 {
		var out []string
		for i := range v.Len() {
			out = append(out, texts(v.Index(i).Interface())...)
		}
		return out
	}
	if _, is := answer.(time.Time); v.Kind() != reflect.Struct || is {
		return []string{text(v)}
	}
	parts := make([]string, v.NumField())
	for i := range parts {
		parts[i] = text(v.Field(i))
	}
	return []string{strings.Join(parts, " | ")}
}

func text(v reflect.Value) string {
	for v.IsValid() && v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if !v.IsValid() {
		return "null"
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case []byte:
		if x == nil {
			return "null"
		}
		return hex.EncodeToString(x)
	default:
		return fmt.Sprint(x)
	}
}
