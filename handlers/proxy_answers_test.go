package handlers

import (
	"io"
	"net/http"
	"testing"
)

// What a service says of an error counts when it is JSON, however that is called.
func TestProxyErrorTypes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	view := newUpstream(t)
	h.set(hostA, "app_view", view.as("bsky_appview"), "report_service", view.as("atproto_labeler"))
	alice := h.createAccount(hostA, "alice")
	for kind, heard := range map[string]bool{
		"application/json": true, "Application/JSON; charset=utf-8": true, "application/problem+json": true, "": true,
		"text/html": false, "application/jsonp": false, "text/json": false, ";": false,
	} {
		view.will(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			if kind != "" {
				w.Header().Set("Content-Type", kind)
			}
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"Said","message":"by the service"}`)
		})
		name, text := "InvalidRequest", "Invalid Request"
		if heard {
			name, text = "Said", "by the service"
		}
		alice.ask("com.example.no.such").fails(400, name, text)
	}
	// A report's answer that is none is the service's fault.
	for _, answer := range []string{`{}`, `{"ok":true}`, `[]`, `{"id":7,"reasonType":"x","subject":null}`, `<p>`} {
		view.will(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer)
		})
		alice.call("com.atproto.moderation.createReport", obj{
			"reasonType": "com.atproto.moderation.defs#reasonSpam", "subject": obj{"$type": "com.atproto.admin.defs#repoRef", "did": alice.did},
		}).fails(502, "UpstreamFailure", "decoded")
	}
}
