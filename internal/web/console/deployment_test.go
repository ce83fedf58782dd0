package console

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/process"
)

// TestDeploymentPages: the pages of the whole deployment show what there is, and find it by what was asked.
func TestDeploymentPages(t *testing.T) {
	h := newHouse(t)
	own := h.tenant("own.test")
	b := h.deployment(auth.DeploymentOwner, nil)
	b.get(Root + "/").leads(Root + "/overview")
	b.get(Root+"/overview").is(200, "home", "Background work", "0 of people, 0 of operators")
	thief := h.browser()
	thief.get(Root + "/sign-in")
	thief.post(Root+"/sign-in", "token", "locusdep_x", "code", "000000").is(403)
	b.get(Root+"/overview").is(200, "0 of people, 1 of operators")

	// Servers say with each beat what they refused, and the page adds it up. Of its own server it knows better. A server
	// that does not say is named.
	beat := func(refused func() process.Refused) int64 {
		one := process.New(h.db, h.now, slog.New(slog.DiscardHandler))
		if refused != nil {
			one.Refuses(refused)
		}
		running, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- one.Run(running, "here:1", "v1") }()
		t.Cleanup(func() { stop(); must(t, <-ended) })
		for {
			all, err := process.Alive(t.Context(), h.db, h.now())
			must(t, err)
			if slices.ContainsFunc(all, func(p process.Process) bool { return p.ID == one.ID() }) {
				return one.ID()
			}
		}
	}
	h.pages.Process = beat(func() process.Refused { return process.Refused{People: 900, Operators: 900} })
	beat(func() process.Refused { return process.Refused{People: 12, Operators: 3} })
	b.get(Root+"/overview").is(200, "12 of people, 3 of operators", "start: 12 of people, 4 of operators.")
	beat(nil)
	b.get(Root+"/overview").is(200, "not known", "start: 12 of people, 4 of operators. A server of an older version")
	b.get(Root+"/findings").is(200, "has not looked yet")
	b.post(Root + "/findings").leads(Root + "/findings")
	b.get(Root+"/settings").is(200, "blob_upload_limit", "Largest blob", "owner of the deployment only")
	b.get(Root+"/usage").is(200, "Usage")
	b.get(Root+"/usage?from=yesterday").is(400, "The days cannot be so")
	b.get(tenantPath("own.test")+"/usage").is(200, "Usage")
	b.get(Root+"/backups").is(200, "no store of backups")

	// Nobody does jobs here, so this one waits, and is cancelled.
	j, err := h.acts.StartJob(t.Context(), byHand(), h.jobs, own, act.SuspendTenant(own, byHand(), "x"))
	must(t, err)
	b.get(Root+"/jobs?open=on").is(200, "tenant suspend", "own.test", "waiting", "data-refresh")
	b.get(Root+"/jobs/"+j.ID).is(200, "Cancel the job")
	other := h.tenant("other.test")
	b.get(tenantPath(other.Hostname) + "/jobs/" + j.ID).is(404)
	b.get(tenantPath("own.test")+"/jobs").is(200, "tenant suspend")
	b.post(Root + "/jobs/" + j.ID + "/cancel").leads(Root + "/jobs/" + j.ID)
	b.get(Root+"/jobs/"+j.ID).is(200, "is to end")

	b.get(Root+"/audit?action=tenant+create").is(200, "own.test", "cli:test", "done").lacks("tenant suspend")
	b.get(Root+"/audit?tenant=nowhere.test").is(404, "There is no such tenant")
	b.get(Root+"/audit?tenant=own.test&who=cli:test").is(200, "tenant suspend")
	b.get(Root+"/audit?since=soon").is(400, "The day cannot be so")
	b.get(Root + "/nothing").is(404)
}

