package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"
)

// TestSuspendAndResume: a tenant is switched off in all processes and on again; the relay that follows is told, and never
// complains; sessions survive.
func TestSuspendAndResume(t *testing.T) {
	t.Parallel()
	h := newLifeHouse(t)
	alice, bob := h.account(lifeHost, "alice"), h.account(lifeHost, "bob")
	h.ask(0, "POST", lifeHost, "/xrpc/com.atproto.server.deactivateAccount", bob.Access, map[string]any{})
	r := h.relay(lifeHost, 0)
	r.hears("#account "+bob.DID+" false deactivated", 1)

	var got act.LifeResult
	h.do(act.SuspendTenant(h.of, byCommand(), "a bill"), &got)
	if got != (act.LifeResult{Hostname: lifeHost, State: "suspended", Accounts: 2}) {
		t.Errorf("%+v", got)
	}
	r.hears("#account "+alice.DID+" false suspended", 1)
	for node := range h.nodes { // the job waited until all know
		if status, text, _ := h.ask(node, "GET", lifeHost, "/xrpc/com.atproto.server.getSession", alice.Access, nil); status != 503 || !strings.Contains(text, "HostSuspended") {
			t.Error(node, status, text)
		}
	}
	again := h.relay(lifeHost, 0) // one that comes while it is suspended
	again.hears("#account "+alice.DID+" false suspended", 1)
	life, err := h.nodes[0].tenants.Life(t.Context(), h.of)
	if err != nil || life.SuspendReason != "a bill" || life.SuspendedAt.IsZero() {
		t.Error(life, err)
	}

	since := life.SuspendedAt
	h.do(act.SuspendTenant(h.of, byCommand(), ""), &got) // the same command once more, to be sure, and without the reason
	if life, err = h.nodes[0].tenants.Life(t.Context(), h.of); err != nil || life.SuspendReason != "a bill" || !life.SuspendedAt.Equal(since) {
		t.Error(life, err)
	}

	h.do(act.ResumeTenant(h.of, byCommand()), &got)
	if got.State != "active" {
		t.Errorf("%+v", got)
	}
	r.hears("#account "+alice.DID+" true ", 2) // the first when she came
	r.hears("#sync "+alice.DID, 2)
	r.hears("#account "+bob.DID+" false deactivated", 1)
	for node := range h.nodes {
		h.until("service", func() bool {
			status, _, _ := h.ask(node, "GET", lifeHost, "/xrpc/com.atproto.server.getSession", alice.Access, nil)
			return status == 200
		})
	}
	h.write(lifeHost, alice)
}

// TestDeleteUndoPurge: a deletion is told and can be undone; after its time nothing is left.
func TestDeleteUndoPurge(t *testing.T) {
	t.Parallel()
	h := newLifeHouse(t)
	alice := h.account(lifeHost, "alice")
	if status, text, _ := h.ask(0, "POST", lifeHost, "/xrpc/com.atproto.repo.uploadBlob", alice.Access, "a file"); status != 200 {
		t.Fatal(status, text)
	}
	r := h.relay(lifeHost, 0)
	var got act.LifeResult
	h.do(act.DeletionOf(h.of, byCommand(), "", time.Now().Add(time.Hour)), &got)
	r.hears("#account "+alice.DID+" false deleted", 1)
	for node := range h.nodes {
		if status, text, _ := h.ask(node, "GET", lifeHost, "/xrpc/com.atproto.server.describeServer", "", nil); status != 410 || !strings.Contains(text, "HostDeleted") {
			t.Error(node, status, text)
		}
	}
	h.relay(lifeHost, 0).hears("#account "+alice.DID+" false deleted", 1)
	jobs, ctx := h.nodes[0].jobs, t.Context()
	if _, err := jobs.Do(ctx, act.PurgeTenant(h.of.ID, byCommand(), false, true), nil); !errors.Is(err, tenant.ErrState) {
		t.Error("a purge before its time:", err)
	}
	h.do(act.UndeleteTenant(h.of, byCommand()), &got)
	if got.State != "active" {
		t.Errorf("%+v", got)
	}
	r.hears("#account "+alice.DID+" true ", 2)
	r.hears("#sync "+alice.DID, 2)
	h.until("service", func() bool {
		status, _, _ := h.ask(0, "GET", lifeHost, "/xrpc/com.atproto.server.getSession", alice.Access, nil)
		return status == 200
	})
	h.write(lifeHost, alice)

	if n := filesBelow(t, h.dir+"/blobs/"+h.of.Schema.String()); n != 1 {
		t.Errorf("%d files", n)
	}
	h.do(act.DeletionOf(h.of, byCommand(), "", time.Now()), &got)
	if err := h.nodes[1].acts.StartPurges(ctx, h.nodes[1].jobs); err != nil {
		t.Fatal(err)
	}
	list, err := jobs.List(ctx, job.Filter{TenantID: h.of.ID, Open: true, Max: 10})
	if err != nil || len(list) != 1 || list[0].Kind != act.JobPurge {
		t.Fatalf("%+v, %v", list, err)
	}
	running := make(chan error, 1)
	go func() { running <- h.nodes[1].jobs.Run(ctx) }()
	if j, err := jobs.Watch(ctx, list[0].ID, nil); err != nil || j.State != job.Done {
		t.Fatalf("%+v, %v", j, err)
	}
	select {
	case err := <-r.done: // the stream ends, too
		if websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the stream of a tenant that is gone goes on")
	}
	h.nothingLeft()
}

