package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/mailtest"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// link is where the link of a list leads that goes on.
func (a answer) link(rel string) string {
	a.t.Helper()
	_, rest, ok := strings.Cut(a.body, `rel="`+rel+`" href="`)
	to, _, _ := strings.Cut(rest, `"`)
	if !ok {
		a.t.Fatalf("%s has no link %s: %.3000s", a.what, rel, a.body)
	}
	return strings.NewReplacer("&amp;", "&", "&#43;", "+").Replace(to)
}

// TestTakedowns: what a report names is looked up, taken down and brought back.
func TestTakedowns(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own, other := h.tenant("own.test"), h.tenant("other.test")
	staff := h.staff(own)
	sub, mod, adm := staff[auth.RoleSupport], staff[auth.RoleModerator], staff[auth.RoleAdmin]
	did, stranger := h.person(own, "alice"), h.person(other, "stranger")
	uri := "at://" + did + "/com.example.note/one"
	at := tenantPath("own.test") + "/takedowns"
	see := func(b *browser, subject string) answer {
		return b.get(at + "?" + url.Values{"subject": {subject}}.Encode())
	}
	h.note(own, did, "com.example.note/one")

	sub.get(at).is(200, "Look up what a report names").lacks("Decided last")
	see(sub, uri).is(200, "It is shown").lacks("Take it down")
	mod.post(at, "subject", uri, "do", "takedown", "ref", "report 9").leads(at)
	h.wrote(own, uri, mod, "com.atproto.admin.updateSubjectStatus", "report 9")
	see(mod, uri).is(200, "It is taken down", "report 9", "Bring it back")
	sub.get(tenantPath("own.test")+"/accounts/"+did).is(200, "What of it is taken down", uri, "report 9")
	adm.get(at).is(200, "Decided last", uri)
	mod.post(at, "subject", uri, "do", "restore").leads(at)
	see(mod, uri).is(200, "It is shown")
	mod.post(at, "subject", "alice.own.test", "do", "takedown", "ref", "spam").leads(at)
	if h.who(own, did).Takedown != "spam" {
		t.Error("the account is not taken down")
	}
	see(sub, did).is(200, "It is taken down", "spam")
	mod.post(at, "subject", did, "do", "restore").leads(at)

	mod.post(at, "subject", did+"/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "do", "takedown").is(404)
	made, err := h.acts.Blobs.Upload(t.Context(), blob.Upload{Owner: blob.Owner{Schema: own.Schema, AID: h.who(own, did).AID, DID: did}, ContentType: "text/plain"}, strings.NewReader("a file"))
	must(t, err)
	file := did + "/" + made.CID.String()
	see(sub, file).is(200, "It is shown")
	mod.post(at, "subject", file, "do", "takedown", "ref", "report 10").leads(at)
	h.wrote(own, file, mod, "com.atproto.admin.updateSubjectStatus", "report 10")
	see(sub, file).is(200, "It is taken down", "report 10")
	mod.get(tenantPath("own.test")+"/accounts/"+did).is(200, made.CID.String(), "report 10")
	mod.post(at, "subject", file, "do", "restore").leads(at)
	see(sub, file).is(200, "It is shown")
	for _, odd := range []string{"at://alice.own.test/com.example.note/one", "at://", did + "/x", "/", "at://" + did, "x y", strings.Repeat("x", 300)} {
		if a := see(mod, odd); a.status != 400 && a.status != 404 {
			t.Errorf("%.40q: %d %.2000s", odd, a.status, a.body)
		}
		if a := mod.post(at, "subject", odd, "do", "takedown"); a.status != 400 && a.status != 404 {
			t.Errorf("%.40q: %d %.2000s", odd, a.status, a.body)
		}
	}
	mod.post(at, "subject", uri, "do", "else").is(400)
	mod.post(at, "subject", stranger, "do", "takedown").is(404)
	if h.who(other, stranger).Takedown != "" {
		t.Error("an account of another tenant was taken down")
	}
	sub.post(at, "subject", uri, "do", "takedown").is(403)
}

// note writes a record.
func (h *house) note(t *tenant.Tenant, did, path string) {
	h.t.Helper()
	_, err := h.acts.Repos.Write(h.t.Context(), t.Schema, h.who(t, did).AID, repodb.Options{}, func(*repodb.View) ([]repo.Write, error) {
		return []repo.Write{{Action: repo.ActionCreate, Path: path, Record: []byte("\xa1\x65$type\x70com.example.note")}}, nil
	})
	must(h.t, err)
}

// TestInvites: codes are made, listed page by page and disabled.
func TestInvites(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own := h.tenant("own.test")
	mod, adm := h.operatorOf(own, auth.RoleModerator), h.operatorOf(own, auth.RoleAdmin)
	did := h.person(own, "alice")
	q := h.db.Tenant(own.Schema).Q()
	at := tenantPath("own.test") + "/invites"
	mod.get(at).is(200, "There are no codes").lacks("Make them")
	for _, odd := range []string{"0", "501", "-1", "x", "99999999999999999999"} {
		adm.post(at, "count", odd, "uses", "1").is(400)
		adm.post(at, "count", "1", "uses", map[bool]string{true: odd, false: "0"}[odd != "501"]).is(400)
	}
	adm.post(at, "for", "nobody.own.test").is(400, "There is no such account")
	mod.post(at, "count", "1").is(403)
	adm.post(at, "count", "1", "uses", "3", "for", "alice@mail.example").leads(at)
	h.wrote(own, did, adm, "com.atproto.server.createInviteCodes", `"uses":3`)
	theirs, err := account.InvitesFor(t.Context(), q, []string{did})
	must(t, err)
	code := theirs[did][0]
	if code.Total != 3 {
		t.Errorf("made: %+v", code)
	}
	mod.get(at).is(200, code.Code, "3 of 3", "Disable")
	mod.post(at+"/disable", "code", code.Code).leads(at)
	if theirs, err = account.InvitesFor(t.Context(), q, []string{did}); err != nil || !theirs[did][0].Disabled {
		t.Errorf("disabled: %+v %v", theirs, err)
	}
	mod.post(at + "/disable").is(400)
	h.pass(time.Second)
	adm.post(at, "count", fmt.Sprint(invitesPerPage), "uses", "1").leads(at)
	page := adm.get(at).is(200, "operators").lacks(code.Code)
	adm.get(page.link("next")).is(200, code.Code, "disabled", `rel="first"`)
	adm.get(at+"?cursor=x").is(400, "There is no such page")
}

// TestMail: waiting mail is tried again and dropped, and a test message is sent.
func TestMail(t *testing.T) {
	server := mailtest.Start(t)
	to, err := mail.ParseServer(server.URL())
	must(t, err)
	h := newTenantHouse(t, outbox.Config{Server: to})
	own := h.tenant("own.test")
	sub, adm := h.operatorOf(own, auth.RoleSupport), h.operatorOf(own, auth.RoleAdmin)
	at := tenantPath("own.test") + "/mail"
	sub.get(at).is(200, "No mail was sent in the last week").lacks("Try the mail server")
	for i := range mailPerPage + 2 {
		h.pass(time.Second)
		must(t, h.db.Tenant(own.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
			return h.acts.Outbox.Put(t.Context(), q, own, 7, fmt.Sprintf("p%02d@mail.example", i), mail.Note{Kind: mail.KindConfirmEmail, Handle: "a.own.test", Code: "ABCDE-23456"}, time.Hour)
		}))
	}
	page := adm.get(at).is(200, "p51@mail.example", "p02@mail.example", "confirm_email", "Try now").lacks("ABCDE", "p01@mail.example")
	adm.get(page.link("next")).is(200, "p01@mail.example", "p00@mail.example", `rel="first"`).lacks("p02@", `rel="next"`)
	adm.get(at+"?part=failed").is(200, "There is no such mail")
	adm.get(at+"?part=x").is(200, "p51@mail.example")
	for _, odd := range []string{"x", "9_", "2026-01-01T00:00:00Z", "_"} {
		adm.get(at+"?after="+odd).is(400, "There is no such page")
	}
	list, err := outbox.List(t.Context(), h.db.Tenant(own.Schema).Q(), false, 100)
	must(t, err)
	find := func(to string) outbox.Entry {
		return list[slices.IndexFunc(list, func(e outbox.Entry) bool { return e.To == to })]
	}
	sub.post(at+"/drop", "id", find("p10@mail.example").ID).is(403)
	adm.post(at+"/drop", "id", find("p10@mail.example").ID).leads(at)
	h.wrote(own, find("p10@mail.example").ID, adm, "org.auroralocus.admin.dropMail", "p10@mail.example")
	adm.get(at).is(200).lacks("p10@mail.example")
	adm.post(at+"/drop", "id", find("p10@mail.example").ID).is(409, "It does not wait")
	adm.post(at+"/retry", "id", find("p20@mail.example").ID).leads(at)
	h.wrote(own, find("p20@mail.example").ID, adm, "org.auroralocus.admin.retryMail")
	adm.post(at+"/retry", "id", "none").is(409)

	for _, odd := range []string{"", "x", "@", "a@b@c d", "a@b\r\nRCPT TO:<c@d>", "a,b@c"} {
		adm.post(at+"/try", "to", odd).is(400, "The address cannot be so")
	}
	adm.post(at+"/try", "to", "me@mail.example").leads(at)
	h.wrote(own, own.Hostname, adm, "org.auroralocus.admin.tryMail", `"taken":true`)
	must(t, h.acts.SetSMTP(t.Context(), own, byHand(), "smtp://127.0.0.1:1"))
	adm.post(at+"/try", "to", "me@mail.example").is(409, "The test message was not taken", `value="me@mail.example"`)
	h.wrote(own, own.Hostname, adm, "org.auroralocus.admin.tryMail", `"taken":false`)
}

