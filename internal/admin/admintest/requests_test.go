package admintest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/admin"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
	sdk "github.com/auroralocus/locus/openapi/clients/go/operator"
)

// The same POST with the same key is done once, also by many at once; another one under that key is refused, and another
// caller's key is another key.
func TestIdempotency(t *testing.T) {
	h := newHouse(t)
	token := h.token(auth.DeploymentOwner, nil)
	body := obj{"label": "once", "role": "support"}
	replies := make([]reply, 6)
	var all sync.WaitGroup
	for i := range replies {
		all.Go(func() { replies[i] = h.call(token, "POST", "/v1/tokens", body, "Idempotency-Key: one") })
	}
	all.Wait()
	first := replies[0].ok()
	replayed := 0
	for _, r := range replies {
		if string(r.ok().body) != string(first.body) || r.status != 201 || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%d %s, want %s", r.status, r.body, first.body)
		}
		if r.header.Get("Idempotency-Replayed") == "true" {
			replayed++
		}
	}
	if replayed != len(replies)-1 {
		t.Errorf("%d of %d were replayed", replayed, len(replies))
	}
	secret := first.json()["secret"].(string)
	h.call(secret, "GET", "/v1/me", nil).ok()
	var stored []byte
	if row, err := h.db.Control().GetIdempotency(t.Context(), idempotencyOf(h, token, "one")); err != nil {
		t.Fatal(err)
	} else {
		stored = row.Answer
	}
	if strings.Contains(string(stored), secret) {
		t.Error("a secret lies open in the database")
	}
	h.call(token, "POST", "/v1/tokens", obj{"label": "twice", "role": "support"}, "Idempotency-Key: one").fails(422, "idempotency_key_reused", "")
	h.call(h.token(auth.DeploymentOwner, nil), "POST", "/v1/tokens", obj{"label": "twice", "role": "support"}, "Idempotency-Key: one").ok()
	h.call(token, "POST", "/v1/tokens", body, "Idempotency-Key: with space").fails(400, "invalid_request", "printable")
	// What was refused is remembered too, and what is said once is said again.
	h.call(token, "POST", "/v1/tenants", obj{"hostname": "a/b"}, "Idempotency-Key: bad").fails(400, "bad_hostname", "")
	if r := h.call(token, "POST", "/v1/tenants", obj{"hostname": "a/b"}, "Idempotency-Key: bad"); r.status != 400 || r.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %s", r.status, r.body)
	}
	// After a day the key is free.
	h.ahead.Add(int64(25 * time.Hour))
	if r := h.call(token, "POST", "/v1/tokens", body, "Idempotency-Key: one").ok(); string(r.body) == string(first.body) {
		t.Error("an answer is kept for more than a day")
	}
}

// Long work is listed, waited for and cancelled.
func TestJobs(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	own := h.tenant("own.test")
	c := h.client(h.token(auth.DeploymentOwner, nil))
	going, step := make(chan struct{}), make(chan string)
	h.jobs.Register(job.Kind{Name: "test", Work: func(ctx context.Context, r *job.Run) error {
		close(going)
		for {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case s := <-step:
				r.Progress(s, 1, 2)
			}
		}
	}})
	h.runJobs()
	j, err := h.jobs.Start(ctx, job.Spec{Kind: "test", TenantID: own.ID, By: "somebody"})
	if err != nil {
		t.Fatal(err)
	}
	<-going
	list, err := c.ListTenantJobsWithResponse(ctx, "own.test", nil)
	must(t, list, err)
	if len(list.JSON200.Jobs) != 1 || list.JSON200.Jobs[0].Id != j.ID || list.JSON200.Jobs[0].By != "somebody" {
		t.Errorf("%+v", list.JSON200)
	}
	step <- "copying"
	wait := int64(60)
	for { // each answer is news, or the last
		got, err := c.GetJobWithResponse(ctx, j.ID, &sdk.GetJobParams{Wait: &wait})
		must(t, got, err)
		if got.JSON200.Step == "copying" && got.JSON200.Done == 1 && got.JSON200.Total == 2 {
			break
		}
	}
	cancelled, err := c.CancelJobWithResponse(ctx, j.ID, nil)
	must(t, cancelled, err)
	for {
		got, err := c.GetJobWithResponse(ctx, j.ID, &sdk.GetJobParams{Wait: &wait})
		must(t, got, err)
		if got.JSON200.Ended {
			if got.JSON200.State != "cancelled" {
				t.Errorf("%+v", got.JSON200)
			}
			break
		}
	}
	late, err := c.CancelJobWithResponse(ctx, j.ID, nil)
	refused(t, "job_ended", late, err)
	nobody, err := c.GetJobWithResponse(ctx, "0", nil)
	refused(t, "not_found", nobody, err)
	if lines := strings.Join(h.logged(c), "\n"); !strings.Contains(lines, "job cancel "+j.ID+" done") {
		t.Error(lines)
	}
}

// What is wrong with a request is said in one form, and never repeats the request.
func TestProblems(t *testing.T) {
	h := newHouse(t)
	token := h.token(auth.DeploymentOwner, nil)
	h.call(token, "POST", "/v1/tenants", `{"hostname":`).fails(400, "invalid_request", "")
	h.call(token, "POST", "/v1/tenants", `{"hostname":"a.test","hostname":"b.test"}`).fails(400, "invalid_request", "")
	h.call(token, "POST", "/v1/tenants", `{"Hostname":"a.test"}`).fails(400, "invalid_request", "body")
	h.call(token, "POST", "/v1/tenants", obj{"hostname": "a.test", "sttings": obj{}}).fails(400, "invalid_request", "sttings")
	h.call(token, "POST", "/v1/tenants", nil).fails(400, "invalid_request", "")
	r := h.call(token, "POST", "/v1/tenants", obj{"hostname": "a.test", "adminPassword": []string{"the-secret"}})
	r.fails(400, "invalid_request", "body.adminPassword")
	if strings.Contains(string(r.body), "the-secret") {
		t.Errorf("%s", r.body)
	}
	h.call(token, "POST", "/v1/tenants", `"`+strings.Repeat("a", 300<<10)+`"`).fails(413, "too_large", "")
	h.call(token, "GET", "/v1/nothing", nil).fails(404, "not_found", "openapi.json")
	h.call(token, "GET", "/xrpc/com.atproto.server.describeServer", nil).fails(404, "not_found", "")
	if r := h.call("", "GET", "/openapi.json", nil).ok(); r.json()["openapi"] != "3.1.0" {
		t.Errorf("%s", r.body)
	}
	if r := h.call(token, "GET", "/v1/me", nil, "X-Request-Id: mine-1").ok(); r.header.Get("X-Request-Id") != "mine-1" || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", r.header)
	}
	for range 700 { // a token has its rate
		if r = h.call(token, "GET", "/v1/me", nil); r.status != 200 {
			break
		}
	}
	r.fails(429, "rate_limited", "")
	if r.header.Get("Retry-After") == "" {
		t.Error("it is not said when there is room")
	}
	h.call(h.token(auth.DeploymentOwner, nil), "GET", "/v1/me", nil).ok()
}

// Under a hostname of its own it answers that name only.
func TestUnder(t *testing.T) {
	h := newHouse(t)
	tenants := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	s := httptest.NewServer(admin.Under("operators.test", h.admin, tenants))
	defer s.Close()
	for host, want := range map[string]int{
		"operators.test": 401, "OPERATORS.test:443": 401, "operators.test.": 401, "a.test": 418, "x.operators.test": 418, "operators.test.a.test": 418, "": 418,
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/v1/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%q: %d, want %d", host, resp.StatusCode, want)
		}
	}
}
