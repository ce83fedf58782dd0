package admintest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
	sdk "github.com/auroralocus/locus/openapi/clients/go/operator"
)

func (h *house) client(token string) *sdk.ClientWithResponses {
	h.t.Helper()
	c, err := sdk.New(h.http.URL, token)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func must(t *testing.T, a sdk.Answer, err error) {
	t.Helper()
	if err := sdk.Check(a, err); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, code string, a sdk.Answer, err error) {
	t.Helper()
	if err := sdk.Check(a, err); !sdk.IsCode(err, code) {
		t.Errorf("%v, want %s", err, code)
	}
}

// logged are the lines of the deployment's log, oldest first: who, action, subject, outcome.
func (h *house) logged(c *sdk.ClientWithResponses) (lines []string) {
	h.t.Helper()
	page, err := c.ListAuditWithResponse(h.t.Context(), nil)
	must(h.t, page, err)
	for _, e := range page.JSON200.Entries {
		subject := ""
		if e.Subject != nil {
			subject = *e.Subject
		}
		who, _, _ := strings.Cut(e.Who, ":")
		lines = append([]string{strings.Join([]string{who, e.Role, e.Action, subject, e.Outcome}, " ")}, lines...)
	}
	return lines
}

// A tenant's whole life by the generated client, and what the log says of it.
func TestTenants(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	c := h.client(h.token(auth.DeploymentOwner, nil))
	password, domains := "a long password", []string{"pds.test", "handles.test"}
	made, err := c.CreateTenantWithResponse(ctx, nil, sdk.CreateTenantInputBody{
		Hostname: "PDS.test", HandleDomains: &domains, AdminPassword: &password, Settings: &map[string]string{"display_name": "One"},
	})
	must(t, made, err)
	if b := made.JSON201; b.Hostname != "pds.test" || b.State != "active" || b.Settings["display_name"] != "One" || b.ServiceDid == "" || fmt.Sprint(b.HandleDomains) != "[handles.test pds.test]" {
		t.Errorf("%+v", b)
	}
	number := fmt.Sprint(made.JSON201.Id)
	twice, err := c.CreateTenantWithResponse(ctx, nil, sdk.CreateTenantInputBody{Hostname: "pds.test"})
	refused(t, "name_taken", twice, err)
	bad, err := c.CreateTenantWithResponse(ctx, nil, sdk.CreateTenantInputBody{Hostname: "no such/name"})
	refused(t, "bad_hostname", bad, err)
	nobody, err := c.GetTenantWithResponse(ctx, "nowhere.test")
	refused(t, "not_found", nobody, err)

	set, err := c.SetTenantWithResponse(ctx, number, sdk.SetTenantInputBody{Settings: &map[string]string{"display_name": "Two", "blob_account_limit": "7"}})
	must(t, set, err)
	if set.JSON200.Settings["display_name"] != "Two" || set.JSON200.Settings["blob_account_limit"] != "7" {
		t.Errorf("%+v", set.JSON200.Settings)
	}
	wrong, err := c.SetTenantWithResponse(ctx, number, sdk.SetTenantInputBody{Settings: &map[string]string{"signup": "sometimes"}})
	refused(t, "bad_setting", wrong, err)
	empty, err := c.SetTenantWithResponse(ctx, number, sdk.SetTenantInputBody{})
	refused(t, "invalid_request", empty, err)
	const url = "smtps://user:a-secret-word@mail.example:465"
	smtp, err := c.SetTenantMailServerWithResponse(ctx, number, sdk.SetSMTPInputBody{Url: url})
	must(t, smtp, err)
	smtp, err = c.SetTenantMailServerWithResponse(ctx, number, sdk.SetSMTPInputBody{Url: "http://mail.example"})
	refused(t, "bad_mail_server", smtp, err)
	none, err := c.DeleteTenantMailServerWithResponse(ctx, number)
	must(t, none, err)

	h.runJobs()
	off, err := c.SuspendTenantWithResponse(ctx, "pds.test", nil, sdk.WhyTenant{Reason: new("a bill")})
	must(t, off, err)
	h.ended(c, off.JSON202, "done")
	state := sdk.Suspended
	list, err := c.ListTenantsWithResponse(ctx, &sdk.ListTenantsParams{State: &state})
	must(t, list, err)
	if len(list.JSON200.Tenants) != 1 || list.JSON200.Tenants[0].State != "suspended" {
		t.Errorf("%+v", list.JSON200)
	}
	shown, err := c.GetTenantWithResponse(ctx, "pds.test")
	must(t, shown, err)
	if l := shown.JSON200.Life; l == nil || l.SuspendedAt == nil || *l.SuspendReason != "a bill" || l.PurgeAt != nil {
		t.Errorf("%s", shown.Body)
	}
	on, err := c.ResumeTenantWithResponse(ctx, "pds.test", nil)
	must(t, on, err)
	h.ended(c, on.JSON202, "done")
	typo, err := c.DeleteTenantWithResponse(ctx, "pds.test", nil, sdk.DeleteTenantInputBody{Confirm: "pds.tset"})
	refused(t, "invalid_request", typo, err)
	gone, err := c.DeleteTenantWithResponse(ctx, "pds.test", nil, sdk.DeleteTenantInputBody{Confirm: "pds.test"})
	must(t, gone, err)
	h.ended(c, gone.JSON202, "done")
	state = sdk.Deleting
	if list, err = c.ListTenantsWithResponse(ctx, &sdk.ListTenantsParams{State: &state}); len(list.JSON200.Tenants) != 1 {
		t.Errorf("%v %+v", err, list.JSON200)
	}
	if shown, err = c.GetTenantWithResponse(ctx, "pds.test"); err != nil || shown.JSON200.Life == nil || shown.JSON200.Life.PurgeAt == nil {
		t.Errorf("%v %s", err, shown.Body)
	}
	back, err := c.UndeleteTenantWithResponse(ctx, number, nil)
	must(t, back, err)
	h.ended(c, back.JSON202, "done")

	lines := strings.Join(h.logged(c), "\n")
	for _, want := range []string{
		"token owner tenant create PDS.test done", "token owner tenant create pds.test refused: ", "token owner tenant set pds.test done",
		"token owner tenant set pds.test refused: bad setting", "token owner tenant smtp pds.test done",
		"token owner tenant suspend pds.test done", "token owner tenant delete pds.test done", "token owner tenant undelete pds.test done",
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("the log has no line %q:\n%s", want, lines)
		}
	}
	all := string(h.call(h.token(auth.DeploymentOwner, nil), "GET", "/v1/audit?limit=500", nil).ok().body)
	if strings.Contains(all, "a-secret-word") || strings.Contains(all, password) {
		t.Error("the log has secrets")
	}
	about, err := c.ListTenantAuditWithResponse(ctx, "pds.test", nil)
	must(t, about, err)
	if n := len(about.JSON200.Entries); n < 6 || *about.JSON200.Entries[n-1].TenantId != made.JSON201.Id || about.JSON200.Entries[0].RequestId == nil || about.JSON200.Entries[0].Address == nil {
		t.Errorf("%d lines about the tenant: %+v", n, about.JSON200.Entries)
	}
}

