package console

import (
	"net/url"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/mail/outbox"
)

// TestRefusedForms: a form that is refused is shown again where it was, open, with all that was entered but secrets.
func TestRefusedForms(t *testing.T) {
	h := newHouse(t)
	own := h.tenant("own.test")
	owner := h.deployment(auth.DeploymentOwner, nil)
	at := tenantPath(own.Hostname)
	owner.get(at).is(200).lacks("<details open>")

	const moves = `id="f-move_handles" name="move_handles" value="on" checked`
	owner.post(at+"/rename", "to", "not a name", "move_handles", "on", "rate", "7").is(400, `value="not a name"`, moves, `value="7"`, "<details open><summary>Give it another hostname")
	for _, rate := range []string{"0", "-1", "5000"} {
		owner.post(at+"/rename", "to", "new.test", "move_handles", "on", "rate", rate).is(400, "The rate cannot be so", "1 to 1000", `value="new.test"`, moves, `value="`+rate+`"`)
	}
	owner.post(at+"/rename", "to", "new.test", "rate", "fast").is(400, "A number is wanted", `value="fast"`)

	page := owner.post(at+"/delete", "confirm", "other.test", "grace", "24", "reason", "it is over").is(400, "Not confirmed", "<details open><summary>Take it out of service", `value="24"`, `value="it is over"`)
	if n := strings.Count(page.body, "it is over"); n != 1 {
		t.Errorf("the reason stands in %d fields", n)
	}

	page = owner.post(Root+"/operators/new", "label", "Carla Example", "role", "tenant", "tenant", "nowhere.test", "days", "30").is(400, "There is no such tenant", "<details open><summary>Make one", `value="Carla Example"`, `value="nowhere.test"`, `value="30"`, "<option selected>tenant")
	page.lacks(`name="dashboard" value="on" checked`)
	owner.get(Root+"/operators").is(200, `name="dashboard" value="on" checked`).lacks("<details open>")

	owner.post(at+"/settings", "handle_min_length", "many", "display_name", "Kept").is(400, `value="many"`, `value="Kept"`, `aria-invalid="true" autofocus`, "must be a whole number")
}

// TestLongNames: a record whose key is as long as a key may be is looked up as any other.
func TestLongNames(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own := h.tenant("own.test")
	mod := h.operatorOf(own, auth.RoleModerator)
	did := h.person(own, "alice")
	path := "com.example.note/" + strings.Repeat("k", 512)
	h.note(own, did, path)
	at, uri := tenantPath("own.test")+"/takedowns", "at://"+did+"/"+path
	look := at + "?" + url.Values{"subject": {uri}}.Encode()
	mod.get(look).is(200, "It is shown", uri)
	mod.post(at, "subject", uri, "do", "takedown", "ref", "report 9").leads(at)
	mod.get(look).is(200, "It is taken down", "report 9")
	mod.get(at+"?subject="+strings.Repeat("x", 2401)).is(400, "This names nothing")
}
