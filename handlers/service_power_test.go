package handlers

import (
	"slices"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/auth"
)

// An account here may be a moderation service, this server's or another's: what its power is used by takes the main
// password, whatever apps it has given passwords to.
func TestPowerTakesTheMainPassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	mod, bob := h.createAccount(hostA, "modtools"), h.createAccount(hostA, "bob")
	h.set(hostA, "mod_service_did", mod.did)
	apps := []*user{
		mod.login(mod.call(createApp, obj{"name": "one"}).ok().str("password")),
		mod.login(mod.call(createApp, obj{"name": "two", "privileged": true}).ok().str("password")),
	}
	here, ozone := h.a.ServiceDID, "did:web:ozone.example.com#atproto_labeler"
	for _, lxm := range []string{
		"com.atproto.admin.updateSubjectStatus", "com.atproto.ADMIN.getAccountInfo", "com.atproto.admin.deleteAccount",
		"tools.ozone.moderation.emitEvent", "Tools.Ozone.team.addMember", "chat.bsky.moderation.updateActorAccess",
	} {
		for _, aud := range []string{here, here + "#atproto_pds", ozone} {
			for _, app := range apps {
				app.ask(serviceAuth, "aud", aud, "lxm", lxm).fails(400, "InvalidRequest", "insufficient access")
			}
			mod.ask(serviceAuth, "aud", aud, "lxm", lxm).ok()
		}
	}
	// What only this server's moderation service gains by: it may read everybody's preferences.
	const preferences = "app.bsky.actor.getPreferences"
	for _, app := range apps {
		app.ask(serviceAuth, "aud", here, "lxm", preferences).fails(400, "InvalidRequest", "insufficient access")
		h.raw("GET", hostA, "/xrpc/"+preferences+"?did="+bob.did, nil, bearer(app.access), "Atproto-Proxy: "+here+"#atproto_pds").fails(400, "InvalidToken", "Bad token method")
		app.ask(serviceAuth, "aud", here).fails(400, "InvalidRequest", "insufficient access")
		app.ask(serviceAuth, "aud", "did:web:appview.example.com", "lxm", preferences).ok()
		app.ask(serviceAuth, "aud", here, "lxm", "com.atproto.repo.uploadBlob").ok()
	}
	app := bob.login(bob.call(createApp, obj{"name": "one"}).ok().str("password"))
	app.ask(serviceAuth, "aud", here, "lxm", preferences).ok()
	// By the main password's tokens it moderates.
	token := mod.ask(serviceAuth, "aud", here, "lxm", preferences).ok().str("token")
	h.get(hostA, preferences, bearer(token), "did", bob.did).ok()
	token = mod.ask(serviceAuth, "aud", here, "lxm", "com.atproto.admin.updateSubjectStatus").ok().str("token")
	h.post(hostA, "com.atproto.admin.updateSubjectStatus", bearer(token), obj{
		"subject": obj{"$type": "com.atproto.admin.defs#repoRef", "did": bob.did}, "takedown": obj{"applied": true},
	}).ok()

	// Whatever this server lets its moderation service do is among what was just refused.
	for nsid, op := range New(testDeps(new(witness))).Operations {
		if op.Class == "overseen" || op.Class == "operator" && op.Role <= auth.RoleModerator {
			if !needsMain(nsid) && !isProtected(nsid) && !moderationMethods[strings.ToLower(nsid)] {
				t.Errorf("an app password of the moderation service makes tokens for %s", nsid)
			}
		}
	}
	if !slices.ContainsFunc(apps, func(u *user) bool {
		return u.ask(serviceAuth, "aud", here, "lxm", "app.bsky.feed.getTimeline").status == 200
	}) {
		t.Error("apps get no tokens at all")
	}
}