// Lists come in pages that are complete together.
func TestPages(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	c := h.client(h.token(auth.DeploymentSupport, nil))
	for i := range 5 {
		h.tenant(fmt.Sprintf("t%d.test", 9-i))
	}
	var hosts []string
	limit := int64(2)
	for params := (&sdk.ListTenantsParams{Limit: &limit}); ; {
		page, err := c.ListTenantsWithResponse(ctx, params)
		must(t, page, err)
		for _, one := range page.JSON200.Tenants {
			hosts = append(hosts, one.Hostname)
		}
		if params.Cursor = page.JSON200.Cursor; params.Cursor == nil {
			break
		}
	}
	if got := strings.Join(hosts, " "); got != "t9.test t8.test t7.test t6.test t5.test" {
		t.Error(got)
	}
	h.call(h.token(auth.DeploymentSupport, nil), "GET", "/v1/tenants?limit=0", nil).fails(400, "invalid_request", "query.limit")
	h.call(h.token(auth.DeploymentSupport, nil), "GET", "/v1/tenants?cursor=x", nil).fails(400, "invalid_request", "query.cursor")
	h.call(h.token(auth.DeploymentSupport, nil), "GET", "/v1/tenants?stat=active", nil).fails(400, "invalid_request", "query.stat")
}

// A token of role tenant changes what is the tenant's own affair, and nothing that is the deployment's.
func TestOneTenantOnly(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	own := h.tenant("own.test")
	h.tenant("other.test")
	c := h.client(h.token(auth.DeploymentTenant, own))
	set, err := c.SetTenantWithResponse(ctx, "own.test", sdk.SetTenantInputBody{Settings: &map[string]string{"display_name": "Mine"}})
	must(t, set, err)
	for _, key := range []string{"account_tenant_count", "storage_tenant_bytes", "request_tenant_day", "record_tenant_count", "blob_tenant_limit", "blob_store", "handle_domains", "app_view", "rate_limits"} {
		set, err := c.SetTenantWithResponse(ctx, "own.test", sdk.SetTenantInputBody{Settings: &map[string]string{"display_name": "Not", key: ""}})
		refused(t, "forbidden", set, err)
	}
	other, err := c.SetTenantWithResponse(ctx, "other.test", sdk.SetTenantInputBody{Settings: &map[string]string{"display_name": "Mine"}})
	refused(t, "forbidden", other, err)
	quotas, err := c.SetQuotasWithResponse(ctx, "own.test", sdk.NewQuotas{})
	refused(t, "forbidden", quotas, err)
	back, err := c.GetTenantWithResponse(ctx, "own.test")
	must(t, back, err)
	if back.JSON200.Settings["display_name"] != "Mine" {
		t.Errorf("%v", back.JSON200.Settings["display_name"])
	}
	owner := h.client(h.token(auth.DeploymentOwner, nil))
	lines := strings.Join(h.logged(owner), "\n")
	if !strings.Contains(lines, "token tenant setTenant other.test forbidden") || !strings.Contains(lines, "token tenant tenant set own.test forbidden") {
		t.Errorf("refusals are not in the log:\n%s", lines)
	}
	// Every setting is one or the other, and the list says which.
	settings, err := c.ListSettingsWithResponse(ctx)
	must(t, settings, err)
	for _, s := range settings.JSON200.Settings {
		if s.OwnerOnly != tenant.OfDeployment(s.Key) || s.Meaning == "" {
			t.Errorf("%+v", s)
		}
	}
}

