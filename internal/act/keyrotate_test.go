package act_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/certs"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/process"
	"github.com/auroralocus/locus/internal/tenant"
)

// keyed is a deployment whose processes have their master keys from one file.
type keyed struct {
	*mortal
	conn    *pgx.Conn
	further *pgx.Conn      // to the second database, if there is one
	far     *tenant.Tenant // that lies there
	second  int32
}

func newKeyed(t *testing.T) *keyed {
	t.Helper()
	m := &keyed{mortal: newMortal(t)}
	m.conn = m.connect(m.url)
	return m
}

func (m *keyed) connect(url string) *pgx.Conn {
	m.t.Helper()
	conn, err := pgx.Connect(m.t.Context(), url)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// newKeyedOnTwo has a second database, and a tenant with accounts in it.
func newKeyedOnTwo(t *testing.T) *keyed {
	t.Helper()
	second := dbtest.EmptyURL(t)
	m := &keyed{mortal: newMortalWith(t, dbtest.URL(t), map[string]string{"second": second})}
	m.conn, m.further = m.connect(m.url), m.connect(second)
	ctx := t.Context()
	node, err := m.AddNode(ctx, act.Operator{}, "second", true, "")
	if err != nil {
		t.Fatal(err)
	}
	m.second = node.ID
	if m.far, err = m.CreateTenant(ctx, act.Operator{}, tenant.Spec{Hostname: "far.test", Node: node.ID}); err != nil {
		t.Fatal(err)
	}
	password := "a-good-password"
	for i := range 3 {
		_, _, err := m.CreateAccount(ctx, m.far, act.Operator{}, account.Request{Handle: fmt.Sprintf("user%d.far.test", i), Email: fmt.Sprintf("far%d@example.com", i), Password: &password})
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *keyed) exec(text string, args ...any) {
	m.t.Helper()
	if _, err := m.conn.Exec(m.t.Context(), text, args...); err != nil {
		m.t.Fatalf("%s: %v", text, err)
	}
}

// fill seals something in every place that the program seals in.
func (m *keyed) fill() {
	m.t.Helper()
	s, ctx := m.tenant.Schema, m.t.Context()
	seal := func(b keyring.Binding) []byte {
		sealed, err := m.keys.Seal(b, []byte("secret"))
		if err != nil {
			m.t.Fatal(err)
		}
		return sealed
	}
	if err := m.SetSMTP(ctx, m.tenant, act.Operator{}, "smtp://u:p@mail.example.com"); err != nil {
		m.t.Fatal(err)
	}
	if _, err := m.parts.Sessions.OAuth(ctx, m.now2()); err != nil { // makes the key of access tokens
		m.t.Fatal(err)
	}
	reserved, err := m.keys.GenerateSigningKey()
	if err != nil {
		m.t.Fatal(err)
	}
	sealed, err := m.keys.SealSigningKey(s.String(), 0, reserved)
	if err != nil {
		m.t.Fatal(err)
	}
	item := "INSERT INTO " + s.String() + ".tenant_item (kind, key, number, secret) VALUES ($1, $2, $3, $4)"
	store, _ := archive.TenantItemBinding(s.String(), 11, "", 7)
	m.exec(item, 11, []byte{0, 7}, 7, seal(store))
	m.exec(item, 14, []byte("did:key:z"), 0, sealed)
	m.exec(item, 5, []byte("a message"), 0, seal(outbox.Binding(s, "a message")))
	for aid := range 150 { // more than a page, of accounts that are gone
		m.exec("INSERT INTO "+s.String()+".account_item (aid, kind, secret) VALUES ($1, 1, $2)", 1000+aid, seal(archive.FactorBinding(s.String(), int64(1000+aid))))
	}
	m.exec("INSERT INTO control.tls_item (item, sealed, size, modified_at) VALUES ('a/b', $1, 1, now())", seal(certs.Binding("a/b")))
	m.exec("INSERT INTO control.operator_factor (who, factor_id, kind, name, sealed, counter, created_at) VALUES ('token:a', 'x', 1, '', $1, 0, now())", seal(operator.Binding("token:a")))
	question, err := m.keys.GenerateMACKey("control", operator.SecretQuestions)
	if err != nil {
		m.t.Fatal(err)
	}
	m.exec("INSERT INTO control.operator_secret (purpose, sealed, created_at) VALUES ($1, $2, now())", operator.SecretQuestions, question)
	name := act.AnswerName{Caller: "someone", Key: "k"}
	m.exec("INSERT INTO control.idempotency (caller, key, digest, status, content_type, answer, created_at, busy_until) VALUES ('someone', 'k', '', 200, '', $1, now(), now())", seal(name.Binding()))
	m.exec(`INSERT INTO control.job (job_id, kind, tenant_id, alone, local, state, args, created_by, created_at, due_at)
		VALUES ('0', 'backup drill', 0, false, true, 4, jsonb_build_object('sealedIdentity', replace(encode($1::bytea, 'base64'), E'\n', '')), '', now(), now())`,
		seal(keyring.Binding{Schema: "control", Owner: "backup", Purpose: "backup_identity"}))
}

// under finds values that are sealed under a key in any column of any table of any database, by their form alone. What a
// tenant has left behind that was moved is not looked at.
func (m *keyed) under(id byte) (found []string) {
	m.t.Helper()
	found = m.underIn(m.conn, id)
	if m.further != nil {
		found = append(found, m.underIn(m.further, id)...)
	}
	return found
}

func (m *keyed) underIn(conn *pgx.Conn, id byte) (found []string) {
	m.t.Helper()
	ctx := m.t.Context()
	rows, err := conn.Query(ctx, `SELECT format('%I.%I', table_schema, table_name), quote_ident(column_name), data_type FROM information_schema.columns
		WHERE (table_schema = 'control' OR table_schema LIKE 't\_%') AND table_schema NOT LIKE '%\_moved' AND data_type IN ('bytea', 'jsonb')`)
	if err != nil {
		m.t.Fatal(err)
	}
	type column struct{ Table, Name, Type string }
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	if err != nil {
		m.t.Fatal(err)
	}
	for _, c := range columns {
		value := c.Name
		if c.Type == "jsonb" {
			value = fmt.Sprintf("CASE WHEN jsonb_typeof(%[1]s) = 'object' THEN decode(%[1]s->>'sealedIdentity', 'base64') END", c.Name)
		}
		var n int
		err := conn.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT %s AS v FROM %s) x WHERE length(v) >= 30 AND get_byte(v, 0) = 1 AND get_byte(v, 1) = $1", value, c.Table), int(id)).Scan(&n)
		if err != nil {
			m.t.Fatal(err)
		}
		if n > 0 {
			found = append(found, fmt.Sprintf("%d in %s.%s", n, c.Table, c.Name))
		}
	}
	return found
}

// rotating is a process that may rotate keys. Each has a keyring of its own.
type rotating struct {
	*living
	masters *act.MasterKeys
}

func (m *keyed) rotating() *rotating {
	m.t.Helper()
	m.unlock(m.t)
	l := &rotating{living: m.process()}
	l.masters = act.NewMasterKeys(l.TenantActs, m.keys, m.given, -time.Second, slog.New(slog.DiscardHandler))
	l.jobs.Register(l.masters.RotateKind(nil))
	return l
}

func (m *keyed) given(context.Context) (*keyring.Master, error) {
	return keyring.LoadMaster(filepath.Join(m.dir, "master.key"))
}

func none(string, int64, int64) {}

// allOpens has a copy of the file of keys open everything.
func (m *keyed) allOpens(where string, by *rotating) {
	m.t.Helper()
	given, err := m.given(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	is, err := by.masters.CheckCopy(m.t.Context(), act.Operator{}, given, none)
	if err != nil || !is.OK || is.Sealed < 160 {
		m.t.Errorf("%s: %+v, %v", where, is, err)
	}
}

// A rotation whose process is killed at any statement is brought to its end by another one: everything opens by the new
// key, nothing is left under the old one, and the old one is refused. What each account signs with stays as it was.
func TestKeyRotationKilled(t *testing.T) {
	t.Parallel()
	m := newKeyedOnTwo(t)
	m.write()
	m.fill()
	before := m.public()
	from, stride := strides()
	if stride > 1 {
		from, stride = from+rand.IntN(2)*stride, 2*stride // each takes long: a run tries half as many
	}
	kills := 0
	for n, old := from, byte(1); ; n += stride {
		key, err := keyring.AppendMaster(filepath.Join(m.dir, "master.key"), 0)
		if err != nil {
			t.Fatal(err)
		}
		where := fmt.Sprintf("to key %d, killed at %d", key.ID, n)
		died := m.killedAt(n, n/stride%2 == 0, key, where)
		m.seconds.Add(60)
		again := m.rotating()
		m.allOpens(where, again)
		if left := m.under(old); len(left) > 0 {
			t.Errorf("%s: under key %d is left: %v", where, old, left)
		}
		is, err := again.masters.Status(t.Context(), true, none)
		if err != nil || m.keys.Current() != key.ID || len(is.Keys) != int(key.ID) || is.Keys[old-1].State != "refused" || is.Keys[old].State != "seals" || is.Keys[old].Values < 160 || is.Unknown != nil {
			t.Errorf("%s: %+v, %v", where, is, err)
		}
		again.parts.DB.Close()
		m.write()
		m.holds(where, tenant.Active, "")
		if t.Failed() {
			t.FailNow()
		}
		if old = key.ID; !died {
			break
		}
		kills++
	}
	if now := m.public(); !slices.Equal(before, now) {
		t.Errorf("keys are others than before: %v, %v", before, now)
	}
	t.Logf("killed %d times", kills)
}

// public are the keys that DID documents name, and PLC's.
func (m *keyed) public() []string { return m.publicIn(m.conn) }

func (m *keyed) publicIn(conn *pgx.Conn) []string {
	m.t.Helper()
	s := m.tenant.Schema.String()
	rows, err := conn.Query(m.t.Context(), "SELECT key_public FROM "+s+".account UNION ALL SELECT value FROM "+s+".tenant_item WHERE kind = 1 ORDER BY 1")
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// killedAt has a process rotate, and kills it.
func (m *keyed) killedAt(n int, after bool, key keyring.Key, where string) (died bool) {
	m.t.Helper()
	first := m.rotating()
	defer first.parts.DB.Close()
	ctx := m.t.Context()
	if _, err := first.parts.Tenants.ByID(ctx, m.tenant.ID); err != nil {
		m.t.Fatal(err)
	}
	spec, err := first.masters.StartRotation(ctx, act.Operator{}, first.jobs, act.KeyRotation{})
	if err != nil {
		m.t.Fatal(err)
	}
	if after {
		first.proxy.DieAfter(n)
	} else {
		first.proxy.DieBefore(n)
	}
	_, err = first.jobs.Do(ctx, spec, nil)
	if died = first.proxy.Disarm() > 0; !died {
		if err != nil {
			m.t.Fatalf("%s: %v", where, err)
		}
		return false
	}
	m.seconds.Add(60)
	second := m.rotating()
	defer second.parts.DB.Close()
	m.carriesOn(second, spec, where)
	return true
}

// carriesOn has a process bring the rotation to its end, or begin it where it was not begun.
func (m *keyed) carriesOn(p *rotating, spec job.Spec, where string) {
	m.t.Helper()
	ctx := m.t.Context()
	open, err := p.jobs.List(ctx, job.Filter{Max: 1})
	if err != nil {
		m.t.Fatal(err)
	}
	if open[0].Kind != act.JobKeyRotate || open[0].Ended() && open[0].CreatedAt.Before(m.now().Add(-70*time.Second)) {
		if _, err := p.jobs.Do(ctx, spec, nil); err != nil {
			m.t.Fatalf("%s: begun anew: %v", where, err)
		}
		return
	}
	run, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- p.jobs.Run(run) }()
	j, err := p.jobs.Watch(ctx, open[0].ID, nil)
	if err != nil {
		m.t.Fatalf("%s: %+v: %v", where, j, err)
	}
	end()
	<-ended
}

// A rotation waits for a process that does not know the new key, and leaves everything as it was if it waits in vain. A
// tenant that is switched off or deleted is resealed like the others. Who has only the old key then is told so.
func TestKeyRotationWaits(t *testing.T) {
	t.Parallel()
	m := newKeyed(t)
	m.fill()
	ctx := t.Context()
	p := m.rotating()
	gone, err := p.CreateTenant(ctx, act.Operator{}, tenant.Spec{Hostname: "gone.test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.parts.Tenants.Delete(ctx, gone, "", m.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	off, err := p.CreateTenant(ctx, act.Operator{}, tenant.Spec{Hostname: "off.test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.jobs.Do(ctx, act.SuspendTenant(off, act.Operator{}, ""), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := p.masters.StartRotation(ctx, act.Operator{}, p.jobs, act.KeyRotation{}); !errors.Is(err, act.ErrNoNewKey) {
		t.Errorf("without another key: %v", err)
	}
	// Another process, with the first key only, which nobody gives the second.
	onlyFirst, err := m.given(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.New(onlyFirst, 0)
	if err != nil {
		t.Fatal(err)
	}
	held := onlyFirst
	other := act.NewMasterKeys(p.TenantActs, ring, func(context.Context) (*keyring.Master, error) { return held, nil }, -time.Second, slog.New(slog.DiscardHandler))
	self := process.New(p.parts.DB, m.now, slog.New(slog.DiscardHandler))
	self.Holds(other)
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- self.Run(serving, "other:1", "test") }()
	m.await("the other process", func() bool {
		list, err := process.Alive(ctx, p.parts.DB, m.now())
		return err == nil && len(list) == 1 && len(list[0].Keys) == 1
	})
	key, err := keyring.AppendMaster(filepath.Join(m.dir, "master.key"), 0)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := p.masters.StartRotation(ctx, act.Operator{}, p.jobs, act.KeyRotation{Wait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.jobs.Do(ctx, spec, func(j job.Job) {
		if strings.Contains(j.Step, "other:1") {
			m.seconds.Add(2) // patience is over
		}
	})
	if !errors.Is(err, act.ErrNotKnown) || !strings.Contains(err.Error(), "other:1") {
		t.Errorf("a process that does not know the key: %v", err)
	}
	if is, err := p.masters.Status(ctx, false, none); err != nil || is.Keys[0].State != "seals" || is.Keys[1].State != "given" || m.keys.Current() != 1 {
		t.Errorf("after that: %+v, %v", is, err)
	}
	stop()
	<-served
	if spec, err = p.masters.StartRotation(ctx, act.Operator{}, p.jobs, act.KeyRotation{To: int(key.ID)}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.jobs.Do(ctx, spec, nil); err != nil {
		t.Fatal(err)
	}
	if left := m.under(1); len(left) > 0 {
		t.Errorf("under key 1 is left: %v", left)
	}
	if _, err := other.Adopt(ctx, false); !errors.Is(err, act.ErrKeyMissing) || !errors.Is(err, act.ErrKeyRefused) {
		t.Errorf("who has the old key only: %v", err)
	}
	if other.Follow(ctx, 1_000_000); other.Fit(ctx) == nil {
		t.Error("who has the old key only goes on serving")
	}
	if _, err := ring.Seal(keyring.Binding{Schema: "control", Purpose: "x"}, []byte("x")); !errors.Is(err, keyring.ErrUnknownMaster) {
		t.Errorf("and seals by it: %v", err)
	}
	m.copies(p, onlyFirst)
}

// copies tries copies of the master key: the old one opens nothing any more, and another one of the same number is told.
func (m *keyed) copies(p *rotating, old *keyring.Master) {
	m.t.Helper()
	ctx := m.t.Context()
	is, err := p.masters.CheckCopy(ctx, act.Operator{}, old, none)
	if err != nil || is.OK || is.Wrong < 160 || !strings.Contains(is.Problems[0], "no key 2") {
		m.t.Errorf("a copy of the old key: %+v, %v", is, err)
	}
	wrong, err := keyring.ParseMaster(keyring.NewMasterText(2))
	if err != nil {
		m.t.Fatal(err)
	}
	if is, err = p.masters.CheckCopy(ctx, act.Operator{}, wrong, none); err != nil || is.OK || !strings.Contains(is.Problems[0], "another one") {
		m.t.Errorf("another key 2: %+v, %v", is, err)
	}
	if sum, err := act.ReadProofs(ctx, p.parts.DB, m.now()); err != nil || len(sum.Keys) != 1 || sum.Keys[0].ProvedAt != nil {
		m.t.Errorf("%+v, %v", sum, err)
	}
	m.allOpens("a good copy", p)
	if sum, err := act.ReadProofs(ctx, p.parts.DB, m.now()); err != nil || len(sum.Keys) != 1 || sum.Keys[0].ProvedAt == nil {
		m.t.Errorf("%+v, %v", sum, err)
	}
}

func (m *keyed) await(what string, ok func() bool) {
	m.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			m.t.Fatal(what + " does not come")
		}
	}
}

// A copy of the database is tried with a copy of the key, and the deployment remembers it. Its own database is no copy.
func TestRestoredCopy(t *testing.T) {
	t.Parallel()
	m := newKeyed(t)
	m.fill()
	p, ctx := m.rotating(), t.Context()
	given, err := m.given(ctx)
	if err != nil {
		t.Fatal(err)
	}
	by := act.Operator{Deployment: auth.DeploymentOwner}
	m.seconds.Add(60) // later than anything in it
	if _, err := p.masters.CheckRestored(ctx, by, p.parts.DB, given, none); !errors.Is(err, act.ErrNoCopy) {
		t.Errorf("the deployment's own database: %v", err)
	}
	copied := dbtest.URL(t)
	conn, err := pgx.Connect(ctx, copied)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := p.masters.CheckRestored(ctx, by, dbtest.Open(t, copied), given, none); !errors.Is(err, act.ErrNoCopy) {
		t.Errorf("another deployment's: %v", err)
	}
	for _, name := range []string{"tenant", "tls_item"} { // a copy that has the tenant's row, and lost its schema's
		m.copyTable(conn, "control."+name)
	}
	is, err := p.masters.CheckRestored(ctx, by, dbtest.Open(t, copied), given, none)
	if err != nil || !is.OK || is.Tenants != 1 || is.Sealed != 1 {
		t.Errorf("%+v, %v", is, err)
	}
	sum, err := act.ReadProofs(ctx, p.parts.DB, m.now())
	if err != nil || sum.Deployment == nil || sum.Deployment.ProvedAt == nil || sum.Deployment.Sealed != 1 {
		t.Errorf("%+v, %v", sum.Deployment, err)
	}
}

// copyTable copies the rows of a table into another database.
func (m *keyed) copyTable(to *pgx.Conn, table string) {
	m.t.Helper()
	var rows bytes.Buffer
	if _, err := m.conn.PgConn().CopyTo(m.t.Context(), &rows, "COPY "+table+" TO STDOUT"); err != nil {
		m.t.Fatal(err)
	}
	if _, err := to.PgConn().CopyFrom(m.t.Context(), &rows, "COPY "+table+" FROM STDIN"); err != nil {
		m.t.Fatal(err)
	}
}
