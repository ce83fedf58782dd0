package act_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// Columns that may be others after a restore into another deployment, and why.
var mayDiffer = map[string]string{
	"account.key_sealed":      "sealed under the other master key",
	"account_item.1.secret":   "a code's secret is sealed under the other master key; that it is the same one is looked at",
	"tenant_item.1.secret":    "secrets and keys are sealed under the other master key",
	"tenant_item.14.secret":   "the same",
	"actor.head_commit":       "consumers are told of each active account with a commit of its own, which has the same tree",
	"actor.head_cid":          "the same",
	"actor.head_rev":          "the same",
	"stream_head.last_seq":    "the stream goes on behind all numbers that anybody may know",
	"stream_head.last_us":     "the same",
	"stream_head.jumped_from": "the same",
	"stream_head.jumped_to":   "the same",
	"stream_head.next_aid":    "numbers of accounts that were made since are not given out again",
	"stream_head.timeline":    "another server's history",
	"blob.store":              "the number of a store here",
	"blob.object":             "where it is in that store",
}

// What control knows of a tenant, and what a restore into another deployment makes of it.
var ofControl = map[string]string{
	"tenant":           "comes: settings, state and the schema's version",
	"hostname":         "comes, unless the restore names another",
	"due":              "made anew of what is due",
	"crawler":          "the relays of that deployment are told anew",
	"tenant_life":      "a deletion that was under way is the other deployment's",
	"tenant_move":      "the other deployment's",
	"tenant_proof":     "what was proved of archives of the other deployment",
	"job":              "work of the other deployment",
	"audit":            "what operators of the other deployment did; the tenant's own log comes",
	"operator_token":   "tokens of the operator API are the deployment's; tokens of the tenant's own operators come",
	"usage_day":        "what the other deployment counted, and bills",
	"quota_reached":    "the same",
	"handle_elsewhere": "what the other deployment saw",
	"handles_listed":   "the same",
	"spare":            "a schema made ahead, no tenant's",
	"tls_name":         "certificates are ordered anew",
	"tls_order":        "the same",
	"leftover":         "what the other deployment has to clear away",
}

// Kinds of rows in tenant_item that are not restored as they were, and why.
var itemsLeft = map[int]string{
	5:  "mail that waited was sent meanwhile",
	6:  "mail that was sent",
	11: "stores are the deployment's own",
	12: "objects that waited to be deleted may be another's now",
}

func (l *living) archives(m *mortal) *act.Archives {
	log := slog.New(slog.DiscardHandler)
	store := &archive.Store{DB: l.parts.DB, Blobs: l.parts.Blobs, Keys: m.keys, Now: m.now, Log: log, Program: "test"}
	return act.NewArchives(l.parts.DB, l.parts.Tenants, l.parts.Hub, store, m.now, log)
}