func TestQuotas(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	own := h.tenant("own.test")
	c := h.client(h.token(auth.DeploymentOwner, nil))
	three, many := int64(3), int64(1)<<40
	set, err := c.SetQuotasWithResponse(ctx, "own.test", sdk.NewQuotas{Accounts: &three, Bytes: &many})
	must(t, set, err)
	if q := set.JSON200.Quotas; q.Accounts != 3 || q.Bytes != many || q.Records != 0 || q.RequestsPerDay != 0 || len(set.JSON200.Reached) != 0 {
		t.Errorf("%+v", q)
	}
	m := usage.NewMeter(h.db, h.tenants, h.now, quiet())
	m.Reached(own, usage.QuotaAccounts, 3)
	if err := m.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetQuotasWithResponse(ctx, "own.test")
	must(t, got, err)
	list, err := c.ListTenantsWithResponse(ctx, nil)
	must(t, list, err)
	if fmt.Sprint(got.JSON200.Reached, list.JSON200.Tenants[0].QuotasReached) != "[accounts] [accounts]" {
		t.Errorf("%v %v", got.JSON200.Reached, list.JSON200.Tenants[0].QuotasReached)
	}
	none, err := c.SetQuotasWithResponse(ctx, "own.test", sdk.NewQuotas{})
	must(t, none, err)
	if none.JSON200.Quotas.Accounts != 0 {
		t.Errorf("%+v", none.JSON200)
	}
}

