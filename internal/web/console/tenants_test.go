package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
)

const actDashboardEnterName = "dashboard sign-in"

func listAudit(action string) controldb.ListAuditParams {
	return controldb.ListAuditParams{Before: "g", Action: action, MaxRows: 100}
}

// becomes waits until a tenant is in a state.
func (h *house) becomes(host string, want tenant.State) {
	h.t.Helper()
	for range 600 {
		must(h.t, h.tenants.Refresh(h.t.Context()))
		if t, err := h.tenants.Get(h.t.Context(), host); err == nil && t.State == want {
			if open, err := h.jobs.List(h.t.Context(), openJobs(t.ID)); err == nil && len(open) == 0 {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	h.t.Fatalf("%s does not become %s", host, want)
}

// TestTenants: a tenant is made, found, suspended, resumed, deleted, brought back and removed on pages.
func TestTenants(t *testing.T) {
	h := newHouse(t)
	h.runJobs()
	b := h.deployment(auth.DeploymentOwner, nil)
	b.get(Root + "/tenants/new").is(200)
	b.post(Root+"/tenants/new", "hostname", "not a name", "display_name", "Kept").is(400, "The name cannot be used", `value="Kept"`)
	b.post(Root+"/tenants/new", "hostname", "pds.test", "display_name", "<i>North</i>", "signup", "invite", "handle_domains", "pds.test, people.test").leads(tenantPath("pds.test"))
	at := tenantPath("pds.test")
	b.get(at).is(200, "is made", "&lt;i&gt;North", "people.test", "did:web:pds.test").lacks("<i>North")
	b.post(Root+"/tenants/new", "hostname", "pds.test").is(409, "The name is taken")
	h.pages.perPage = 2
	for i := range 3 {
		h.tenant(fmt.Sprintf("t%02d.test", i))
	}
	b.get(Root+"/tenants").is(200, "4 tenants", "Page 1 of 2", "pds.test", "t00.test").lacks("t01.test")
	b.get(Root+"/tenants?page=2").is(200, "t01.test", "t02.test").lacks("t00.test")
	b.get(Root+"/tenants?page=99").is(200, "Page 2 of 2")
	b.get(Root+"/tenants?q=NORTH").is(200, "1 tenant<", "pds.test").lacks("t01.test")
	b.get(Root+"/tenants?state=suspended").is(200, "0 tenants")

	b.post(at+"/suspend", "reason", "unpaid").leads(at)
	h.becomes("pds.test", tenant.Suspended)
	b.get(at).is(200, "Suspended since", "unpaid", "Switch it on again")
	b.post(at + "/resume").leads(at)
	h.becomes("pds.test", tenant.Active)
	b.post(at+"/delete", "confirm", "t01.test", "grace", "24").is(400, "Not confirmed")
	b.post(at+"/delete", "confirm", "pds.test", "grace", "0").is(400, "time of grace")
	b.post(at+"/delete", "confirm", "pds.test", "grace", "24", "reason", "wanted").leads(at)
	h.becomes("pds.test", tenant.Deleting)
	b.get(at).is(200, "It can be brought back until", "wanted")
	b.post(at + "/undelete").leads(at)
	h.becomes("pds.test", tenant.Active)
	b.post(at+"/purge", "confirm", "pds.test").is(409, "not deleted")
	log, err := h.db.Control().ListAudit(t.Context(), listAudit("tenant suspend"))
	must(t, err)
	if len(log) == 0 || !strings.HasPrefix(log[0].Who, "token:"+b.ref.Token()) || log[0].Address == "" || log[0].RequestID == "" {
		t.Errorf("the log has %+v", log)
	}
}
