package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/mail/outbox"
)

// TestAccounts: the list of a tenant's accounts is searched, filtered and paged, and an account is made.
func TestAccounts(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own, other := h.tenant("own.test"), h.tenant("other.test")
	b := h.operatorOf(own, auth.RoleAdmin)
	at := tenantPath("own.test")
	b.get(at+"/accounts").is(200, "There are no accounts yet", "New account")
	b.post(at+"/accounts/new", "handle", "x.elsewhere.example", "email", "a@b.example").is(400, "The handle cannot be so", `value="x.elsewhere.example"`)
	a := b.post(at+"/accounts/new", "handle", "first.own.test", "email", "First@Mail.example", "password", "a long password").is(http.StatusSeeOther)
	did := strings.TrimPrefix(a.header.Get("Location"), at+"/accounts/")
	if got := h.who(own, did); got.Handle != "first.own.test" || got.Email != "first@mail.example" {
		t.Errorf("made: %+v", got)
	}
	b.post(at+"/accounts/new", "handle", "first.own.test", "email", "b@b.example").is(409, "The handle is taken")
	stranger := h.person(other, "stranger")
	for i := range accountsPerPage {
		h.person(own, fmt.Sprintf("p%02d", i))
	}

	page := b.get(at+"/accounts").is(200, "@p49.own.test", "@p00.own.test", `rel="next"`).lacks("@first.own.test", "stranger", `rel="first"`)
	next := strings.ReplaceAll(page.body[strings.Index(page.body, `rel="next" href="`)+len(`rel="next" href="`):], "&amp;", "&")
	next = next[:strings.IndexByte(next, '"')]
	b.get(next).is(200, "@first.own.test", `rel="first"`).lacks("@p00.own.test", `rel="next"`)
	find := func(q string) answer { return b.get(at + "/accounts?" + url.Values{"q": {q}}.Encode()).is(200) }
	find(did).is(200, "@first.own.test").lacks("@p00")
	find("@FIRST.own").is(200, "@first.own.test").lacks("@p00")
	find("first@MAIL").is(200, "@first.own.test")
	for _, odd := range []string{"%", "_", `\`, `'; DROP TABLE x; --`, "\"><script>alert(1)</script>", "ä\u202e\U0001F600", strings.Repeat("x", 5000), "x" + strings.Repeat("ä", 2000)} {
		find(odd).is(200, "No account is so").lacks("<script>alert")
	}
	find(stranger).is(200, "No account is so")
	b.get(at+"/accounts?q=%00").is(400, "This is no text")
	b.get(at+"/accounts?q=%ff").is(400, "This is no text")
	for _, odd := range []string{"before=-1", "before=x", "before=99999999999999999999", "state=none"} {
		b.get(at+"/accounts?"+odd).is(200, "@p49.own.test")
	}
	b.get(at+"/accounts?before=1").is(200, "No account is so")

	must(t, h.acts.SetAccountStatus(t.Context(), own, byHand(), did, &act.Mark{Applied: true, Ref: "spam"}, nil))
	b.get(at+"/accounts?state=takendown").is(200, "@first.own.test", "takendown").lacks("@p00")
	b.get(at+"/accounts?state=deactivated").is(200, "No account is so")
	// Somebody else's account is as unknown as nobody's.
	unknown := b.get(at+"/accounts/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").is(404, "There is no such account")
	if got := b.get(at + "/accounts/" + stranger).is(404); cut(got.body) != cut(unknown.body) {
		t.Errorf("the account of another tenant: %s", got.body)
	}
	b.get(at+"/accounts/%00").is(400, "This is no text")
	b.get(tenantPath("other.test")+"/accounts").is(403, "You may not do this")
}

// cut leaves out what differs from request to request.
func cut(page string) string {
	from, to := strings.Index(page, "<main"), strings.Index(page, "Request <code>")
	if from < 0 || to < from {
		return page
	}
	return page[from:to]
}