// livesThrough has the tenant's people and operators do things at random.
func (m *mortal) livesThrough(l *living, r *rand.Rand) {
	m.t.Helper()
	ctx, by := m.t.Context(), act.Operator{Operator: auth.Operator{Name: "cli:test", Role: auth.RoleOwner}}
	must := func(err error) {
		m.t.Helper()
		if err != nil {
			m.t.Fatal(err)
		}
	}
	password := "a-good-password"
	for i := range 3 + r.IntN(3) {
		did, _, err := m.CreateAccount(ctx, m.tenant, by, account.Request{Handle: fmt.Sprintf("more%d.%s", i, m.domain), Email: fmt.Sprintf("m%d@example.com", i), Password: &password})
		must(err)
		m.dids = append(m.dids, did)
	}
	page, err := l.parts.Repos.ListRepos(ctx, m.tenant.Schema, 0, 20)
	must(err)
	for i, one := range page {
		for n := range r.IntN(30) {
			path := "app.bsky.feed.post/" + strconv.Itoa(n)
			_, err := l.parts.Repos.Write(ctx, m.tenant.Schema, one.AID, repodb.Options{}, func(*repodb.View) ([]repo.Write, error) {
				return []repo.Write{{Action: repo.ActionCreate, Path: path, Record: post(fmt.Sprint(path, r.Uint64()))}}, nil
			})
			must(err)
		}
		for range r.IntN(3) {
			content := make([]byte, 1+r.IntN(300_000))
			for i := range content {
				content[i] = byte(r.Uint32())
			}
			_, err := l.parts.Blobs.Upload(ctx, blob.Upload{Owner: blob.Owner{Schema: m.tenant.Schema, AID: one.AID, DID: m.dids[i]}, ContentType: "image/png"}, bytes.NewReader(content))
			must(err)
		}
	}
	// Whoever was taken down or deactivated before is nobody to some acts.
	may := func(err error) {
		m.t.Helper()
		if !errors.Is(err, account.ErrNotFound) && !errors.Is(err, act.ErrGone) && !errors.Is(err, account.ErrAuthenticatorOn) {
			must(err)
		}
	}
	any := func() string { return m.dids[r.IntN(len(m.dids))] }
	number := int64(1_000_000 + r.IntN(1000))
	for range 12 {
		switch r.IntN(6) {
		case 0:
			may(l.SetAccountStatus(ctx, m.tenant, by, any(), &act.Mark{Applied: r.IntN(2) == 0, Ref: "case"}, nil))
		case 1:
			may(l.SetAccountStatus(ctx, m.tenant, by, any(), nil, &act.Mark{Applied: r.IntN(2) == 0}))
		case 2:
			_, err := l.Invite(ctx, m.tenant, by, any(), 1+int64(r.IntN(5)))
			may(err)
		case 3:
			_, err := l.SetRecordLimits(ctx, m.tenant, by, any(), &number, nil)
			may(err)
		case 4:
			_, err := l.SetBlobLimit(ctx, m.tenant, by, any(), &number)
			may(err)
		case 5:
			who, err := account.ByDID(ctx, l.parts.DB.Tenant(m.tenant.Schema).Q(), any())
			if err == nil {
				_, err = l.OfferAuthenticator(ctx, m.tenant, by, who)
			}
			may(err)
		}
	}
	_, err = l.AddOperator(ctx, m.tenant, by, "somebody", auth.RoleOwner, act.NewToken{})
	must(err)
	m.tenant, err = l.SetTenant(ctx, m.tenant, by, map[string]string{"display_name": fmt.Sprint("house ", r.IntN(100))}, "")
	must(err)
}

// contents are all rows of a tenant, table by table, as JSON, but for what may differ.
func (m *mortal) contents(url, schema string, upTo int64) map[string][]string {
	m.t.Helper()
	ctx := m.t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(ctx, "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND relkind = 'r' AND relname NOT IN ('oauth_proof', 'chore', 'goose_db_version') ORDER BY 1", schema)
	if err != nil {
		m.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 10 {
		m.t.Fatal(tables, err)
	}
	out := map[string][]string{}
	for _, table := range tables {
		rows, err := conn.Query(ctx, "SELECT to_jsonb(t)::text FROM "+schema+"."+table+" t")
		if err != nil {
			m.t.Fatal(err)
		}
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			m.t.Fatal(err)
		}
		for _, text := range texts {
			var row map[string]any
			if err := json.Unmarshal([]byte(text), &row); err != nil {
				m.t.Fatal(err)
			}
			if number, ok := row["kind"].(float64); ok && table == "tenant_item" && itemsLeft[int(number)] != "" {
				continue
			}
			if seq, ok := row["seq"].(float64); ok && table == "repo_event" && int64(seq) > upTo {
				continue // what consumers are told anew
			}
			if kind, ok := row["kind"].(float64); ok && table == "account_item" && kind == 1 {
				sealed, err := hex.DecodeString(strings.TrimPrefix(row["secret"].(string), `\x`))
				if err != nil {
					m.t.Fatal(err)
				}
				plain, err := m.keys.Open(archive.FactorBinding(schema, int64(row["aid"].(float64))), sealed)
				if err != nil {
					m.t.Errorf("the secret of account %v: %v", row["aid"], err)
				}
				row["opened"] = plain
			}
			for column := range row {
				of := table
				if kind, ok := row["kind"].(float64); ok && table != "repo_event" {
					of += "." + strconv.Itoa(int(kind))
				}
				if mayDiffer[of+"."+column] != "" && row[column] != nil {
					row[column] = "another"
				}
			}
			line, err := json.Marshal(row)
			if err != nil {
				m.t.Fatal(err)
			}
			out[table] = append(out[table], string(line))
		}
		slices.Sort(out[table])
	}
	return out
}