func TestUsage(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	a, b := h.tenant("a.test"), h.tenant("b.test")
	m := usage.NewMeter(h.db, h.tenants, h.now, quiet())
	m.Count(a, 3, 100, h.now())
	m.Count(b, 1, 0, h.now())
	if err := m.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	today := usage.DayOf(h.now())
	h.ahead.Add(int64(24 * time.Hour))
	if err := m.TakeGauges(ctx); err != nil {
		t.Fatal(err)
	}
	c := h.client(h.token(auth.DeploymentBilling, nil))
	one := int64(1)
	var got []string
	for params := (&sdk.ListUsageParams{From: date(today), To: date(today), Limit: &one}); ; {
		page, err := c.ListUsageWithResponse(ctx, params)
		must(t, page, err)
		for _, d := range page.JSON200.Days {
			got = append(got, fmt.Sprint(d.Hostname, d.Requests, d.EgressBytes, d.GaugedAt != nil))
		}
		if params.Cursor = page.JSON200.Cursor; params.Cursor == nil {
			break
		}
	}
	if fmt.Sprint(got) != "[a.test3 100 true b.test1 0 true]" {
		t.Error(got)
	}
	own, err := h.client(h.token(auth.DeploymentTenant, b)).ListTenantUsageWithResponse(ctx, "b.test", &sdk.ListTenantUsageParams{From: date(today), To: date(today)})
	must(t, own, err)
	if len(own.JSON200.Days) != 1 || own.JSON200.Days[0].Hostname != "b.test" {
		t.Errorf("%+v", own.JSON200)
	}
	now, err := c.GetTenantUsageWithResponse(ctx, "a.test")
	must(t, now, err)
	if now.JSON200.Requests != 0 || now.JSON200.Accounts != 0 || now.JSON200.GaugedAt == nil {
		t.Errorf("%+v", now.JSON200)
	}
	bad, err := c.ListUsageWithResponse(ctx, &sdk.ListUsageParams{From: date(today), To: date(today.AddDate(0, 0, -1))})
	refused(t, "bad_period", bad, err)
}

// The databases that tenants live in.
func TestNodes(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.tenant("a.test")
	c := h.client(h.token(auth.DeploymentOwner, nil))
	list, err := c.ListNodesWithResponse(ctx)
	must(t, list, err)
	if len(list.JSON200.Nodes) != 1 || list.JSON200.Nodes[0].Tenants != 1 || !list.JSON200.Nodes[0].Known {
		t.Fatalf("%+v", list.JSON200)
	}
	if is := list.JSON200.Nodes[0].Database; is == nil || !is.Answers || is.Version == nil || is.Bytes == nil {
		t.Errorf("%s", list.Body)
	}
	home := list.JSON200.Nodes[0].Name
	set, err := c.SetNodeWithResponse(ctx, home, sdk.SetNodeInputBody{AcceptsNew: false})
	must(t, set, err)
	if set.JSON200.AcceptsNew {
		t.Errorf("%+v", set.JSON200)
	}
	gone, err := c.RemoveNodeWithResponse(ctx, home)
	refused(t, "node_in_use", gone, err)
	added, err := c.AddNodeWithResponse(ctx, nil, sdk.AddNodeInputBody{Name: "elsewhere"})
	refused(t, "node_unknown", added, err)
	nobody, err := c.RemoveNodeWithResponse(ctx, "elsewhere")
	refused(t, "not_found", nobody, err)
	own := "a.test"
	place, err := c.PlaceTenantWithResponse(ctx, own, nil, sdk.MoveWish{To: home})
	must(t, place, err)
	if !place.JSON200.There || place.JSON200.Job != nil {
		t.Errorf("%s", place.Body)
	}
	move, err := c.MoveTenantWithResponse(ctx, own, nil, sdk.MoveWish{To: home})
	refused(t, "move_impossible", move, err)
	move, err = c.MoveTenantWithResponse(ctx, own, nil, sdk.MoveWish{To: "elsewhere"})
	refused(t, "not_found", move, err)
	// The only database cannot be emptied, and the job says of each tenant why.
	h.jobs.Register(h.acts.MoveJob(nil))
	h.jobs.Register(h.acts.DrainJob(h.jobs))
	h.runJobs()
	drain, err := c.DrainNodeWithResponse(ctx, home, nil, sdk.DrainNodeInputBody{})
	must(t, drain, err)
	h.ended(c, drain.JSON202, "done")
	ended, err := c.GetJobWithResponse(ctx, drain.JSON202.Id, nil)
	must(t, ended, err)
	if text := string(ended.Body); !strings.Contains(text, `"failed":1`) || !strings.Contains(text, "no other database") {
		t.Errorf("%s", text)
	}
	into, err := c.DrainNodeWithResponse(ctx, home, nil, sdk.DrainNodeInputBody{To: &home})
	refused(t, "move_impossible", into, err)
	there, err := c.CreateTenantWithResponse(ctx, nil, sdk.CreateTenantInputBody{Hostname: "b.test", Node: &home})
	must(t, there, err)
	nowhere, err := c.CreateTenantWithResponse(ctx, nil, sdk.CreateTenantInputBody{Hostname: "c.test", Node: new("elsewhere")})
	refused(t, "not_found", nowhere, err)
	if lines := strings.Join(h.logged(c), "\n"); !strings.Contains(lines, "node drain "+home+" done") || !strings.Contains(lines, "node set "+home+" done") || !strings.Contains(lines, "node add elsewhere refused") {
		t.Error(lines)
	}
}