// TestAccountActs does everything that is done to an account, by the least role that may, and looks into the database and
// the log.
func TestAccountActs(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own := h.tenant("own.test")
	staff := h.staff(own)
	did := h.person(own, "alice")
	at := tenantPath("own.test") + "/accounts/" + did
	q := h.db.Tenant(own.Schema).Q()
	now := func() account.Info { return h.who(own, did) }
	sub, mod, adm := staff[auth.RoleSupport], staff[auth.RoleModerator], staff[auth.RoleAdmin]
	does := func(b *browser, path string, pairs ...string) {
		t.Helper()
		b.post(at+path, pairs...).leads(at)
	}
	sub.get(at).is(200, "@alice.own.test", "alice@mail.example", "Send").lacks("Take the account down", "Delete", "Change the address")
	mod.get(at).is(200, "Take the account down").lacks("Delete the account", "Change the address")
	adm.get(at).is(200, "Delete the account", "Change the address")

	does(mod, "/takedown", "ref", "case 7")
	if now().Takedown != "case 7" {
		t.Error("not taken down")
	}
	h.wrote(own, did, mod, "com.atproto.admin.updateSubjectStatus", `"ref":"case 7"`)
	mod.post(at+"/activate").is(409, "It is taken down")
	mod.post(at+"/takedown", "ref", strings.Repeat("x", 2000)).is(400, "The reference cannot be so")
	does(mod, "/restore")
	if now().Takedown != "" {
		t.Error("not brought back")
	}
	does(mod, "/deactivate")
	if now().DeactivatedAt == nil {
		t.Error("not deactivated")
	}
	mod.post(at+"/keep").is(409, "There is no date")
	after := h.now().Add(10 * 24 * time.Hour)
	must(t, h.acts.Deactivate(t.Context(), own, act.Owner{Account: auth.Account{AID: h.who(own, did).AID, DID: did}}, &after))
	mod.get(at).is(200, "It is deleted after", "Do not delete it")
	does(mod, "/keep")
	if i := now(); i.DeleteAfter != nil || i.DeactivatedAt == nil {
		t.Errorf("kept: %+v", i)
	}
	does(mod, "/activate")
	if now().DeactivatedAt != nil {
		t.Error("not active")
	}

	does(mod, "/invites", "note", "brings <i>spam</i>")
	if i := now(); !i.InvitesDisabled || i.InviteNote != "brings <i>spam</i>" {
		t.Errorf("invites: %+v", i)
	}
	mod.get(at).is(200, "gets no new ones: brings &lt;i&gt;")
	does(mod, "/invites", "on", "on")
	if now().InvitesDisabled {
		t.Error("invites are off")
	}
	codes, err := h.acts.Invites(t.Context(), own, byHand(), []string{did}, 1, 1)
	must(t, err)
	mod.get(at).is(200, codes[0][0], "Make its codes worthless")
	does(mod, "/end-codes")
	if all, err := account.InvitesFor(t.Context(), q, []string{did}); err != nil || !all[did][0].Disabled {
		t.Errorf("codes: %+v %v", all, err)
	}
	h.wrote(own, did, mod, "com.atproto.admin.disableInviteCodes")

	sub.post(at+"/write", "subject", "Hello", "text", "").is(400, "The message cannot be so")
	does(sub, "/write", "subject", "Hello", "text", "Two\n\nparagraphs")
	h.wrote(own, did, sub, "com.atproto.admin.sendEmail", "Hello")

	adm.post(at+"/email", "email", "nobody").is(400, "The address cannot be so", `value="nobody"`)
	does(adm, "/email", "email", "New@Mail.example")
	if now().Email != "new@mail.example" {
		t.Error("the address is as before")
	}
	h.wrote(own, did, adm, "com.atproto.admin.updateAccountEmail", "alice@mail.example")
	adm.post(at+"/handle", "handle", "no").is(400, "The handle cannot be so")
	does(adm, "/handle", "handle", "root.own.test")
	if now().Handle != "root.own.test" {
		t.Error("the handle is as before")
	}
	does(adm, "/reset")
	h.wrote(own, did, adm, "org.auroralocus.admin.sendPasswordReset")
	list, err := outbox.List(t.Context(), q, false, 10)
	must(t, err)
	if len(list) != 3 || list[0].Kind != "reset_password" || list[0].To != "new@mail.example" {
		t.Errorf("mail: %+v", list)
	}

	_, err = h.acts.SignIn(t.Context(), own, act.Visitor{}, act.Credentials{Identifier: "root.own.test", Password: "a long password"})
	must(t, err)
	sub.get(at).is(200, "1 sessions by password")
	does(adm, "/sessions")
	h.wrote(own, did, adm, "org.auroralocus.admin.endSessions")
	sub.get(at).is(200, "0 sessions by password")
	who, err := account.ByDID(t.Context(), q, did)
	must(t, err)
	must(t, account.ConfirmEmail(t.Context(), q, h.now(), who.AID, who.Email))
	who, err = account.ByDID(t.Context(), q, did)
	must(t, err)
	must(t, account.SetEmailFactor(t.Context(), q, who, true))
	adm.get(at).is(200, "Remove the second factors")
	does(adm, "/factors")
	if f, err := account.SecondFactors(t.Context(), q, who.AID); err != nil || f.Any() {
		t.Errorf("factors: %+v %v", f, err)
	}

	adm.post(at+"/limits", "records", "many").is(400, "A number is wanted")
	adm.post(at+"/limits", "records", "-5").is(400, "The limit cannot be so")
	does(adm, "/limits", "records", "7", "file_bytes", "1000")
	if u, err := q.GetAccountUsage(t.Context(), who.AID); err != nil || *u.MaxRecords != 7 || u.MaxRecordBytes != nil || *u.MaxBytes != 1000 {
		t.Errorf("limits: %+v %v", u, err)
	}
	does(adm, "/rotate-key")

	adm.post(at+"/delete", "confirm", "alice.own.test").is(400, "Not confirmed")
	h.who(own, did)
	adm.post(at+"/delete", "confirm", "@Root.own.test").leads(tenantPath("own.test") + "/accounts")
	h.wrote(own, did, adm, "com.atproto.admin.deleteAccount")
	adm.get(at).is(404, "There is no such account")
}