// A tenant with anything in it comes back in another deployment, under another master key, as it was: every table, row by
// row, but for what is listed above with its reason.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if text := os.Getenv("LOCUS_TEST_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("LOCUS_TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	from := newMortal(t)
	l := from.process()
	from.hasEverything(l, r)
	const password = "a-good-password"
	stays, handle, err := from.CreateAccount(t.Context(), from.tenant, act.Operator{}, account.Request{Handle: "stays.test", Email: "stays@example.com", Password: new(password)})
	if err != nil {
		t.Fatal(err)
	}
	from.dids = append(from.dids, stays)
	session, err := from.SignIn(t.Context(), from.tenant, act.Visitor{}, act.Credentials{Identifier: handle, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	before := from.contents(from.url, from.tenant.Schema.String(), 1<<60)
	const identity, recipient = "AGE-SECRET-KEY-1M3UKX0UQJQTR2SCCF5FPYDE2URZC8QKJ07L327RGL3F7A875NU5QJQMMWC", "age1rxxxt5yejyvxu9ztsd70zuctuhjj4yflt637g5h90cmcnuj9aahqev5s86"
	var file bytes.Buffer
	made, _, err := l.archives(from).Backup(t.Context(), from.tenant, act.Operator{}, &file, archive.Options{Blobs: archive.BlobsIncluded, Lock: archive.Lock{Recipients: []string{recipient}}})
	if err != nil {
		t.Fatal(err)
	}
	to := newMortal(t)
	into := to.process()
	restore := func(raw []byte) (act.Restored, error) {
		return into.archives(to).Restore(t.Context(), act.Operator{}, act.Restore{Hostname: "back.test", Open: func() (io.ReadCloser, error) {
			in, err := archive.Keys{Identities: identity}.Unwrap(bytes.NewReader(raw))
			return io.NopCloser(in), err
		}})
	}
	// Whatever is wrong with the file is found, and nothing of it stays.
	for name, bad := range damaged(file.Bytes(), r) {
		if _, err := restore(bad); !errors.Is(err, archive.ErrDamaged) && !errors.Is(err, archive.ErrNotArchive) && !errors.Is(err, archive.ErrWrongKey) && !errors.Is(err, archive.ErrEncrypted) {
			t.Errorf("%s: %v", name, err)
		}
		to.empty(name)
	}
	// The tenant keeps its handle domains where its hostname is the same, so it goes to a deployment that has not got them.
	if _, err := to.goes(into); err != nil {
		t.Fatal(err)
	}
	out, err := into.archives(to).Restore(t.Context(), act.Operator{}, act.Restore{Open: func() (io.ReadCloser, error) {
		in, err := archive.Keys{Identities: identity}.Unwrap(bytes.NewReader(file.Bytes()))
		return io.NopCloser(in), err
	}})
	if err != nil {
		t.Fatal(err)
	}
	after := to.contents(to.url, out.Tenant.Schema.String(), made.LastSeq)
	for table := range before {
		if table == "tenant_item" {
			continue
		}
		if diff := cmp.Diff(before[table], after[table]); diff != "" {
			t.Errorf("%s: %s", table, diff)
		}
	}
	if got, err := into.Sessions.Account(t.Context(), out.Tenant, "Bearer "+session.Access, auth.Proof{}, auth.Full); err != nil || got.DID != stays {
		t.Errorf("who was signed in before is %q: %v", got.DID, err)
	}
	// The log has the restore's own line more; all else is there.
	for _, line := range before["tenant_item"] {
		if !slices.Contains(after["tenant_item"], line) {
			t.Errorf("tenant_item lacks %s", line)
		}
	}
	if extra := len(after["tenant_item"]) - len(before["tenant_item"]); extra < 0 || extra > 2 {
		t.Errorf("tenant_item has %d rows more", extra)
	}
	err = into.parts.Repos.CheckTenant(t.Context(), out.Tenant.Schema, func(r repodb.Report) error {
		for _, p := range r.Problems {
			t.Errorf("account %d: %s", r.AID, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := into.parts.Blobs.Verify(t.Context(), out.Tenant.Schema, blob.VerifyOptions{}, func(p blob.Problem) error { return fmt.Errorf("%+v", p) }); err != nil {
		t.Errorf("files: %+v, %v", v, err)
	}
}

// Of each table of control that says something of tenants it is decided whether that goes with them.
func TestOfControl(t *testing.T) {
	t.Parallel()
	conn := dial(t, dbtest.URL(t))
	defer closed(t, conn)
	rows, err := conn.Query(t.Context(), "SELECT DISTINCT table_name::text FROM information_schema.columns WHERE table_schema = 'control' AND column_name IN ('tenant_id', 'schema_name')")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if ofControl[table] == "" {
			t.Errorf("control.%s: does it come with a tenant that is restored elsewhere?", table)
		}
	}
	for table := range ofControl {
		if !slices.Contains(tables, table) {
			t.Errorf("control.%s is not of tenants any more", table)
		}
	}
}

// damaged are archives that must not be taken.
func damaged(file []byte, r *rand.Rand) map[string][]byte {
	out := map[string][]byte{"nothing": {}, "something else": []byte("a letter")}
	for range 4 {
		cut := r.IntN(len(file))
		out[fmt.Sprint("cut at ", cut)] = file[:cut]
		bit := r.IntN(len(file) * 8)
		flipped := bytes.Clone(file)
		flipped[bit/8] ^= 1 << (bit % 8)
		out[fmt.Sprint("bit ", bit)] = flipped
	}
	const piece = 64<<10 + 16 // what is encrypted at once
	swapped := bytes.Clone(file)
	if n := len(file) - 3*piece; n > 0 {
		a, b := swapped[n:n+piece], swapped[n+piece:n+2*piece]
		tmp := bytes.Clone(a)
		copy(a, b)
		copy(b, tmp)
		out["two pieces exchanged"] = swapped
	}
	return out
}

// empty holds that a refused restore has left nothing.
func (m *mortal) empty(where string) {
	m.t.Helper()
	conn, err := pgx.Connect(m.t.Context(), m.url)
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var schemas, tenants int
	err = conn.QueryRow(m.t.Context(), "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 't\\_%'), (SELECT count(*) FROM control.tenant)").Scan(&schemas, &tenants)
	if err != nil || schemas != 1 || tenants != 1 {
		m.t.Errorf("%s: %d schemas and %d tenants: %v", where, schemas, tenants, err)
	}
	files := 0
	_ = filepath.WalkDir(filepath.Join(m.dir, "blobs"), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files++
		}
		return nil
	})
	if files > 1 { // the folder's label
		m.t.Errorf("%s: %d files are left", where, files)
	}
}

// goes removes the tenant that came with the deployment.
func (m *mortal) goes(l *living) (any, error) {
	if _, err := l.parts.Tenants.ByID(m.t.Context(), m.tenant.ID); err != nil {
		return nil, err
	}
	if _, err := l.parts.Tenants.Delete(m.t.Context(), m.tenant, "", m.now().Add(-time.Minute)); err != nil {
		return nil, err
	}
	return l.jobs.Do(m.t.Context(), act.PurgeTenant(m.tenant.ID, act.Operator{}, true, true), nil)
}

// How fast a backup is, and what writers lose by it: LOCUS_BENCH_BACKUP=megabytes of files. It runs only when asked for.
func TestBackupSpeed(t *testing.T) {
	megabytes, _ := strconv.Atoi(os.Getenv("LOCUS_BENCH_BACKUP"))
	if megabytes == 0 {
		return
	}
	m := newMortal(t)
	l := m.process()
	page, err := l.parts.Repos.ListRepos(t.Context(), m.tenant.Schema, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	aid := page[0].AID
	random := rand.New(rand.NewPCG(1, 2))
	for range megabytes {
		content := make([]byte, 1<<20)
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		if _, err := l.parts.Blobs.Upload(t.Context(), blob.Upload{Owner: blob.Owner{Schema: m.tenant.Schema, AID: aid, DID: m.dids[0]}, ContentType: "image/png"}, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	write := func() int { m.write(); return 1 }
	for _, mode := range []archive.BlobMode{archive.BlobsIncluded, archive.BlobsReferred} {
		for range 500 {
			write()
		}
		// Alternately: a second of writes alone, and writes while one backup after the other is made.
		var alone, beside, bytes, backups int64
		var quiet, busy time.Duration
		for range 3 {
			for began := time.Now(); time.Since(began) < time.Second; {
				alone += int64(write())
			}
			quiet += time.Second
			stop, done := make(chan struct{}), make(chan error, 1)
			began := time.Now()
			go func() {
				for {
					select {
					case <-stop:
						done <- nil
						return
					default:
					}
					out := &counter{}
					if _, _, err := l.archives(m).Backup(t.Context(), m.tenant, act.Operator{}, out, archive.Options{Blobs: mode}); err != nil {
						done <- err
						return
					}
					bytes += out.n
					backups++
				}
			}()
			for time.Since(began) < time.Second {
				beside += int64(write())
			}
			close(stop)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			busy += time.Since(began)
		}
		t.Logf("%s: %d backups, %.0f MB/s; writes beside them %.2f of alone", mode, backups, float64(bytes)/1e6/busy.Seconds(), float64(beside)/float64(alone))
	}
}

// counter counts what it is given.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }
