package act_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/repodb"
	"github.com/auroralocus/locus/schema"
)

// picture is a record with a file in it.
func picture(text string, file blob.Info) []byte {
	b := dagcbor.AppendMapHead(nil, 4)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "text"), text)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "$type"), "app.bsky.feed.post")
	b = dagcbor.AppendMapHead(dagcbor.AppendText(b, "embed"), 4)
	b = dagcbor.AppendLink(dagcbor.AppendText(b, "ref"), file.CID)
	b = dagcbor.AppendInt(dagcbor.AppendText(b, "size"), file.Size)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "$type"), "blob")
	b = dagcbor.AppendText(dagcbor.AppendText(b, "mimeType"), "image/png")
	return dagcbor.AppendText(dagcbor.AppendText(b, "createdAt"), "2026-01-01T00:00:00.000Z")
}

// hasEverything gives the tenant some of whatever its tables may hold, and has its people and operators do things at random.
func (m *mortal) hasEverything(l *living, r *rand.Rand) {
	m.t.Helper()
	ctx := m.t.Context()
	conn, err := pgx.Connect(ctx, m.url)
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	insert := func(table, columns string, values ...any) {
		m.t.Helper()
		places := make([]string, len(values))
		for i := range values {
			places[i] = "$" + strconv.Itoa(i+1)
		}
		sql := fmt.Sprintf("INSERT INTO %s.%s (%s) VALUES (%s) ON CONFLICT DO NOTHING", m.tenant.Schema, table, columns, strings.Join(places, ", "))
		if _, err := conn.Exec(ctx, sql, values...); err != nil {
			m.t.Fatalf("%s (%s): %v", table, columns, err)
		}
	}
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	sealed := func(b keyring.Binding) []byte {
		s, err := m.keys.Seal(b, noise(20))
		if err != nil {
			m.t.Fatal(err)
		}
		return s
	}
	number := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	signer, err := m.keys.GenerateSigningKey()
	if err != nil {
		m.t.Fatal(err)
	}
	reserved, err := m.keys.SealSigningKey(m.tenant.Schema.String(), 0, signer)
	if err != nil {
		m.t.Fatal(err)
	}
	now := m.now().UTC()
	moment := func() time.Time { return now.Add(-time.Duration(r.IntN(1_000_000)) * time.Second) }
	later := func() time.Time { return now.Add(time.Duration(1+r.IntN(1_000_000)) * time.Second) }
	name := m.tenant.Schema.String()

	page, err := l.parts.Repos.ListRepos(ctx, m.tenant.Schema, 0, 20)
	if err != nil {
		m.t.Fatal(err)
	}
	for i, one := range page {
		file, err := l.parts.Blobs.Upload(ctx, blob.Upload{Owner: blob.Owner{Schema: m.tenant.Schema, AID: one.AID, DID: m.dids[i]}, ContentType: "image/png"}, bytes.NewReader(noise(1+r.IntN(1000))))
		if err != nil {
			m.t.Fatal(err)
		}
		_, err = l.parts.Repos.Write(ctx, m.tenant.Schema, one.AID, repodb.Options{}, func(*repodb.View) ([]repo.Write, error) {
			return []repo.Write{{Action: repo.ActionCreate, Path: "app.bsky.feed.post/picture", Record: picture("a file", file)}}, nil
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
	m.livesThrough(l, r) // before what it might end

	if page, err = l.parts.Repos.ListRepos(ctx, m.tenant.Schema, 0, 20); err != nil {
		m.t.Fatal(err)
	}
	for _, one := range page {
		aid, client := one.AID, fmt.Sprintf("https://app%d.example/client.json", r.IntN(3))
		device := noise(16)
		item := func(kind int, columns string, values ...any) {
			m.t.Helper()
			insert("account_item", "aid, kind, "+columns, append([]any{aid, kind}, values...)...)
		}
		insert("tenant_item", "kind, key, secret, info, created_at, used_at, due_at, label, value", 15, device, noise(32), noise(32), moment(), moment(), later(), "Firefox", "192.0.2.7")
		item(1, "key, secret, number, used_at, created_at", "", sealed(archive.FactorBinding(name, aid)), r.IntN(1e9), moment(), moment())
		item(2, "key", noise(32))
		item(3, "key, label, secret, info, value, flags, number, created_at, used_at", noise(32), "my key", noise(77), noise(16), "internal,hybrid", 29, r.IntN(1e9), moment(), moment())
		item(4, "key, lookup, created_at, due_at", "reset_password", noise(32), moment(), later())
		item(5, "key, lookup, flags, created_at, used_at", "an app", noise(32), r.IntN(2), moment(), moment())
		item(6, "key, lookup, created_at, due_at", device, device, moment(), later())
		item(7, "key, lookup, label, number, flags, created_at, noted_at, due_at", append(bytes.Clone(device), "req-1"...), device, "req-1", r.IntN(9), 1, moment(), moment(), later())
		item(8, "key, value, created_at", client, "atproto transition:generic", moment())
		item(9, "value, created_at", `[{"$type":"app.bsky.actor.defs#adultContentPref","enabled":true}]`, moment())
		item(10, "value, number", `{"lines":[]}`, r.IntN(1e6))
		insert("refresh_token", "token_id, aid, expires_at, next_id, app_password_name, created_at", fmt.Sprint("r", r.Uint64()), aid, later(), fmt.Sprint("r", r.Uint64()), "an app", moment())
		insert("oauth_session", "id, aid, epoch, client_id, client_name, client_key, jkt, granted, scope, code, device, generation, created_at, rotated_at, ends_at, expires_at",
			noise(16), aid, 0, client, "An app", "", "thumbprint", "atproto", "atproto", noise(32), device, r.IntN(1e6), moment(), moment(), later(), later())
		insert("tenant_item", "kind, key, label, value, note, info, aid, extra, lookup, created_at, due_at", 16, noise(16), client, `{"state":"x"}`, "key", device, aid, "atproto", noise(32), moment(), later())
		insert("tenant_item", "kind, key, lookup, aid, label, used_at", 4, append([]byte("localhost-code\x00"), number(aid)...), number(aid), aid, "localhost-code", moment())
		insert("tenant_item", "kind, key, lookup, aid, label, secret, flags, tries, note, created_at, due_at, used_at", 5, fmt.Sprint("mail-", r.Uint64()), number(aid), aid, "a@example.com", noise(60), r.IntN(3), r.IntN(3), "refused", moment(), later(), later())
	}
	asks, gone, uncounted := page[0].AID, int64(9_000_001), page[1].AID
	asked := moment()
	insert("account_item", "aid, kind, created_at, due_at", gone, 12, asked, asked)
	insert("account_item", "aid, kind, due_at", uncounted, 13, time.Unix(0, 0))
	if _, err := conn.Exec(ctx, "UPDATE "+name+".tenant_item SET value = E'lost.test\nlost2.test' WHERE kind = 2"); err != nil {
		m.t.Fatal(err)
	}
	insert("tenant_item", "kind, key, number, tries, flags, lookup, label, created_at, due_at", 3, "localhost-code", 9, 3, 1, m.dids[1], "admin", asked, asked)
	insert("tenant_item", "kind, key, lookup, label, secret, flags, created_at, due_at, used_at", 6, "mail-sent", number(0), "b@example.com", noise(60), 3, moment(), moment(), later())
	insert("tenant_item", "kind, key, due_at, lookup, label, value, created_at", 10, noise(32), later(), "somebody", "a program", fmt.Sprint("token-", r.Uint64()), moment())
	insert("tenant_item", "kind, key, due_at, number, tries, note", 12, []byte("\x00\x01an-object"), later(), 1, r.IntN(5), "refused")
	insert("tenant_item", "kind, key, due_at", 13, noise(16), later())
	insert("tenant_item", "kind, key, lookup, secret, label, value, created_at, due_at", 14, "did:key:zReserved", "did:plc:reserved", reserved, "net", "192.0.2.0", moment(), later())
	insert("tally", "bucket, key, ends_at, points", "createSession", "192.0.2.7", later().Unix(), r.IntN(100))
	insert("tally", "bucket, key, ends_at, points, last_at", "", "somebody", 0, r.IntN(100), moment())
	insert("chore", "name, next_at", "a chore", later())

	insert("account_item", "aid, kind, value, label, created_at, due_at", asks, 11, `{"type":"plc_operation"}`, "de", asked, asked) // nobody decides of it

	// Nothing that the tables may hold is missing.
	for table, kinds := range kinds(m.t) {
		for kind, what := range kinds {
			var there bool
			if err := conn.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s.%s WHERE kind = $1)", name, table), kind).Scan(&there); err != nil || !there {
				m.t.Errorf("nothing of %s %d, %s: %v", table, kind, what, err)
			}
		}
	}
	rows, err := conn.Query(ctx, "SELECT tablename::text FROM pg_tables WHERE schemaname = $1", name)
	if err != nil {
		m.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		m.t.Fatal(err)
	}
	for _, table := range tables {
		var there bool
		if err := conn.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s.%s)", name, table)).Scan(&there); err != nil || !there && table != "oauth_proof" {
			m.t.Errorf("nothing in %s: %v", table, err)
		}
	}
}

// kinds are the kinds of items, as the migrations that make their tables list them.
func kinds(t *testing.T) map[string]map[int]string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^-- +(\d+) ([a-zA-Z' -]+?)(?:  |,|$)`)
	out := map[string]map[int]string{}
	for table, file := range map[string]string{"account_item": "00016_account_item.sql", "tenant_item": "00017_tenant_item.sql"} {
		f, err := schema.Tenant("t_1").Open(file)
		if err != nil {
			t.Fatal(err)
		}
		text := new(bytes.Buffer)
		_, err = text.ReadFrom(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(text.String(), "-- +goose Up")
		found := map[int]string{}
		for _, l := range line.FindAllStringSubmatch(head, -1) {
			n, _ := strconv.Atoi(l[1])
			found[n] = l[2]
		}
		if len(found) < 10 {
			t.Fatalf("%s lists %v", file, found)
		}
		out[table] = found
	}
	return out
}