// nothingLeft looks at all that a tenant could leave behind.
func (h *lifeHouse) nothingLeft() {
	h.t.Helper()
	ctx, schema := h.t.Context(), h.of.Schema.String()
	for node, a := range h.nodes {
		if _, err := a.tenants.ByHost(ctx, lifeHost); !errors.Is(err, tenant.ErrUnknownHost) {
			h.t.Error(node, err)
		}
	}
	conn, err := pgx.Connect(ctx, h.url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(ctx)
	count := func(what, sql string, args ...any) {
		h.t.Helper()
		var n int
		if err := conn.QueryRow(ctx, sql, args...).Scan(&n); err != nil || n > 0 {
			h.t.Errorf("%d %s are left, %v", n, what, err)
		}
	}
	count("relations", "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1", schema)
	count("schemas", "SELECT count(*) FROM pg_namespace WHERE nspname = $1", schema)
	rows, err := conn.Query(ctx, "SELECT table_name FROM information_schema.columns WHERE table_schema = 'control' AND column_name = 'tenant_id'")
	if err != nil {
		h.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 5 {
		h.t.Fatal(tables, err)
	}
	for _, table := range tables {
		if table == "job" || table == "audit" || table == "usage_day" {
			continue // what was done to it, and what is to be paid for it
		}
		count("rows of "+table, "SELECT count(*) FROM control."+table+" WHERE tenant_id = $1", h.of.ID)
	}
	if n := filesBelow(h.t, h.dir+"/blobs"); n > 1 { // the folder's label
		h.t.Errorf("%d files are left", n)
	}
	// The name is anybody's.
	if _, err := h.nodes[0].acts.CreateTenant(ctx, byCommand(), tenant.Spec{Hostname: lifeHost}); err != nil {
		h.t.Error(err)
	}
}

// TestRename: DIDs lead to the new name, the relay is told of each identity, the old name goes on leading there.
func TestRename(t *testing.T) {
	t.Parallel()
	h := newLifeHouse(t)
	alice, bob := h.account(lifeHost, "alice"), h.account(lifeHost, "bob")
	r := h.relay(lifeHost, 0)
	spec, err := act.RenameTenant(h.of, byCommand(), "new.test", true, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var got act.RenameResult
	h.do(spec, &got)
	if got.Hostname != "new.test" || got.Was != lifeHost || got.Accounts != 2 || got.Changed != 2 || got.LeftCount != 0 {
		t.Errorf("%+v", got)
	}
	now, err := h.nodes[0].tenants.Get(t.Context(), lifeHost)
	if err != nil || now.Hostname != "new.test" {
		t.Fatal(now, err)
	}
	for _, a := range []lifeAccount{alice, bob} {
		name := strings.TrimSuffix(a.Handle, "."+lifeHost) + ".new.test"
		doc, err := h.net.builtIn.Resolve(t.Context(), a.DID)
		if err != nil || doc.PDS() != now.PublicURL || doc.Handle() != name {
			t.Errorf("%+v, %v", doc, err)
		}
		if status, text, _ := h.ask(1, "GET", name, "/.well-known/atproto-did", "", nil); status != 200 || text != a.DID {
			t.Error(status, text)
		}
		// Under both names the session is good, and what is written arrives.
		for _, host := range []string{"new.test", lifeHost} {
			if status, text, _ := h.ask(1, "GET", host, "/xrpc/com.atproto.server.getSession", a.Access, nil); status != 200 || !strings.Contains(text, name) {
				t.Error(host, status, text)
			}
			h.write(host, a)
		}
	}
	// The stream of the old name ended, and leads to the new one.
	select {
	case err := <-r.done:
		if websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the stream of the old name goes on")
	}
	fresh := h.relay("new.test", 0)
	for _, a := range []lifeAccount{alice, bob} {
		fresh.hears("#identity "+a.DID, 2)
		fresh.hears("#account "+a.DID+" true ", 2)
		fresh.hears("#sync "+a.DID, 2)
	}
	h.forwards(now)
	if _, err := h.nodes[0].acts.CreateTenant(t.Context(), byCommand(), tenant.Spec{Hostname: lifeHost}); !errors.Is(err, tenant.ErrHostnameTaken) {
		t.Error("the old name is not reserved:", err)
	}
	if _, err := h.nodes[0].acts.ReleaseName(t.Context(), now, byCommand(), lifeHost); err != nil {
		t.Fatal(err)
	}
	h.until("the end of the old name", func() bool {
		status, _, _ := h.ask(1, "GET", lifeHost, "/xrpc/com.atproto.server.describeServer", "", nil)
		return status == 421
	})
}

// forwards looks at what is answered under a former name.
func (h *lifeHouse) forwards(now *tenant.Tenant) {
	h.t.Helper()
	for _, one := range []struct {
		verb, path string
		status     int
		has        string
	}{
		{"GET", "/", 308, now.PublicURL + "/"},
		{"GET", "/account", 308, now.PublicURL + "/account"},
		{"POST", "/account/sign-in", 303, now.PublicURL + "/account/sign-in"},
		{"GET", "/xrpc/com.atproto.server.describeServer", 200, now.ServiceDID},
		{"GET", "/.well-known/did.json", 200, `"did:web:life.test`},
		{"GET", "/.well-known/oauth-authorization-server", 200, `"issuer":"http://life.test`},
		{"GET", "/.well-known/oauth-protected-resource", 200, now.PublicURL},
		{"GET", "/oauth/jwks", 200, "keys"},
		{"POST", "/oauth/par", 400, "new.test"},
		{"POST", "/oauth/token", 400, "invalid_grant"},
	} {
		var body any
		if one.verb == "POST" {
			body = map[string]string{}
		}
		status, text, head := h.ask(1, one.verb, lifeHost, one.path, "", body)
		if status != one.status || !strings.Contains(text+head.Get("Location"), one.has) {
			h.t.Errorf("%s: %d %s %s, want %d with %s", one.path, status, text, head.Get("Location"), one.status, one.has)
		}
	}
	r, answer, err := websocket.Dial(h.t.Context(), "ws"+strings.TrimPrefix(h.web[1].URL, "http")+"/xrpc/com.atproto.sync.subscribeRepos", &websocket.DialOptions{Host: lifeHost, HTTPClient: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}})
	if err == nil {
		_ = r.CloseNow()
	}
	if answer == nil || answer.StatusCode != 308 || !strings.HasPrefix(answer.Header.Get("Location"), now.PublicURL) {
		h.t.Errorf("the stream: %+v, %v", answer, err)
	}
}

// TestStandings asks every page and method of the whole server of a tenant that is suspended, and of one that is deleted:
// each answers as the table says.
func TestStandings(t *testing.T) {
	t.Parallel()
	h := newLifeHouse(t)
	h.account(lifeHost, "alice")
	server := h.nodes[0].server()
	holdTable(t, server.Standings())
	for _, away := range []struct {
		do     func() (*tenant.Tenant, error)
		status int
		reply  func(xrpc.Standing) xrpc.Reply
	}{
		{func() (*tenant.Tenant, error) { return h.nodes[0].tenants.Suspend(t.Context(), h.of, "") }, 503, func(l xrpc.Standing) xrpc.Reply { return l.Suspended }},
		{func() (*tenant.Tenant, error) {
			return h.nodes[0].tenants.Delete(t.Context(), h.of, "", time.Now().Add(time.Hour))
		}, 410, func(l xrpc.Standing) xrpc.Reply { return l.Deleted }},
	} {
		if _, err := away.do(); err != nil {
			t.Fatal(err)
		}
		patterns := append([]string{}, server.Pages...)
		for nsid, op := range server.Operations {
			patterns = append(patterns, op.Kind.Verb()+" /xrpc/"+nsid)
		}
		for _, pattern := range patterns {
			verb, path, ok := strings.Cut(pattern, " ")
			if !ok {
				verb, path = "POST", pattern
			}
			reply := away.reply(server.Standings()[path])
			path = strings.ReplaceAll(strings.ReplaceAll(path, "{$}", ""), "{page}", "x")
			path = strings.NewReplacer("{name}", "x", "{", "", "}", "", "...", "").Replace(path)
			status, text, _ := h.ask(0, verb, lifeHost, path, "", nil)
			refused := status == away.status
			if refused == (reply == xrpc.Serves) {
				t.Errorf("%s %s is said to be %v: %d %.200s", verb, path, reply, status, text)
			}
		}
		t.Logf("%d pages and methods", len(patterns))
	}
}

// holdTable holds the table of docs/tenants.md against the one that the server obeys: all that is served.
func holdTable(t *testing.T, table map[string]xrpc.Standing) {
	t.Helper()
	text, err := os.ReadFile("../../docs/tenants.md")
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	for path, l := range table {
		if l.Suspended != xrpc.Serves && l.Deleted != xrpc.Serves {
			continue
		}
		served++
		if row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", path, l.Suspended, l.Deleted, l.Why); !strings.Contains(string(text), row) {
			t.Errorf("docs/tenants.md lacks %s", row)
		}
	}
	if shown := strings.Count(string(text), "| serves |"); shown != served {
		t.Errorf("docs/tenants.md shows %d lines of what is served, of %d", shown, served)
	}
}

// What a deletion leaves a way back from is told with its end; without a time of grace there is none.
func TestWayBack(t *testing.T) {
	c := tenantDeleteCmd{Grace: days(7 * 24 * time.Hour)}
	c.Hostname = lifeHost
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	if got := c.wayBack(now); !strings.Contains(got, "until 2026-01-08 12:00Z 'locus tenant undelete "+lifeHost+"'") {
		t.Error(got)
	}
	c.Grace = 0
	if got := c.wayBack(now); strings.Contains(got, "undelete") || !strings.Contains(got, "nothing brings it back") {
		t.Error(got)
	}
}
