package handlers

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestProxyRouting: which service a method goes to, with and without the header, and what the token is for.
func TestProxyRouting(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	view, report, moderation, other := newUpstream(t), newUpstream(t), newUpstream(t), newUpstream(t)
	h.set(hostA, "app_view", view.as("bsky_appview"), "report_service", report.as("atproto_labeler"), "moderation_service", moderation.as("atproto_labeler"))
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostB, "bob")
	aReport := obj{"reasonType": "com.atproto.moderation.defs#reasonSpam", "subject": obj{"$type": "com.atproto.admin.defs#repoRef", "did": alice.did}}
	push := func(did string) obj {
		return obj{"serviceDid": did, "token": "t", "platform": "ios", "appId": "app"}
	}
	feedRecord := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"value":{"did":"did:web:feeds.example"},"feed":[],"id":7,"reasonType":"com.atproto.moderation.defs#reasonSpam","subject":{"$type":"com.atproto.admin.defs#repoRef","did":"` + alice.did + `"},"reportedBy":"` + alice.did + `","createdAt":"2026-01-02T03:04:05.678Z"}`))
	}
	for _, u := range []*upstream{view, report, moderation, other} {
		u.will(feedRecord)
	}
	const feed = "?feed=at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.generator/x"
	for _, tt := range []struct {
		verb, nsid, query string
		body              any
		header            string // the service's id at other, "": none
		to                *upstream
		aud, lxm          string // "": those of the service and the method
	}{
		{"GET", "app.bsky.feed.getTimeline", "", nil, "", view, "", ""},
		{"HEAD", "app.bsky.feed.getTimeline", "", nil, "", view, "", ""},
		{"POST", "app.bsky.graph.muteActor", "", obj{"actor": "x"}, "", view, "", ""},
		{"GET", "app.bsky.feed.getTimeline", "", nil, "bsky_appview", other, "", ""},
		{"GET", "com.example.no.such", "", nil, "", view, "", ""},
		{"GET", "com.atproto.label.queryLabels", "", nil, "", view, "", ""},
		{"GET", "COM.ATPROTO.REPO.DESCRIBEREPO", "", nil, "", view, "", ""},
		{"GET", "chat.bsky.convo.listConvos", "", nil, "", view, "", ""},
		{"GET", "chat.bsky.convo.listConvos", "", nil, "bsky_chat", other, "", ""},
		{"GET", "tools.ozone.moderation.queryStatuses", "", nil, "", moderation, "", ""},
		{"POST", "tools.ozone.team.addMember", "", obj{}, "", moderation, "", ""},
		{"GET", "tools.ozone.queue.listQueues", "", nil, "", moderation, "", ""},
		{"GET", "tools.ozone.moderation.queryStatuses", "", nil, "atproto_labeler", other, "", ""},
		{"POST", "com.atproto.moderation.createReport", "", aReport, "", report, "", ""},
		{"POST", "com.atproto.moderation.createReport", "", aReport, "atproto_labeler", other, "", ""},
		{"GET", "app.bsky.feed.getFeed", feed, nil, "", view, "did:web:feeds.example", "app.bsky.feed.getFeedSkeleton"},
		{"GET", "app.bsky.feed.getFeed", feed, nil, "bsky_appview", other, "did:web:feeds.example", "app.bsky.feed.getFeedSkeleton"},
		{"POST", "app.bsky.notification.registerPush", "", push(view.did), "", view, "", ""},
		{"POST", "app.bsky.notification.registerPush", "", push(view.did), "bsky_appview", view, "", ""}, // the header does not count
		{"POST", "app.bsky.notification.unregisterPush", "", push(other.did), "", other, "", ""},
		{"GET", "app.bsky.actor.getPreferences", "", nil, "bsky_appview", other, "", ""},
		{"POST", "app.bsky.actor.putPreferences", "", obj{"preferences": list{}}, "bsky_appview", other, "", ""},
	} {
		counts := map[*upstream]int{}
		for _, u := range []*upstream{view, report, moderation, other} {
			counts[u] = u.count()
		}
		header := ""
		if tt.header != "" {
			header = other.header(tt.header)
		}
		r := h.raw(tt.verb, hostA, "/xrpc/"+tt.nsid+tt.query, tt.body, bearer(alice.access), header).ok()
		if r.header.Get("Cache-Control") != "private" || !strings.Contains(strings.Join(r.header.Values("Vary"), ","), "Authorization") {
			t.Errorf("%s: %v", r.what, r.header)
		}
		for u, before := range counts {
			if u.count() != before && u != tt.to && tt.nsid != methodFeed {
				t.Errorf("%s went elsewhere, too", r.what)
			}
		}
		if tt.to.count() == counts[tt.to] {
			t.Errorf("%s did not go where it should", r.what)
			continue
		}
		got := tt.to.last()
		if want := "/xrpc/" + tt.nsid + tt.query; got.method != tt.verb || got.target != want {
			t.Errorf("%s: came as %s %s", r.what, got.method, got.target)
		}
		aud, lxm := tt.aud, tt.lxm
		if aud == "" {
			aud, lxm = tt.to.did, tt.nsid
		}
		c := got.claims(t)
		if c.Iss != alice.did || c.Aud != aud || c.Lxm != lxm || c.Exp-c.Iat != 60 || len(c.Jti) != 32 {
			t.Errorf("%s: token %+v", r.what, c)
		}
	}
	// Ours, whatever the header says.
	for _, header := range []string{"", other.header("bsky_appview")} {
		before := other.count() + view.count()
		h.raw("GET", hostA, "/xrpc/com.atproto.server.getSession", nil, bearer(alice.access), header).ok()
		if other.count()+view.count() != before {
			t.Error("getSession went elsewhere")
		}
	}
	// Ours if the header names our own app view.
	before := view.count()
	h.raw("GET", hostA, "/xrpc/app.bsky.actor.getPreferences", nil, bearer(alice.access), view.header("bsky_appview")).ok()
	if view.count() != before {
		t.Error("preferences went to the app view")
	}
	// The other tenant has no services.
	for _, nsid := range []string{"app.bsky.feed.getTimeline", "tools.ozone.moderation.queryStatuses"} {
		h.get(hostB, nsid, bearer(bob.access)).fails(400, "InvalidRequest", "No service configured for "+nsid)
	}
	bob.call("com.atproto.moderation.createReport", aReport).fails(400, "InvalidRequest", "No service configured for com.atproto.moderation.createReport")
	h.raw("GET", hostB, "/xrpc/app.bsky.feed.getTimeline", nil, bearer(bob.access), other.header("bsky_appview")).ok()
	// Settings take effect with the next call; none is none.
	h.set(hostA, "app_view", other.as("bsky_appview"))
	before = other.count()
	alice.ask("app.bsky.feed.getTimeline").ok()
	if other.count() != before+1 {
		t.Error("the new app view was not asked")
	}
	h.set(hostA, "app_view", "none")
	alice.ask("app.bsky.feed.getTimeline").fails(400, "InvalidRequest", "No service configured for app.bsky.feed.getTimeline")
	// The whole reference as audience, where the operator wants it.
	h.set(hostA, "app_view", view.as("bsky_appview"), "service_token_audience", "reference")
	alice.ask("app.bsky.feed.getTimeline").ok()
	if c := view.last().claims(t); c.Aud != view.did+"#bsky_appview" {
		t.Errorf("%+v", c)
	}
	for _, wrong := range []string{"https://x.example", "did:web:x.example", "did:web:x.example#a=https://x.example/path", "did:key:x#a=https://x.example", "did:web:x.example#a#b=https://x.example"} {
		if _, err := h.tenants.Set(t.Context(), hostA, map[string]string{"app_view": wrong}); err == nil {
			t.Errorf("app_view %s is taken", wrong)
		}
	}
}