// TestSettings: a tenant's owner changes its settings, but for those of the deployment.
func TestSettings(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own := h.tenant("own.test")
	adm, master, owner := h.operatorOf(own, auth.RoleAdmin), h.operatorOf(own, auth.RoleOwner), h.deployment(auth.DeploymentOwner, nil)
	at := tenantPath("own.test") + "/settings"
	now := func() tenant.Settings {
		must(t, h.tenants.Refresh(t.Context()))
		got, err := h.tenants.Get(t.Context(), "own.test")
		must(t, err)
		return got.Settings
	}
	adm.get(at).is(200, "display_name", "Name shown to people", "shown only").lacks("Change the settings")
	adm.post(at, "display_name", "X").is(403)
	page := master.get(at).is(200, "Change the settings", "the deployment&#39;s")
	for _, f := range tenant.Fields() {
		if !strings.Contains(page.body, `name="`+f.Key+`"`) {
			t.Errorf("there is no %s", f.Key)
		}
	}
	master.post(at, "display_name", `A "B" <c>`, "handle_min_length", "4").leads(at)
	if s := now(); s.DisplayName != `A "B" <c>` || s.HandleMinLength != 4 {
		t.Errorf("set: %+v", s)
	}
	h.wrote(own, own.Hostname, master, "tenant set", "handle_min_length")
	master.get(at).is(200, "A &#34;B&#34; &lt;c&gt;")
	before := h.written(own, own.Hostname).ID
	master.post(at, "display_name", `A "B" <c>`).leads(at) // as it is
	master.post(at, "handle_min_length", "many").is(400, "The setting cannot be so", `value="many"`)
	master.post(at, "account_tenant_count", "7").is(403, "You may not do this")
	if h.written(own, own.Hostname).ID != before || now().AccountTenantCount != 0 {
		t.Error("something was set")
	}
	owner.post(at, "account_tenant_count", "7").leads(at)
	if now().AccountTenantCount != 7 {
		t.Error("the deployment's owner did not set it")
	}
	master.post(at + "/smtp").is(400)
	master.post(at+"/smtp", "url", "http://x").is(400, "The mail server cannot be so").lacks("http://x")
	master.post(at+"/smtp", "url", "smtp://u:secret-word@mail.example:587").leads(at)
	h.wrote(own, own.Hostname, master, "tenant smtp", `"ownServer":true`)
	master.get(at).is(200).lacks("secret-word")
	master.post(at+"/smtp", "none", "on").leads(at)
	h.wrote(own, own.Hostname, master, "tenant smtp", `"ownServer":false`)
	master.post(at+"/password", "admin_password", "").is(400)
	master.post(at+"/password", "admin_password", "a very long password").leads(at)
	h.wrote(own, own.Hostname, master, "tenant set", `"adminPassword":true`)
}

