package admintest

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
	sdk "github.com/auroralocus/locus/openapi/clients/go/operator"
)

// An owner's login is made, shown without its password, and taken away.
func TestSQLLogin(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	own := h.tenant("own.test")
	c := h.client(h.token(auth.DeploymentOwner, nil))
	none, err := c.GetTenantSQLWithResponse(ctx, "own.test")
	must(t, none, err)
	made, err := c.EnableTenantSQLWithResponse(ctx, "own.test", nil, sdk.Once("sql"))
	must(t, made, err)
	again, err := c.EnableTenantSQLWithResponse(ctx, "own.test", nil, sdk.Once("sql"))
	must(t, again, err)
	got, err := c.GetTenantSQLWithResponse(ctx, "own.test")
	must(t, got, err)
	role := made.JSON201.Role
	if none.JSON200.Enabled || none.JSON200.Role != role || !got.JSON200.Enabled || got.JSON200.Role != role || made.JSON201.Password == "" || again.JSON201.Password != made.JSON201.Password {
		t.Errorf("%s, %s, %s", none.Body, made.Body, got.Body)
	}
	if log := string(h.call(h.token(auth.DeploymentOwner, nil), "GET", "/v1/audit", nil).ok().body); strings.Contains(log, made.JSON201.Password) || !strings.Contains(log, "tenant sql enable") {
		t.Error("the log has the password, or not the login")
	}
	no, err := h.client(h.token(auth.DeploymentTenant, own)).EnableTenantSQLWithResponse(ctx, "own.test", nil)
	refused(t, "forbidden", no, err)
	gone, err := c.DisableTenantSQLWithResponse(ctx, "own.test")
	must(t, gone, err)
	if got, err = c.GetTenantSQLWithResponse(ctx, "own.test"); err != nil || got.JSON200.Enabled {
		t.Errorf("%v %s", err, got.Body)
	}
	roles, err := c.MakeTenantRolesWithResponse(ctx, nil, sdk.RolesInputBody{})
	must(t, roles, err)
	if roles.JSON200.Seen != 1 {
		t.Errorf("%s", roles.Body)
	}
}

// The rarer things that are done to a tenant.
func TestAffairs(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.tenant("own.test")
	c := h.client(h.token(auth.DeploymentOwner, nil))
	asks, err := c.SetTenantCaptchaWithResponse(ctx, "own.test", sdk.SetCaptchaInputBody{Kind: sdk.Hcaptcha, SiteKey: "10000000-ffff-ffff-ffff-000000000001", Secret: "a-secret-word"})
	must(t, asks, err)
	shown, err := c.GetTenantWithResponse(ctx, "own.test")
	must(t, shown, err)
	if shown.JSON200.Settings["captcha"] != "hcaptcha" {
		t.Errorf("%v", shown.JSON200.Settings["captcha"])
	}
	no, err := c.DeleteTenantCaptchaWithResponse(ctx, "own.test")
	must(t, no, err)
	by := int64(1000)
	jumped, err := c.JumpTenantWithResponse(ctx, "own.test", nil, sdk.JumpInputBody{By: &by})
	must(t, jumped, err)
	if jumped.JSON200.NextSeq <= by {
		t.Errorf("%s", jumped.Body)
	}
	name, err := c.ReleaseTenantNameWithResponse(ctx, "own.test", "never.test")
	if err == nil && name.StatusCode() < 400 {
		t.Errorf("%s", name.Body)
	}
	early, err := c.PurgeTenantWithResponse(ctx, "own.test", nil, sdk.PurgeInputBody{Confirm: "own.test"})
	refused(t, "not_in_this_state", early, err)
	if log := string(h.call(h.token(auth.DeploymentOwner, nil), "GET", "/v1/audit", nil).ok().body); strings.Contains(log, "a-secret-word") {
		t.Error("the log has the captcha's key")
	}
}

// A job is watched as a stream of events: how it is at once, each thing that it does, and its end.
func TestWatch(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	own, other := h.tenant("own.test"), h.tenant("other.test")
	step := make(chan string)
	h.jobs.Register(job.Kind{Name: "test", Work: func(ctx context.Context, r *job.Run) error {
		for s := range step {
			r.Progress(s, 1, 2)
		}
		return nil
	}})
	j, err := h.jobs.Start(ctx, job.Spec{Kind: "test", TenantID: own.ID, By: "somebody"})
	if err != nil {
		t.Fatal(err)
	}
	token := h.token(auth.DeploymentTenant, own)
	h.call(token, "GET", "/v1/jobs/"+j.ID+"/events", nil).fails(403, "forbidden", "")
	h.call(h.token(auth.DeploymentTenant, other), "GET", "/v1/tenants/other.test/jobs/"+j.ID+"/events", nil).fails(404, "not_found", "")
	h.call(token, "POST", "/v1/tenants/own.test/jobs/"+j.ID+"/cancel", nil).fails(403, "forbidden", "backups only")
	req, err := http.NewRequestWithContext(ctx, "GET", h.http.URL+"/v1/tenants/own.test/jobs/"+j.ID+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	next := func() (j sdk.Job, more bool) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &j); err != nil {
					t.Fatal(err)
				}
				return j, true
			}
		}
		return j, false
	}
	if first, ok := next(); !ok || first.State != "waiting" || first.Id != j.ID {
		t.Fatalf("%+v", first)
	}
	h.runJobs()
	step <- "copying"
	for {
		now, ok := next()
		if !ok {
			t.Fatal("the stream ended early")
		}
		if now.Step == "copying" && now.Done == 1 {
			break
		}
	}
	close(step)
	for last := (sdk.Job{}); ; {
		now, ok := next()
		if !ok {
			if !last.Ended || last.State != "done" {
				t.Errorf("%+v", last)
			}
			return
		}
		last = now
	}
}

// Streams are bounded for each token, and end with the process.
func TestWatchEnds(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	j, err := h.jobs.Start(ctx, job.Spec{Kind: "nobody does it", By: "somebody"})
	if err != nil {
		t.Fatal(err)
	}
	token := h.token(auth.DeploymentSupport, nil)
	running, stop := context.WithCancel(ctx)
	over := make(chan error, 1)
	go func() { over <- h.admin.Run(running) }()
	var open []*http.Response
	for {
		req, err := http.NewRequestWithContext(ctx, "GET", h.http.URL+"/v1/jobs/"+j.ID+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == 429 {
			break
		}
		if open = append(open, resp); len(open) > 100 {
			t.Fatal("there is no limit")
		}
	}
	stop()
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	for _, resp := range open {
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		}
	}
}
