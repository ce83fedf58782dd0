package handlers

import (
	"net/http"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"
)

// TestAwayMethods calls every method at a tenant that is suspended, and at one that is deleted, with every kind of
// credential: what refuses does so to everybody, and the rest is in the table.
func TestAwayMethods(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	for _, away := range []struct {
		state  tenant.State
		set    func() (*tenant.Tenant, error)
		status int
		name   string
		answer func(xrpc.Standing) xrpc.Reply
	}{
		{tenant.Suspended, func() (*tenant.Tenant, error) { return h.tenants.Suspend(t.Context(), h.a, "") }, http.StatusServiceUnavailable, "HostSuspended", func(l xrpc.Standing) xrpc.Reply { return l.Suspended }},
		{tenant.Deleting, func() (*tenant.Tenant, error) { return h.tenants.Delete(t.Context(), h.a, "", h.clock.Now()) }, http.StatusGone, "HostDeleted", func(l xrpc.Standing) xrpc.Reply { return l.Deleted }},
	} {
		if now, err := away.set(); err != nil || now.State != away.state {
			t.Fatal(now, err)
		}
		table := h.server.Standings()
		served := 0
		for nsid, op := range h.server.Operations {
			path := "/xrpc/" + nsid
			for _, header := range []string{"", bearer(u.access), bearer(u.refresh), asAdmin(), bearer("x.y.z")} {
				r := h.raw(op.Kind.Verb(), hostA, path, nil, header)
				if away.answer(table[path]) == xrpc.Refuses {
					r.fails(away.status, away.name, "")
				} else if served++; strings.Contains(string(r.body), "Host") {
					t.Errorf("%s is in the table and refuses: %s", path, r.body)
				}
			}
		}
		if want := 5 * 4; served != want {
			t.Errorf("%s: %d calls were let in, and %d belong to relays", away.state, served, want)
		}
		// What is no method of ours, too: calls that would go to other services, wrong verbs, other paths.
		for _, path := range []string{"/xrpc/app.bsky.feed.getTimeline", "/xrpc/com.atproto.sync.subscribeRepos/x", "/nowhere", "/subscribe"} {
			h.raw("GET", hostA, path, nil, bearer(u.access)).fails(away.status, away.name, "")
		}
		h.raw("POST", hostA, "/xrpc/com.atproto.sync.listRepos", nil).fails(away.status, away.name, "")
	}
	if _, err := h.tenants.Undelete(t.Context(), h.a); err != nil {
		t.Fatal(err)
	}
	h.get(hostA, "com.atproto.server.getSession", bearer(u.access)).fails(503, "HostSuspended", "") // as before
	if _, err := h.tenants.Resume(t.Context(), h.a); err != nil {
		t.Fatal(err)
	}
	h.get(hostA, "com.atproto.server.getSession", bearer(u.access)).ok() // sessions survive
	h.post(hostA, "com.atproto.server.refreshSession", bearer(u.refresh), nil).ok()
}

// TestAwayPages: people who come to a tenant that is suspended or deleted are told so on a page that looks like one.
func TestAwayPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, away := range []struct {
		set    func() (*tenant.Tenant, error)
		status int
		name   string
		says   string
	}{
		{func() (*tenant.Tenant, error) { return h.tenants.Suspend(t.Context(), h.a, "") }, http.StatusServiceUnavailable, "HostSuspended", "This server is paused"},
		{func() (*tenant.Tenant, error) { return h.tenants.Delete(t.Context(), h.a, "", h.clock.Now()) }, http.StatusGone, "HostDeleted", "This server is gone"},
	} {
		if _, err := away.set(); err != nil {
			t.Fatal(err)
		}
		r := h.raw("GET", hostA, "/", nil, "Accept: text/html,*/*;q=0.8")
		body := string(r.body)
		if r.status != away.status || !strings.Contains(body, "<h2>"+away.says) || strings.Contains(body, "/account") || !strings.Contains(r.header.Get("Content-Type"), "text/html") || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v %s", r.status, r.header, body)
		}
		h.raw("GET", hostA, "/", nil).fails(away.status, away.name, "")
	}
}

// TestAwayRelays: what relays read of a tenant that is not there for people says so of each account.
func TestAwayRelays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	status := func(want string) {
		t.Helper()
		r := h.get(hostA, "com.atproto.sync.getRepoStatus", "", "did", u.did).ok()
		l := h.get(hostA, "com.atproto.sync.listRepos", "").ok()
		if got := r.str("status"); got != want || !strings.Contains(string(l.body), `"status":"`+want+`"`) {
			t.Errorf("%s, %s", r.body, l.body)
		}
		if host := h.get(hostA, "com.atproto.sync.getHostStatus", "", "hostname", hostA).ok().str("status"); host != "offline" {
			t.Error(host)
		}
	}
	if _, err := h.tenants.Suspend(t.Context(), h.a, "a bill"); err != nil {
		t.Fatal(err)
	}
	status("suspended")
	if r := h.raw("GET", u.handle, "/.well-known/atproto-did", nil); r.status != 200 || string(r.body) != u.did {
		t.Errorf("the handle does not resolve: %d %s", r.status, r.body)
	}
	if _, err := h.tenants.Delete(t.Context(), h.a, "", h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	status("deleted")
	if r := h.raw("GET", u.handle, "/.well-known/atproto-did", nil); r.status != http.StatusGone {
		t.Errorf("the handle resolves: %d %s", r.status, r.body)
	}
}