// TestRecords: log and health of a tenant, and nothing of another.
func TestRecords(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own, other := h.tenant("own.test"), h.tenant("other.test")
	sub, adm := h.operatorOf(own, auth.RoleSupport), h.operatorOf(own, auth.RoleAdmin)
	billing := h.deployment(auth.DeploymentBilling, nil)
	at := tenantPath("own.test")
	var did string
	for i := range logPerPage + 1 {
		did = h.person(own, fmt.Sprintf("p%02d", i))
	}
	theirs := h.person(other, "stranger")
	page := adm.get(at+"/log?action=account+create").is(200, did).lacks(theirs)
	adm.get(page.link("next")).is(200, `rel="first"`).lacks(did)
	adm.get(at+"/log?subject="+did).is(200, did, "cli:test")
	adm.get(at+"/log?who=nobody").is(200, "There is nothing so")
	adm.get(at+"/log?who=%27%22%3Cscript%3E&after=x").is(200, "There is nothing so").lacks("<script>")
	adm.get(at + "/log?who=%00").is(400)
	sub.get(at + "/log").is(403)

	sub.get(at+"/health").is(200, "No server has looked yet")
	results := []doctor.Result{
		{Group: "own.test", Name: "tls", About: "TLS of own.test", Findings: []doctor.Finding{{Severity: doctor.Error, Name: "tls-expired", Wrong: "the certificate has expired", Seen: "on <Monday>", Do: "renew it"}}},
		{Group: "other.test", Name: "dns", About: "DNS of other.test", Findings: []doctor.Finding{{Severity: doctor.Warning, Name: "dns-none", Wrong: "no address", Seen: "none", Do: "add one"}}},
	}
	results = append(results, doctor.Result{Group: "own.test", Name: "health", About: "health of own.test", NotLookedAt: "the certificate does not hold"})
	h.examined(results)
	sub.get(at+"/health").is(200, "Not looked at", "the certificate does not hold", "the certificate has expired", "on &lt;Monday&gt;", "renew it").lacks("other.test", "no address")
	billing.get(at + "/health").is(403)
}

// examined stores what the doctor found.
func (h *house) examined(results []doctor.Result) {
	h.t.Helper()
	text, err := json.Marshal(results)
	must(h.t, err)
	ctx, q, now := context.WithoutCancel(h.t.Context()), h.db.Control(), h.now().UTC().Truncate(time.Microsecond)
	_, err = q.InsertDoctor(ctx, controldb.InsertDoctorParams{DueAt: now, HeldUntil: now})
	must(h.t, err)
	n, err := q.UpdateDoctorResult(ctx, controldb.UpdateDoctorResultParams{DueAt: now.Add(time.Hour), EndedAt: now, LookedBy: "test", Checks: 2, Errors: 1, Warnings: 1, Results: text, HeldUntil: now})
	must(h.t, err)
	if n != 1 {
		h.t.Fatal("nothing was stored")
	}
}

// TestGone: a tenant that is not there as this program knows it has no such pages, and a deleted one still has.
func TestGone(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	owner := h.deployment(auth.DeploymentOwner, nil)
	for _, page := range []string{"accounts", "signups", "takedowns", "invites", "mail", "settings", "health", "usage", "log"} {
		owner.get(tenantPath("nowhere.test")+"/"+page).is(http.StatusNotFound, "There is nothing here")
	}
}