// TestOperators: an owner makes another operator, who comes in by the link that is shown once, and ends it.
func TestOperators(t *testing.T) {
	h := newHouse(t)
	b := h.deployment(auth.DeploymentOwner, nil)
	b.post(Root+"/operators/new", "role", "owner").is(400, "The token cannot be so")
	b.post(Root+"/operators/new", "role", "tenant", "label", "x", "tenant", "nowhere.test").is(400, "There is no such tenant")
	page := b.post(Root+"/operators/new", "role", "support", "label", "Bea <b>", "dashboard", "on").is(200, "Shown this one time", "Bea &lt;b&gt;")
	code := regexp.MustCompile(`/admin/enter\?code=([a-z2-7]+)`).FindStringSubmatch(page.body)
	if code == nil {
		t.Fatal(page.body)
	}
	bea := h.browser()
	bea.get(pathEnter)
	bea.post(pathEnter, "code", code[1]).leads(pathSetup)
	setup := bea.get(pathSetup)
	secret, err := decodeSecret(setup.field("secret"))
	must(t, err)
	bea.secret = secret
	bea.post(pathOwn+"/app", "secret", setup.field("secret"), "name", "phone", "code", "000000").is(403, "The code is not good", setup.field("secret"))
	bea.post(pathOwn+"/app", "secret", setup.field("secret"), "name", "phone", "code", bea.code()).leads(Root + "/overview")
	bea.get(Root+"/operators").is(403, "You may not do this")
	id := regexp.MustCompile(`<code>([a-z2-7]+)</code> by token:`).FindStringSubmatch(b.get(Root + "/operators").body)
	if id == nil {
		t.Fatal(b.get(Root + "/operators").body)
	}
	b.post(Root+"/operators/link", "token", id[1]).is(409, "There is a second factor")
	b.post(Root+"/operators/revoke", "token", b.ref.Token()).is(409, "This is you")
	b.post(Root+"/operators/reset", "token", id[1]).leads(Root + "/operators")
	bea.get(Root + "/overview").is(401)
	b.post(Root+"/operators/link", "token", id[1]).is(200, "Shown this one time")
	b.post(Root+"/operators/revoke", "token", id[1]).leads(Root + "/operators")
	if strings.Contains(b.get(Root+"/operators").body, "Bea") {
		t.Error("it is still there")
	}
	// What a role may not is refused and written down.
	support := h.deployment(auth.DeploymentSupport, nil)
	support.post(Root+"/tenants/new", "hostname", "made.test").is(403, "You may not do this")
	if _, err := h.tenants.Get(t.Context(), "made.test"); err == nil {
		t.Error("it was made")
	}
	b.get(Root+"/audit?who=token:"+support.ref.Token()+"+of-support").is(200, "dashboard POST /admin/tenants/new", "forbidden")
}

// TestFactorsOfExpiredTokens: the second factors of a token that has expired, or is gone, are deleted. Everybody else keeps
// theirs.
func TestFactorsOfExpiredTokens(t *testing.T) {
	h := newHouse(t)
	own := h.tenant("own.test")
	owner, moderator, gone := h.deployment(auth.DeploymentOwner, nil), h.operatorOf(own, auth.RoleModerator), h.deployment(auth.DeploymentSupport, nil)
	secret, what, err := h.acts.AddDeploymentToken(t.Context(), byHand(), act.NewDeploymentToken{Label: "for a day", Role: auth.DeploymentSupport, Life: 24 * time.Hour})
	must(t, err)
	day := h.browser()
	day.ref, day.token = operator.OfToken(what.TokenID), secret
	day.comes()
	_, err = h.db.Control().DeleteOperatorToken(t.Context(), gone.ref.Token()) // by a version that left them behind
	must(t, err)
	has := func(b *browser, want int64) {
		t.Helper()
		must(t, h.acts.ForgetDashboard(t.Context()))
		n, err := h.db.Control().CountOperatorFactors(t.Context(), string(b.ref))
		must(t, err)
		if n != want {
			t.Errorf("%s has %d second factors, want %d", b.ref, n, want)
		}
	}
	has(gone, 0)
	has(day, 1)
	h.pass(25 * time.Hour)
	has(day, 0)
	has(owner, 1)
	has(moderator, 1)
}