// A token is dead the moment it is revoked or over, and a wrong one costs its address.
func TestTokens(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	c := h.client(h.token(auth.DeploymentOwner, nil))
	days := int64(1)
	made, err := c.CreateTokenWithResponse(ctx, nil, sdk.CreateTokenInputBody{Label: "billing run", Role: sdk.CreateTokenInputBodyRoleBilling, ExpiresInDays: &days})
	must(t, made, err)
	b := h.client(made.JSON201.Secret)
	me, err := b.WhoAmIWithResponse(ctx)
	must(t, me, err)
	if me.JSON200.Id != made.JSON201.Id || me.JSON200.Role != "billing" || me.JSON200.Label != "billing run" {
		t.Errorf("%+v", me.JSON200)
	}
	list, err := c.ListTokensWithResponse(ctx, nil)
	must(t, list, err)
	for _, one := range list.JSON200.Tokens {
		if one.Id == made.JSON201.Id && (one.LastUsedAt == nil || one.ExpiresAt == nil) {
			t.Errorf("%+v", one)
		}
	}
	if strings.Contains(string(list.Body), made.JSON201.Secret) {
		t.Error("the list shows secrets")
	}
	alone, err := c.CreateTokenWithResponse(ctx, nil, sdk.CreateTokenInputBody{Label: "x", Role: sdk.CreateTokenInputBodyRoleTenant})
	refused(t, "bad_token", alone, err)
	h.ahead.Add(int64(25 * time.Hour))
	over, err := b.WhoAmIWithResponse(ctx)
	refused(t, "unauthenticated", over, err)
	second, err := c.CreateTokenWithResponse(ctx, nil, sdk.CreateTokenInputBody{Label: "x", Role: sdk.CreateTokenInputBodyRoleSupport})
	must(t, second, err)
	gone, err := c.RevokeTokenWithResponse(ctx, second.JSON201.Id)
	must(t, gone, err)
	dead, err := h.client(second.JSON201.Secret).WhoAmIWithResponse(ctx)
	refused(t, "unauthenticated", dead, err)
	gone, err = c.RevokeTokenWithResponse(ctx, second.JSON201.Id)
	refused(t, "not_found", gone, err)
	before := h.acts.FailedOperators()
	for range 40 {
		dead, err = h.client("locusdep_guess").WhoAmIWithResponse(ctx)
	}
	if n := h.acts.FailedOperators() - before; n < 25 || n > 30 { // beyond it nobody looks at the token
		t.Errorf("%d failures are counted", n)
	}
	refused(t, "rate_limited", dead, err)
}
