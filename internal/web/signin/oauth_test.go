package signin

import (
	"strings"
	"testing"
)

// TestWholeWay goes from an app's request to its code, without script.
func TestWholeWay(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	app := devApp("atproto transition:generic transition:chat.bsky")
	p := h.person()
	p.open(h.push(h.a, app, "scope", "atproto transition:generic transition:chat.bsky")).says(200, "Do you have one already?")
	p.follow("Sign in").says(200, "to continue to")
	p.press("Sign in", "identifier", "alice.a.test", "password", "wrong").says(400, "do not fit together")
	consent := p.press("Sign in", "identifier", "alice.a.test", "password", password).says(200, "Let Development client use your account?")
	for _, want := range []string{"@alice.a.test", app, "Know who you are", "almost as you do", "Far-reaching", "private messages"} {
		if !strings.Contains(consent.words, want) {
			t.Errorf("the page lacks %q: %s", want, consent.words)
		}
	}
	got := p.press("Allow").away(devBack)
	if got.Get("iss") != h.a.PublicURL || got.Get("state") != "of the app" || got.Get("code") == "" || got.Get("error") != "" {
		t.Error(got)
	}
}
