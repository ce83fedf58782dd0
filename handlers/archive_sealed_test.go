package handlers

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// sealedIn are the values in a schema that the keyring has made, by their first bytes, under table and column. No table and
// no column is named: what a new one has is found, too.
func sealedIn(t *testing.T, url, schema string, version, master byte) map[string][]string {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = $1 AND data_type = 'bytea'`, schema)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c [2]string, err error) {
		err = row.Scan(&c[0], &c[1])
		return c, err
	})
	if err != nil || len(columns) < 10 {
		t.Fatalf("%d columns: %v", len(columns), err)
	}
	out := map[string][]string{}
	for _, c := range columns {
		rows, err := conn.Query(ctx, fmt.Sprintf(`SELECT %q FROM %s.%q WHERE length(%q) >= 31 AND get_byte(%q, 0) = $1 AND get_byte(%q, 1) = $2`, c[1], schema, c[0], c[1], c[1], c[1]), int32(version), int32(master))
		if err != nil {
			t.Fatal(err)
		}
		values, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			out[c[0]+"."+c[1]] = append(out[c[0]+"."+c[1]], string(v))
		}
	}
	return out
}

// Whatever is sealed in a tenant is sealed anew when it is restored under another master key: nothing is left as it was.
func TestSealedIsResealed(t *testing.T) {
	t.Parallel()
	from, ctx := newHouse(t), t.Context()
	alice := from.createAccount(hostA, "alice")
	acts := act.NewTenantActs(from.db, from.tenants, from.clock.Now)
	if err := acts.SetSMTP(ctx, from.a, archivist, "smtps://user:word@mail.example:465"); err != nil {
		t.Fatal(err)
	}
	if err := acts.SetCaptcha(ctx, from.a, archivist, tenant.CaptchaHCaptcha, "10000000-ffff-ffff-ffff-000000000001", "a secret"); err != nil {
		t.Fatal(err)
	}
	from.post(hostA, "com.atproto.server.reserveSigningKey", "", obj{}).ok()
	schema := from.a.Schema.String()
	seal := func(b keyring.Binding) []byte {
		t.Helper()
		sealed, err := from.keys.Seal(b, []byte("twenty bytes of that"))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	aid := from.aid(from.a, alice.did)
	from.exec(from.a, `INSERT INTO pds.account_item (aid, kind, secret) VALUES ($1, 1, $2)`, aid, seal(keyring.Binding{Schema: schema, Owner: strconv.FormatInt(aid, 10), Purpose: "totp"}))
	from.exec(from.a, `INSERT INTO pds.tenant_item (kind, key, number, value, secret) VALUES (11, '\x07', 7, 'disk:/nowhere', $1)`, seal(keyring.Binding{Schema: schema, Owner: "7", Purpose: "blob-store"}))

	probe := seal(keyring.Binding{Schema: schema, Purpose: "probe"})
	before := sealedIn(t, from.url, schema, probe[0], probe[1])
	for _, column := range []string{"tenant_item.secret", "account_item.secret", "account.key_sealed"} {
		if len(before[column]) == 0 {
			t.Errorf("nothing is sealed in %s: the test does not fill it", column)
		}
	}
	closed := from.backup(from.a, archive.Options{Lock: archive.Lock{Recipients: []string{archiveRecipient}}})
	to := newHouseWith(t, houseOptions{settings: map[string]string{"display_name": "elsewhere"}})
	out := to.restore(act.Restore{Open: opening(closed, archive.Keys{Identities: archiveIdentity}), Hostname: "c.test"})
	after := sealedIn(t, to.url, out.Tenant.Schema.String(), probe[0], probe[1])
	for column, values := range before {
		is := map[string]bool{}
		for _, v := range after[column] {
			is[v] = true
		}
		if len(after[column]) < len(values) && column != "tenant_item.secret" { // mail that waits is not restored
			t.Errorf("%s: %d values were sealed, %d are", column, len(values), len(after[column]))
		}
		for _, v := range values {
			if is[v] {
				t.Errorf("%s: a value is sealed as it was, so nobody opens it here (places in internal/archive/sealed.go)", column)
			}
		}
	}
}