// TestAccountRoles: nobody does to an account what is not for the role, and the account stays as it was.
func TestAccountRoles(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own := h.tenant("own.test")
	staff := h.staff(own)
	did := h.person(own, "alice")
	at := tenantPath("own.test") + "/accounts/" + did
	before := h.written(own, did).ID
	billing := h.deployment(auth.DeploymentBilling, nil)
	elsewhere := h.operatorOf(h.tenant("other.test"), auth.RoleOwner)
	for _, a := range accountActs {
		for role, b := range staff {
			if role < a.class.least {
				b.post(at+"/"+a.name, "email", "x@mail.example", "handle", "x.own.test", "subject", "x", "text", "x").is(403, "You may not do this")
			}
		}
		billing.post(at+"/"+a.name).is(403, "You may not do this")
		elsewhere.post(at+"/"+a.name).is(403, "You may not do this")
		staff[auth.RoleOwner].post(at+"/"+a.name, "form-token", "guessed").is(403, "The page was too old")
	}
	staff[auth.RoleModerator].post(at+"/delete", "confirm", "alice.own.test").is(403)
	elsewhere.get(at).is(403)
	if e := h.written(own, did); e.ID != before {
		t.Errorf("something was done: %+v", e)
	}
	// The deployment's support is the tenant's support, and its owner the tenant's owner.
	sup, owner := h.deployment(auth.DeploymentSupport, nil), h.deployment(auth.DeploymentOwner, nil)
	sup.get(at).is(200, "alice").lacks("Take the account down")
	sup.post(at + "/takedown").is(403)
	owner.post(at+"/takedown", "ref", "x").leads(at)
	h.wrote(own, did, owner, "com.atproto.admin.updateSubjectStatus")
}

// TestSignups: sign-ups that wait are approved and rejected, once.
func TestSignups(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own := h.tenant("own.test")
	own, err := h.acts.SetTenant(t.Context(), own, byHand(), map[string]string{"signup": "approval"}, "")
	must(t, err)
	mod, adm := h.operatorOf(own, auth.RoleModerator), h.operatorOf(own, auth.RoleAdmin)
	at := tenantPath("own.test") + "/signups"
	q := h.db.Tenant(own.Schema).Q()
	mod.get(at).is(200, "Nobody waits")
	waits := func(name string) string {
		password := "a long password"
		made, err := h.acts.SignUp(t.Context(), own, act.Visitor{Language: "en"}, account.Request{Handle: name + ".own.test", Email: name + "@mail.example", Password: &password})
		must(t, err)
		return made.DID
	}
	good, bad := waits("good"), waits("bad")
	mod.get(at).is(200, "@good.own.test", "bad@mail.example", "Approve").lacks("Reject")
	adm.get(at).is(200, "Reject")
	mod.get(tenantPath("own.test")+"/accounts/"+good).is(200, "waits for approval")
	mod.post(at + "/" + bad + "/reject").is(403)

	mod.post(at + "/" + good + "/approve").leads(at)
	if i := h.who(own, good); i.Status() != "active" {
		t.Errorf("approved: %+v", i)
	}
	h.wrote(own, good, mod, "com.atproto.admin.updateSubjectStatus", `"approved":true`)
	mod.post(at+"/"+good+"/approve").is(409, "It waits for nothing")
	adm.post(at+"/"+good+"/reject").is(409, "It waits for nothing")
	h.who(own, good)
	adm.post(at+"/"+bad+"/reject", "reason", strings.Repeat("x", 3000)).is(400, "The reason cannot be so", "@bad.own.test")
	adm.post(at+"/"+bad+"/reject", "reason", "We know you.\n\nAll <b>too</b> well.").leads(at)
	h.wrote(own, bad, adm, "com.atproto.admin.deleteAccount", "We know you.", `"approved":false`)
	adm.post(at + "/" + bad + "/reject").is(404)
	if list, err := account.ListWaiting(t.Context(), q, account.Waiting{}, 10); err != nil || len(list) != 0 {
		t.Errorf("still waiting: %+v %v", list, err)
	}
	list, err := outbox.List(t.Context(), q, false, 10)
	must(t, err)
	if len(list) != 2 || list[0].Kind != "signup_rejected" || list[0].To != "bad@mail.example" || list[1].Kind != "signup_approved" {
		t.Errorf("mail: %+v", list)
	}
	for i := range signupsPerPage + 1 {
		waits(fmt.Sprintf("w%02d", i))
	}
	page := mod.get(at).is(200, "@w00.own.test", "@w49.own.test", `rel="next"`).lacks("@w50.own.test")
	next := page.body[strings.Index(page.body, `rel="next" href="`)+len(`rel="next" href="`):]
	mod.get(next[:strings.IndexByte(next, '"')]).is(200, "@w50.own.test").lacks("@w49.own.test", `rel="next"`)
	for _, odd := range []string{"x", "-1.1", "99999999999999999999.1", "1.x", "1"} {
		mod.get(at+"?after="+odd).is(200, "@w00.own.test")
	}
}
